"""What the parameters of a BlackSheep handler read of a request."""

from __future__ import annotations

import datetime as dt
import inspect
import uuid
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from blacksheep import Request
from blacksheep.server.bindings import ClientInfo, FromCookie, FromHeader, RequestUser
from guardpost import Identity

from ...http.messages import Declared

__all__ = ["annotations_of", "declared", "telling", "with_request"]

_ADDED = "asyncfan_request"
_PLAIN = {bool, int, float, str, bytes, uuid.UUID, dt.date, dt.datetime}
_FILLED = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of the parameters, as BlackSheep will read them."""
    try:
        return get_type_hints(fn)
    except (NameError, TypeError):  # one that only type checkers know
        return dict(fn.__annotations__)


def with_request(signature: inspect.Signature, kinds: Mapping[str, Any]) -> inspect.Signature:
    """Return ``signature``, with a parameter for the request if it has none and BlackSheep could fill it."""
    parameters = list(signature.parameters.values())
    takes = "request" in signature.parameters or any(_is(kind, Request) for kind in kinds.values())
    if takes or any(parameter.kind not in _FILLED for parameter in parameters):
        return signature
    added = inspect.Parameter(_ADDED, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Request)
    return signature.replace(parameters=[*parameters, added])


def declared(kinds: Mapping[str, Any]) -> Declared:
    """Return what they read; one that takes its user from a guard depends on whatever the guard looks at."""
    headers = {(kind.name or name).lower().encode() for name, kind in kinds.items() if _is(kind, FromHeader)}
    cookies = {b"cookie" for kind in kinds.values() if _is(kind, FromCookie)}
    asks_who = any(_is(kind, RequestUser, Identity) for kind in kinds.values())
    return Declared(own_headers=frozenset(headers | cookies), opaque=asks_who)


def telling(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those from headers and cookies, the client's address, and plain data.

    That may come from a decorator below the route, as well as from the path; services are objects.
    """
    plain = {name: x for name, x in arguments.items() if type(x) in _PLAIN}
    bound = {name: x.value for name, x in arguments.items() if isinstance(x, FromHeader | FromCookie | ClientInfo)}
    return {**plain, **bound}


def _is(kind: Any, *wanted: type) -> bool:
    kind = getattr(kind, "__origin__", kind)
    return inspect.isclass(kind) and issubclass(kind, wanted)
