"""What FastAPI knows of a route, and how the route turns a value into a response."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from ...http.messages import Declared, Headers
from ..unanswering import refuse_dependency
from .declared import declared, guards_of

__all__ = ["Route", "Routes", "render_with"]

_VALUE = "asyncfan.value"  # where a request's scope holds what the route's own code is to send


class Route:
    """One route of a handler, worked out once.

    Attributes:
        context: The route, kept alive so that its id stays its own.
        declared: What its dependency tree reads.
        arguments: Names of the handler's parameters that come in headers, cookies or the body.
        filled: Names of all parameters that FastAPI fills.
        parses_body: Whether these hold the whole body that anybody declares.
        render: Runs the route's own code on the value that `render_with` left in the request's scope.
    """

    def __init__(self, scope: dict[str, Any], fn: Callable[..., Any]) -> None:
        self.context: Any = _context_of(scope)
        guards = guards_of(own := self.context.dependant)
        refuse_dependency(fn, [guard.call for guard in guards])
        self.declared: Declared = declared(own, guards)
        fields = [*own.header_params, *own.cookie_params, *own.body_params]
        self.arguments: tuple[str, ...] = tuple(field.name for field in fields)
        self.filled: frozenset[str] = _filled(own)
        self.parses_body: bool = bool(own.body_params) and not any(guard.body_params for guard in guards)
        self.render: Callable[[Request], Awaitable[Response]] = _renderer(scope["route"], self.context, fn)


class Routes:
    """What is known of the routes of one handler."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self._known: dict[int, Route] = {}  # {id of the route: what is known of it}

    def at(self, scope: dict[str, Any]) -> Route:
        """Return what is known of a request's route."""
        context = _context_of(scope)
        route = self._known.get(id(context))
        return route or self._known.setdefault(id(context), Route(scope, self._fn))


def _context_of(scope: dict[str, Any]) -> Any:
    """Return the route as included: with the response class and dependencies of the routers above it."""
    return scope.get("fastapi", {}).get("effective_route_context") or scope["route"]


def _filled(own: Dependant) -> frozenset[str]:
    fields = (*own.path_params, *own.query_params, *own.header_params, *own.cookie_params, *own.body_params)
    named = (getattr(own, key) for key in dir(own) if key.endswith("_param_name"))  # such as the request's
    names = [*[each.name for each in fields], *[each.name for each in own.dependencies], *named]
    return frozenset(filter(None, names))


async def render_with(route: Route, request: Request, value: Any, sink: Response, headers: Headers) -> Response:
    """Return what FastAPI would send for ``value``, with the status of ``sink`` and these raw headers."""
    request.scope[_VALUE] = (value, sink.status_code, headers)
    return await route.render(request)


def _renderer(route: APIRoute, context: Any, fn: Callable[..., Any]) -> Callable[[Request], Awaitable[Response]]:
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
