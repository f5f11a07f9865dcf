"""Tornado: the handler object holds request and response, its methods write on it and return nothing.

At shutdown: ``await cache.aclose()`` at the end of the application's ``main``. ``prepare`` may enter
``scope(tenant=...)`` for the rest of the request's task; ``on_connection_close`` may cancel that, as Tornado does not.
``identity=`` is called with the handler. A plain ``def`` runs in a thread, so must not ``flush``.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from tornado import gen
from tornado.httputil import HTTPHeaders
from tornado.web import RequestHandler

from ...http.auditing import Watched
from ...http.messages import Draft, Headers, RequestParts
from ..in_place import Placed, drafted, overlaid, placed
from ..misplaced import refuse_guard
from ..undeclared import Undeclared
from .finish import unsent

__all__ = ["Adapter"]


class Adapter(Undeclared):
    """Ties one method of a RequestHandler to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        on_loop = inspect.iscoroutinefunction(fn) or gen.is_coroutine_function(fn)
        super().__init__(fn, (RequestHandler,), runs_on_loop=on_loop)
        refuse_guard(fn, "tornado.web", "@authenticated")

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Placed | None:
        """Return the visit of the handler object that the method belongs to."""
        if not args or not isinstance(args[0], RequestHandler):
            return None
        visit = placed(args[0], args, kwargs, args[0], _headers(args[0]))
        visit.kept = copy.copy(getattr(args[0], "_new_cookie", {}))
        return visit

    def parts(self, visit: Placed) -> RequestParts:
        """Return the request's parts, its URL as it came."""
        request = visit.request.request
        path, query = request.path.encode(), request.query.encode()
        method = "" if visit.inner else request.method
        return RequestParts(method, request.protocol, path, query, _encoded(request.headers.get_all()))

    async def body(self, visit: Placed) -> bytes | None:
        """Return the body, which Tornado has read; None where the handler was given a stream of it."""
        body: bytes | None = visit.request.request.body
        return None if getattr(type(visit.request), "_stream_request_body", False) else body

    def watch(self, visit: Placed, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request."""
        request = visit.request.request
        request._cookies = Watched(request.cookies, lambda name: saw("cookie", name))  # noqa: SLF001
        request.headers = Watched(request.headers, lambda name: saw("header", name))

    async def call(self, visit: Placed) -> None:
        """Run the method; what it finishes is sent when it has returned."""
        with visit.running(), unsent(visit.response):
            await super().call(visit)

    async def freeze(self, visit: Placed, result: Any) -> tuple[Any, Draft | None]:
        """Draft what was written, unless it is on its way."""
        handler = visit.response
        if handler._headers_written or handler._finished:  # noqa: SLF001
            return result, None
        return result, drafted(visit, handler.get_status(), _headers(handler), b"".join(handler._write_buffer))  # noqa: SLF001

    def emit(self, visit: Placed, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Write these parts on the handler, in the place of what it wrote."""
        handler: Any = visit.response
        if handler._headers_written:  # noqa: SLF001
            raise RuntimeError(f"{type(handler).__name__} failed after it had begun to send its response")
        handler.set_status(status)
        handler._headers, handler._write_buffer, handler._new_cookie = HTTPHeaders(), [body] * bool(body), visit.kept  # noqa: SLF001
        for name, value in overlaid(visit, headers):
            handler._headers.add(name.decode(), value.decode("latin-1"))  # noqa: SLF001

    def mark(self, visit: Placed, result: Any, name: str, value: str) -> Any:
        """Set a header of the handler's response, if it is not on its way."""
        if not visit.response._headers_written:  # noqa: SLF001
            visit.response.set_header(name, value)
        return result


def _headers(handler: Any) -> Headers:
    jar = getattr(handler, "_new_cookie", None) or {}
    cookies = [("Set-Cookie", morsel.OutputString(None)) for morsel in jar.values()]
    return _encoded([*handler._headers.get_all(), *cookies])  # noqa: SLF001


def _encoded(pairs: Iterable[tuple[str, str]]) -> Headers:
    return tuple((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in pairs)
