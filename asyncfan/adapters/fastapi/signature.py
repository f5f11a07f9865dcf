"""The parameters by which FastAPI hands a handler its request and response."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.dependencies.utils import get_typed_return_annotation, get_typed_signature

from ..misplaced import near, refuse_registered
from ..unanswering import refuse_websocket

__all__ = ["parameter_of", "refuse_misplaced", "resolved", "with_parameters"]


def resolved(fn: Callable[..., Any]) -> inspect.Signature:
    """Return a handler's signature, annotations that are texts resolved; earlier FastAPIs look in the wrong module."""
    own, typed = inspect.signature(fn), get_typed_signature(fn)
    returns = own.return_annotation
    if isinstance(returns, str):
        returns = get_typed_return_annotation(fn)
    return typed.replace(return_annotation=returns)


def parameter_of(parameters: Mapping[str, inspect.Parameter], kind: type) -> str | None:
    """Return the name of the parameter of this kind: of several the last, which FastAPI fills."""
    found = None
    for name, parameter in parameters.items():
        annotation = parameter.annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if inspect.isclass(annotation) and issubclass(annotation, kind):
            found = name
    return found


def with_parameters(signature: inspect.Signature, kinds: Mapping[str, type]) -> inspect.Signature:
    """Return ``signature`` with these keyword-only parameters more, all of which may be left out."""
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    parameters = list(signature.parameters.values())
    end = len(parameters) - any(p.kind is p.VAR_KEYWORD for p in parameters)
    return signature.replace(parameters=[*parameters[:end], *added, *parameters[end:]])


def refuse_misplaced(fn: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Refuse a handler of a WebSocket, and one that a router has already, so without the cache.

    Raises:
        TypeError: Always then: there is no response to cache, or the decorators are in the wrong order.
    """
    if parameter_of(parameters, WebSocket) is not None:
        refuse_websocket(fn)
    routes = (route for router in near(fn, APIRouter, FastAPI) for route in router.routes)
    refuse_registered(fn, (getattr(route, "endpoint", None) for route in routes), "@router.get(...)")
