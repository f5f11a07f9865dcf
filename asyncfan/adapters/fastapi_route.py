"""What FastAPI knows of a route: what its dependency tree reads, and how it turns a value into a response."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIRouter
from fastapi.security.base import SecurityBase
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ..http.messages import Declared

__all__ = ["Route", "context_of", "refuse_registered", "render_with"]

_VALUE = "asyncfan.value"  # where a request's scope holds what the route's own code is to send


def context_of(scope: dict[str, Any]) -> Any:
    """Return the route as included: with the response class and dependencies of the routers above it."""
    return scope.get("fastapi", {}).get("effective_route_context") or scope["route"]


def refuse_registered(fn: Callable[..., Any]) -> None:
    """Refuse a handler that a router of its own module has already, so without the cache.

    Raises:
        TypeError: Always then: the decorators are in the wrong order.
    """
    routers = [value for value in fn.__globals__.values() if isinstance(value, (APIRouter, FastAPI))]
    if any(getattr(route, "endpoint", None) is fn for router in routers for route in router.routes):
        raise TypeError(
            f"{fn.__qualname__} was registered without its cache, because @cache_response stands above the "
            f"route. Put it below, next to the function:\n"
            f"    @router.get(...)\n    @cache_response(...)\n    async def {fn.__name__}(...): ..."
        )


class Route:
    """One route of a handler, worked out once.

    Attributes:
        context: The route, kept alive so that its id stays its own.
        declared: What its dependency tree reads.
        arguments: Names of the handler's parameters that come in headers, cookies or the body.
        parses_body: Whether these hold the whole body that anybody declares.
        render: Runs the route's own code on the value that `render_with` left in the request's scope.
    """

    def __init__(self, scope: dict[str, Any], fn: Callable[..., Any]) -> None:
        self.context = context_of(scope)
        own: Dependant = self.context.dependant
        guards = [each for child in own.dependencies for each in _tree(child)]
        self.declared = _declared(own, guards)
        fields = [*own.header_params, *own.cookie_params, *own.body_params]
        self.arguments = tuple(field.name for field in fields)
        self.parses_body = bool(own.body_params) and not any(guard.body_params for guard in guards)
        self.render = _renderer(scope["route"], self.context, fn)


async def render_with(route: Route, request: Request, value: Any, sink: Response, headers: Any) -> Response:
    """Return what FastAPI would send for ``value``, with the status of ``sink`` and these raw headers."""
    request.scope[_VALUE] = (value, sink.status_code, headers)
    return await route.render(request)


def _renderer(
    route: APIRoute, context: Any, fn: Callable[..., Any]
) -> Callable[[Request], Awaitable[Response]]:
    """Build the route's own request handler around a function that returns a value already at hand."""

    def give(request: Request, response: Response) -> Any:
        value, response.status_code, headers = request.scope.pop(_VALUE)
        response.headers.raw.extend(headers)
        return value

    async def give_on_loop(request: Request, response: Response) -> Any:
        return give(request, response)

    call = functools.wraps(fn)(give_on_loop if inspect.iscoroutinefunction(fn) else give)
    own = copy.copy(route)
    vars(own).update({name: value for name, value in vars(context).items() if name in vars(own)})
    own.dependant = Dependant(
        call=call, path=route.path_format, request_param_name="request", response_param_name="response"
    )
    own.body_field = None
    return APIRoute.get_route_handler(own)  # not the subclass's: what it adds surrounds this very call


def _declared(own: Dependant, guards: list[Dependant]) -> Declared:
    schemes = [
        found
        for guard in guards
        if isinstance(found := inspect.unwrap(guard.call or _declared), SecurityBase)
    ]
    keys = [(getattr(scheme.model, "in_", None), getattr(scheme.model, "name", "")) for scheme in schemes]
    places = [(str(getattr(place, "value", place)), name) for place, name in keys if place is not None]
    return Declared(
        query=_query_names([*own.query_params, *(field for guard in guards for field in guard.query_params)]),
        own_headers=frozenset(_headers(own.header_params)),
        headers=frozenset(name for guard in guards for name in _headers(guard.header_params)),
        cookies=frozenset(
            name.encode() for guard in guards for field in guard.cookie_params for name in _names(field)
        ),
        credentials=frozenset(name.lower().encode() for place, name in places if place == "header"),
        credential_query=frozenset(name for place, name in places if place == "query"),
    )


def _tree(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for child in dependant.dependencies:
        yield from _tree(child)


def _query_names(fields: Iterable[Any]) -> frozenset[str]:
    return frozenset(name for field in fields for name in _names(field))


def _headers(fields: Iterable[Any]) -> Iterator[bytes]:
    return (name.lower().encode("latin-1") for field in fields for name in _names(field))


def _names(field: Any) -> Iterator[str]:
    """Every name that a parameter may have in a request: its alias, or those of the fields of a model."""
    info = field.field_info
    if not (inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel)):
        yield from _aliases(info) or {field.name}
        return
    for name, inner in info.annotation.model_fields.items():
        for spelling in {name, *_aliases(inner)}:
            yield from {
                spelling,
                spelling.replace("_", "-"),
            }  # a header model's fields may be spelt either way


def _aliases(info: Any) -> set[str]:
    found = (info.alias, info.validation_alias, *getattr(info.validation_alias, "choices", ()))
    return {alias for alias in found if isinstance(alias, str)}
