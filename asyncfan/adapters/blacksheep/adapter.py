"""BlackSheep: arguments arrive parsed by their annotations, a returned value becomes a response.

At shutdown: ``app.on_stop += close``, with ``async def close(app): await cache.aclose()``. A middleware may put
``async with scope(tenant=...)`` around its handler. BlackSheep lets a handler end whose client has hung up, unless a
middleware around the application cancels it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from blacksheep import Content, Request, Response, StreamedContent
from blacksheep.server.normalization import ensure_response

from ...http.messages import Declared, Draft, RequestParts, Visit
from ..asgi.scope import parts_of
from ..misplaced import refuse_registered
from ..undeclared import Undeclared
from .declared import annotations_of, declared, telling, with_request
from .watching import watch

__all__ = ["Adapter"]

_OF_CONTENT = frozenset({b"content-type", b"content-length"})  # BlackSheep writes them by itself, for each content


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


class Adapter(Undeclared):
    """Ties one BlackSheep handler, a function or a method of a Controller, to the cache; adds the request it lacks."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, ())
        refuse_registered(fn, [fn] if hasattr(fn, "route_handler") else [], "@app.router.get(...)")
        own, kinds = inspect.signature(fn), annotations_of(fn)
        self._names = tuple(own.parameters)
        self._declared = declared(kinds)
        self.signature: inspect.Signature | None = with_request(own, kinds)
        self._adds = self.signature is not own

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of the request among the arguments; the last one is ours, where it was added."""
        found = [value for value in (*args, *kwargs.values()) if isinstance(value, Request)]
        return Visit(found[-1], args[:-1] if self._adds else args, kwargs) if found else None

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, from its ASGI scope."""
        return parts_of(visit.request.scope)

    def declared(self, visit: Visit) -> Declared:  # noqa: ARG002 - it is the handler's own
        """Return what the handler's parameters read."""
        return self._declared

    def arguments(self, visit: Visit) -> Mapping[str, Any]:
        """Return the handler's arguments that tell requests apart."""
        return telling({**dict(zip(self._names, visit.args, strict=False)), **visit.kwargs})

    async def body(self, visit: Visit) -> bytes | None:
        """Read the body, which the request keeps for the handler; None of a form that is read as a stream."""
        request: Request = visit.request
        return None if request.declares_content_type(b"multipart") else await request.read() or b""

    def watch(self, visit: Visit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers that are read of the request, of which cookies are one."""
        watch(visit.request, lambda name: saw("header", name))

    async def freeze(self, visit: Visit, result: Any) -> tuple[Any, Draft | None]:  # noqa: ARG002 - others need it
        """Draft what BlackSheep would send for ``result``; nothing that streams."""
        response = ensure_response(result)
        content = response.content
        if isinstance(content, StreamedContent):
            return response, None
        headers = [(name.lower(), value) for name, value in response.headers]
        body = b"" if content is None else content.body
        if content is not None:
            headers.append((b"content-type", content.type or b"application/octet-stream"))
        return response, Draft(response.status, (*headers, (b"content-length", b"%d" % len(body))), body)

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:  # noqa: ARG002 - others need it
        """Return a new response of ready parts."""
        rest = [pair for pair in headers if pair[0] not in _OF_CONTENT]
        by_name = dict(headers)
        if b"content-type" not in by_name:
            return Response(status, rest)
        kind, length = by_name[b"content-type"], int(by_name.get(b"content-length", len(body)))
        same = len(body) == length  # otherwise it is for HEAD
        return Response(status, rest, Content(kind, body) if same else StreamedContent(kind, _nothing, length))

    def mark(self, visit: Visit, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - others need it
        """Set a header of the handler's response."""
        response = ensure_response(result)
        response.set_header(name.encode(), value.encode())
        return response
