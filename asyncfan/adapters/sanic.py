"""Sanic: the request is the first argument, middlewares write on the response that a handler returned.

At shutdown: ``app.after_server_stop(lambda app: cache.aclose())``. A request and a response middleware run in the task
of the handler, so they may enter and leave ``scope(tenant=...)``. Under Sanic's own server a client that hangs up
cancels its handler, and what that has started. What ``sanic.response.file`` has read is a response like any other, and
stored; what streams (``file_stream``, ``request.respond()``) is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from sanic import Blueprint, Request, Sanic
from sanic.compat import Header
from sanic.response import BaseHTTPResponse, HTTPResponse, ResponseStream
from sanic.views import HTTPMethodView

from ..http.auditing import Watched
from ..http.messages import Draft, RequestParts, Visit
from .misplaced import near, refuse_registered
from .sending import unshared_from
from .undeclared import Undeclared

__all__ = ["Adapter"]


class Adapter(Undeclared):
    """Ties one Sanic handler, a function or a method of an HTTPMethodView, to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, (Request, HTTPMethodView))
        routes = chain.from_iterable(router._future_routes for router in near(fn, Sanic, Blueprint))  # noqa: SLF001 - there even before start
        refuse_registered(fn, [route.handler for route in routes], "@app.get(...)")

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of the request among the arguments."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, Request):
                return Visit(value, args, kwargs)
        return None

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, its URL as it came."""
        request: Request = visit.request
        path, _, query = request.raw_url.partition(b"?")
        headers = [
            (name.lower().encode(), str(value).encode("utf-8", "surrogateescape"))
            for name, value in request.headers.items()
        ]
        return RequestParts(request.method, request.scheme, path, query, headers)

    def arguments(self, visit: Visit) -> Mapping[str, Any]:
        """Return what a decorator has passed beside what is in the path."""
        return self._passed.more(visit, (), visit.request.match_info)

    async def body(self, visit: Visit) -> bytes | None:
        """Return the body, which Sanic has read; None where the handler reads a stream of it."""
        request: Request = visit.request
        if not request.body and request.stream is not None and request.stream.request_body:
            return None
        return request.body

    def watch(self, visit: Visit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request."""
        request: Any = visit.request
        request.parsed_cookies = Watched(request.cookies, lambda name: saw("cookie", name))
        request.headers = Watched(request.headers, lambda name: saw("header", name))

    async def call(self, visit: Visit) -> Any:
        """Run the handler, which may answer by ``request.respond()`` and send as long as it likes."""
        stream: Any = visit.request.stream
        if stream is None:  # a request that no server has taken
            return await super().call(visit)
        with unshared_from(stream, "response_func" if hasattr(stream, "response_func") else "send"):
            return await super().call(visit)

    async def freeze(self, visit: Visit, result: Any) -> tuple[Any, Draft | None]:  # noqa: ARG002 - others need it
        """Draft a response that nobody has begun to send."""
        if not isinstance(result, HTTPResponse) or result.stream is not None or not isinstance(result.body, bytes):
            return result, None
        headers = [(name.lower(), value) for name, value in result.processed_headers]
        if "content-length" not in result.headers:
            headers.append((b"content-length", b"%d" % len(result.body)))
        return result, Draft(result.status, tuple(headers), result.body)

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> HTTPResponse:  # noqa: ARG002 - others need it
        """Return a new response of ready parts."""
        pairs = Header((name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in headers)
        return HTTPResponse(body, status, pairs, pairs.get("content-type"))

    def mark(self, visit: Visit, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - others need it
        """Set a header of the handler's response."""
        if isinstance(result, BaseHTTPResponse | ResponseStream):
            result.headers[name] = value
        return result
