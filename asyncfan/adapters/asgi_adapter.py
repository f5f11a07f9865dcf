"""How an ASGI application behind a middleware is taken for one big handler."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..http.messages import Declared, Draft, RequestParts
from .asgi_exchange import Exchange
from .asgi_scope import Message, Send, parts_of
from .asgi_visit import Visit

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


class Adapter:
    """Ties the application to the cache."""

    signature: inspect.Signature | None = None

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A middleware makes its visits itself."""

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, from its scope."""
        return parts_of(visit.request)

    def declared(self, visit: Visit) -> Declared:
        """Return what the rule says that the application reads."""
        return visit.rule.declared

    def arguments(self, visit: Visit) -> Mapping[str, Any]:  # noqa: ARG002 - frameworks parse arguments
        """An application has none but the request."""
        return {}

    async def body(self, visit: Visit) -> bytes | None:
        """Read the body, and keep it for the application."""
        return await visit.read_body()

    async def call(self, visit: Visit) -> Exchange:
        """Ask the application."""
        return await visit.run()

    async def freeze(self, visit: Visit, result: Exchange) -> tuple[Exchange, Draft | None]:  # noqa: ARG002 - as above
        """Draft what came whole."""
        return result, result.draft()

    def emit(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Ready:
        """Return a response of ready parts."""
        return Ready(status, headers, body)

    def mark(self, visit: Visit, result: Exchange, name: str, value: str) -> Exchange:  # noqa: ARG002 - as above
        """Add a header to what the application sends."""
        result.mark(name.encode(), value.encode())
        return result
