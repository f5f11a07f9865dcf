"""One answer of a WSGI application: held back until it is whole, or passed on as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from ...http.messages import Draft
from .environ import Environ, StartResponse, WSGIApp

__all__ = ["Exchange"]


class Exchange:
    """What an application gives; made in the thread that it runs in.

    Args:
        app: The application.
        environ: What it is asked.
        limit: Bytes of body that are held back at most.
    """

    def __init__(self, app: WSGIApp, environ: Environ, limit: int) -> None:
        self.whole: bool = False
        self._closed = False
        self._limit = limit
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._given = app(environ, self._start)
        self._rest: Iterator[bytes] = iter(self._given)
        try:
            self._hold_back()
        except BaseException:
            self.close()
            raise

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ARG002 - nothing has been sent yet
        self._status, self._headers = status, [*headers]
        return self._chunks.append

    def _hold_back(self) -> None:
        """Take what comes, until it is whole, too much, or has no end in sight."""
        while not self._status:  # a generator begins when it is asked for its first chunk
            chunk = next(self._rest, None)
            if chunk is None:
                return
            self._chunks.append(chunk)
        told = {name.lower(): value for name, value in self._headers}
        length = int(told["content-length"]) if told.get("content-length", "").isdigit() else None
        sized = isinstance(self._given, (list, tuple)) or (length is not None and length <= self._limit)
        if sized and not told.get("content-type", "").startswith("text/event-stream"):
            self._take_all(length)

    def _take_all(self, length: int | None) -> None:
        size = sum(map(len, self._chunks))
        while size <= self._limit:
            chunk = next(self._rest, None)
            if chunk is None:
                self.whole = length in {None, size}
                self.close()
                break
            self._chunks.append(chunk)
            size += len(chunk)

    def close(self) -> None:
        """Tell the application that its answer is over."""
        self._closed = True
        getattr(self._given, "close", lambda: None)()

    def mark(self, name: str, value: str) -> None:
        """Add a header to what is sent."""
        self._headers.append((name, value))

    def draft(self) -> Draft | None:
        """Return the response if it is whole."""
        if not self.whole:
            return None
        body = b"".join(self._chunks)
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._headers]
        if b"content-length" not in dict(headers):
            headers.append((b"content-length", b"%d" % len(body)))
        return Draft(int(self._status[:3]), headers, body)

    def answer(self, start_response: StartResponse) -> Iterable[bytes]:
        """Give the server what the application gave."""
        if self._status:
            start_response(self._status, self._headers)
        if self._closed:
            return self._chunks
        return self if self._chunks else self._given  # as it is: the server may know better ways to send it

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._chunks, self._rest)
