"""Litestar: arguments arrive parsed, a returned value becomes a response by the route's own rules.

At shutdown: ``Litestar(..., on_shutdown=[cache.aclose])``. A client that hangs up ends no handler. A middleware
may put ``async with scope(tenant=...)`` around the next one. What a return DTO makes is sent, but not stored.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Controller, Request, Response
from litestar.exceptions import InternalServerException
from litestar.response.base import ASGIResponse

from ...http.auditing import Watched
from ...http.messages import Declared, Draft, RequestParts
from ..asgi.scope import parts_of
from ..undeclared import Undeclared
from .ready import Ready
from .route import Route, RouteVisit, with_request

__all__ = ["Adapter"]


class Adapter(Undeclared):
    """Ties one Litestar handler to the cache; adds the ``request`` parameter, if it lacks it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, (Controller,))
        self._fn = fn
        self._routes: dict[int, Route] = {}  # {id of the route's handler: what is known of it}
        own = inspect.signature(fn)
        self._lacks = "request" not in own.parameters
        self.signature: inspect.Signature | None = with_request(own) if self._lacks else own

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> RouteVisit | None:
        """Return the visit of a call by Litestar, which passes everything by name."""
        request = kwargs.get("request")
        if not isinstance(request, Request):
            return None
        if self._lacks:
            del kwargs["request"]
        return RouteVisit(request, args, kwargs, route=self._route(request))

    def parts(self, visit: RouteVisit) -> RequestParts:
        """Return the request's parts, from its ASGI scope."""
        return parts_of(visit.request.scope)

    def declared(self, visit: RouteVisit) -> Declared:
        """Return what the route, its guards and its dependencies read."""
        return visit.route.declared

    def arguments(self, visit: RouteVisit) -> Mapping[str, Any]:
        """Return the handler's arguments from headers and cookies, and from a decorator below the route."""
        found = {name: visit.kwargs[name] for name in visit.route.arguments if name in visit.kwargs}
        return {**found, **self._passed.beside(visit, visit.route.filled)}

    async def body(self, visit: RouteVisit) -> bytes | None:
        """Read the body, which the request keeps for the handler; None if a form was parsed from it before."""
        try:
            return await visit.request.body()  # type: ignore[no-any-return]
        except InternalServerException:
            return None

    def watch(self, visit: RouteVisit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request."""
        request, state = visit.request, visit.request._connection_state  # noqa: SLF001 - has no other door
        request._cookies = Watched(request.cookies, lambda name: saw("cookie", name))  # noqa: SLF001
        state.headers = Watched(request.headers, lambda name: saw("header", name))

    async def freeze(self, visit: RouteVisit, result: Any) -> tuple[Any, Draft | None]:
        """Draft what Litestar would send for ``result``, without what its layers add to each response."""
        made = visit.route.render(result, visit.request)
        if made is None:
            return result, None
        parts = made.status_code, made.encode_headers(), made.body
        return Ready(*parts), Draft(*parts)

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response[bytes]:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        return Ready(status, headers, body)

    def mark(self, visit: RouteVisit, result: Any, name: str, value: str) -> Any:
        """Set a header of the handler's response, or of the one that Litestar would make."""
        response = result if isinstance(result, Response | ASGIResponse) else visit.route.response_of(result)
        if response is not None:
            response.headers[name] = value
        return response or result

    def _route(self, request: Any) -> Route:
        handler = request.route_handler
        found = self._routes.get(id(handler))
        return found or self._routes.setdefault(id(handler), Route(handler, request.path_params, self._fn))
