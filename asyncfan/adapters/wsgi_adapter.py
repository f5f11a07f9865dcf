"""How a WSGI application behind a middleware is taken for one big handler."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from ..http.messages import Declared, Draft, RequestParts
from .wsgi_environ import StartResponse, parts_of
from .wsgi_exchange import Exchange
from .wsgi_visit import Visit

__all__ = ["Adapter", "Ready"]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Ready:
    """A response whose parts are at hand."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._status = f"{status} {_PHRASES.get(status, 'Unknown')}"
        self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        self._body = body

    def answer(self, start_response: StartResponse) -> Iterable[bytes]:
        """Give it to the server."""
        start_response(self._status, self._headers)
        return [self._body] if self._body else []


class Adapter:
    """Ties the application to the cache."""

    signature: inspect.Signature | None = None

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A middleware makes its visits itself."""

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, from its environ."""
        return parts_of(visit.request)

    def declared(self, visit: Visit) -> Declared:
        """Return what the rule says that the application reads."""
        return visit.rule.declared

    def arguments(self, visit: Visit) -> Mapping[str, Any]:  # noqa: ARG002 - frameworks parse arguments
        """An application has none but the request."""
        return {}

    async def body(self, visit: Visit) -> bytes | None:
        """Return the body, which was read in the request's thread."""
        return visit.body

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
        result.mark(name, value)
        return result
