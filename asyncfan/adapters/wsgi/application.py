"""How a WSGI application behind a middleware is taken for one big handler."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from ...http.messages import RequestParts
from ..behind import Behind
from .environ import StartResponse, parts_of
from .visit import Visit

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


class Adapter(Behind):
    """Ties the application to the cache."""

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, from its environ."""
        return parts_of(visit.request)

    async def body(self, visit: Visit) -> bytes | None:
        """Return the body, which was read in the request's thread."""
        return visit.body

    def emit(self, visit: Visit, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Ready:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        return Ready(status, headers, body)
