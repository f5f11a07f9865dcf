"""aiohttp.web: the request is a function's argument or a `View`'s attribute, a response is sent only once.

At shutdown: ``app.on_cleanup.append(lambda app: cache.aclose())``. A middleware may put
``async with scope(tenant=...)`` around its handler. A client that hangs up cancels its handler, and what that has
started, only under ``web.run_app(app, handler_cancellation=True)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import StreamReader, web
from multidict import CIMultiDict

from ..http.auditing import Watched
from ..http.messages import Draft, RequestParts, Visit
from .misplaced import near, refuse_registered
from .sending import unshared_from
from .undeclared import Undeclared

__all__ = ["Adapter"]


class Adapter(Undeclared):
    """Ties one aiohttp handler, a function or a method of a `View`, to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, (web.Request, web.View))
        tables = near(fn, web.RouteTableDef)
        refuse_registered(fn, [getattr(x, "handler", None) for table in tables for x in table], "@routes.get(...)")

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of the request among the arguments, or of the one that a view was made for."""
        values = (value.request if isinstance(value, web.View) else value for value in (*args, *kwargs.values()))
        request = next((value for value in values if isinstance(value, web.Request)), None)
        return None if request is None else Visit(request, args, kwargs)

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, its URL as it came."""
        request: web.Request = visit.request
        url = request.rel_url
        headers = [(name.lower(), value) for name, value in request.raw_headers]
        path, query = url.raw_path.encode(), url.raw_query_string.encode()
        return RequestParts(request.method, request.scheme, path, query, headers)

    async def body(self, visit: Visit) -> bytes | None:
        """Read the body, and lay it out for the handler again; None if somebody has read some of it."""
        request: Any = visit.request
        begun = request._post is not None or bool(getattr(request._payload, "_cursor", 0))  # noqa: SLF001
        if begun and request._read_bytes is None:  # noqa: SLF001
            return None
        body: bytes = await request.read()
        again = StreamReader(request.protocol, len(body) + 1, loop=asyncio.get_running_loop())  # it pauses nobody
        again.feed_data(body)
        again.feed_eof()
        request._payload = again  # noqa: SLF001 - what reads as a stream (a multipart form) would find it at its end
        request._cache.pop("content", None)  # noqa: SLF001
        return body

    def watch(self, visit: Visit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request."""
        request: Any = visit.request
        request._cache["cookies"] = Watched(request.cookies, lambda name: saw("cookie", name))  # noqa: SLF001
        request._cache["headers"] = Watched(request.headers, lambda name: saw("header", name))  # noqa: SLF001

    async def call(self, visit: Visit) -> Any:
        """Run the handler; a response that it raises is one, of which each request needs its own."""
        try:
            with unshared_from(visit.request, "_prepare_hook"):
                return await super().call(visit)
        except web.HTTPException as answer:
            return answer

    async def freeze(self, visit: Visit, result: Any) -> tuple[Any, Draft | None]:  # noqa: ARG002 - others need it
        """Draft a response whose body is bytes, unless it is being sent already or is to be compressed."""
        sent = not isinstance(result, web.Response) or result.prepared or result.compression or result.chunked
        if sent or not isinstance(result.body, bytes | bytearray | None):
            return result, None
        cookies = [("set-cookie", morsel.OutputString()) for morsel in result.cookies.values()]
        headers = [(name.lower().encode(), value.encode()) for name, value in [*result.headers.items(), *cookies]]
        body = bytes(result.body or b"")
        if "content-length" not in result.headers:
            headers.append((b"content-length", b"%d" % len(body)))
        return result, Draft(result.status, tuple(headers), body)

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> web.Response:  # noqa: ARG002 - others need it
        """Return a new response of ready parts."""
        pairs = CIMultiDict((name.decode(), value.decode()) for name, value in headers)
        return web.Response(status=status, headers=pairs, body=body)

    def mark(self, visit: Visit, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - others need it
        """Set a header of the handler's response; raise what it raised."""
        if isinstance(result, web.StreamResponse) and not result.prepared:
            result.headers[name] = value
        if isinstance(result, web.HTTPException):
            raise result
        return result
