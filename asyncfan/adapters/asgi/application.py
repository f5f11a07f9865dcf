"""How an ASGI application behind a middleware is taken for one big handler."""

from __future__ import annotations

from ...http.messages import RequestParts
from ..behind import Behind
from .scope import Message, Send, parts_of
from .visit import Visit

__all__ = ["Adapter", "Ready"]


class Ready:
    """A response whose parts are at hand."""

    __slots__ = ("_body", "_start")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        self._body: Message = {"type": "http.response.body", "body": body}

    async def send_to(self, send: Send) -> None:
        """Send it."""
        await send(self._start)
        await send(self._body)


class Adapter(Behind):
    """Ties the application to the cache."""

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, from its scope."""
        return parts_of(visit.request)

    async def body(self, visit: Visit) -> bytes | None:
        """Read the body, and keep it for the application."""
        return await visit.read_body()

    def emit(self, visit: Visit, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Ready:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        return Ready(status, headers, body)
