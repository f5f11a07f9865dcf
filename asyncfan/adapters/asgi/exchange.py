"""One answer of an ASGI application: held back until it is whole, or sent on as it comes."""

from __future__ import annotations

import asyncio

from ...http.messages import Draft
from .scope import Message, Send

__all__ = ["Exchange"]

_START, _BODY = "http.response.start", "http.response.body"


class Exchange:
    """What an application sends; `known` is set once it is whole, or turns out to be a stream.

    Args:
        send: Where it goes; None: nowhere, it is made to be stored.
        limit: Bytes of body that are held back at most.
    """

    def __init__(self, send: Send | None, limit: int) -> None:
        self.known: asyncio.Event = asyncio.Event()
        self.live: bool = False  # it is sent on as it comes, from when what was held back has been sent
        self._send = send
        self._limit = limit
        self._opened = asyncio.Event()  # what was held back has been sent
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._length: int | None = None  # what Content-Length says
        self._more = True  # the last chunk has not come yet

    async def take(self, message: Message) -> None:
        """Be the application's ``send``."""
        if not self.live and self._hold_back(message):
            return
        if self._start is not None:
            await self._opened.wait()
        if self._send is not None:
            await self._send(message)

    def _hold_back(self, message: Message) -> bool:
        """Keep a message, if it is one of a response that may be whole in the end."""
        if message["type"] == _START:
            headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
            self._start = {**message, "headers": headers}
            told = dict(headers)
            length = told.get(b"content-length", b"")
            self._length = int(length) if length.isdigit() else None
            endless = told.get(b"content-type", b"").startswith(b"text/event-stream")
            if endless or message.get("trailers") or (self._length or 0) > self._limit:
                self._go_live()
            return True
        if self._start is None:  # such as an early hint
            return False
        if message["type"] != _BODY:
            self._go_live()
            return False
        self._chunks.append(message.get("body", b""))
        self._size += len(self._chunks[-1])
        self._more = message.get("more_body", False)
        if self._size > self._limit or (self._more and self._length is None):  # no end in sight
            self._go_live()
        elif not self._more:
            self.known.set()
        return True

    def _go_live(self) -> None:
        self.live = True
        self.known.set()

    def mark(self, name: str, value: str) -> None:
        """Add a header to what is sent."""
        if self._start is not None:
            self._start["headers"].append((name.encode(), value.encode()))

    @property
    def whole(self) -> bool:
        """Whether all of it is held back."""
        return self._start is not None and not self.live and not self._more

    def draft(self) -> Draft | None:
        """Return the response if it is whole, and as long as it says."""
        if self._start is None or not self.whole or self._length not in {None, self._size}:
            return None
        length = [] if self._length is not None else [(b"content-length", b"%d" % self._size)]
        return Draft(self._start["status"], [*self._start["headers"], *length], b"".join(self._chunks))

    async def send_to(self, send: Send) -> None:
        """Send what was held back; the application goes on behind it."""
        if self._start is not None:
            await send(self._start)
            if self._chunks:
                await send({"type": _BODY, "body": b"".join(self._chunks), "more_body": self._more})
        self._opened.set()
