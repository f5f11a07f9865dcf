"""Listens for what other processes invalidate."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from ..clears.patterns import Pattern
from .messages import Message, parse_message
from .portal import Portal
from .protocol import Store

__all__ = ["Bus", "Invalidated"]

log: logging.Logger = logging.getLogger("asyncfan.caching")

RETRY = 0.2  # seconds between attempts to connect


class Invalidated(Protocol):
    """What is told of the invalidations of other processes: the memory tier. Called in a thread of the tier's.

    Loads that are under way are meant too: what they give must not be kept.
    """

    def drop_texts(self, texts: tuple[str, ...]) -> None:
        """Forget the keys of these texts."""
        ...

    def drop_patterns(self, patterns: tuple[Pattern, ...]) -> None:
        """Forget what these patterns mean."""
        ...

    def drop_tags(self, tags: tuple[str, ...]) -> None:
        """Forget what has one of these tags."""
        ...

    def drop_all(self) -> None:
        """Forget everything that came through the tier: messages may have been missed."""
        ...


class Bus:
    """One connection that is always there, or being made anew; runs in the portal's loop.

    Args:
        store: The server.
        portal: Where to listen.
        heard: Called with each message, None for one that is none of ours.
        connected: Called when no message from now on will be missed.

    Attributes:
        connected: Whether messages arrive now.
        losses: How often the connection was lost.
    """

    def __init__(
        self,
        store: Store,
        portal: Portal,
        heard: Callable[[Message | None], None],
        connected: Callable[[], None],
    ) -> None:
        self._store = store
        self._portal = portal
        self._heard = heard
        self._on_connected = connected
        self._lock = threading.Lock()
        self._listening: concurrent.futures.Future[None] | None = None
        self.tried: concurrent.futures.Future[None] = concurrent.futures.Future()  # set after the first attempt
        self.connected: bool = False
        self.losses: int = 0

    def start(self) -> None:
        """Listen from now on, unless it does."""
        with self._lock:
            if not self.started:
                self.tried = concurrent.futures.Future()
                listening = self._listen_for_good(self.tried)
                self._listening = self._portal.start(listening, "asyncfan:shared tier listens")

    async def _listen_for_good(self, tried: concurrent.futures.Future[None]) -> None:
        try:
            while True:
                try:
                    await self._listen(tried)
                except Exception as error:  # noqa: BLE001 - whatever it is, messages may be missed
                    if self.connected:
                        log.warning("the shared cache's messages are lost for now: %s", type(error).__name__)
                self._lost(tried)
                await asyncio.sleep(RETRY)
        finally:
            self._lost(tried)

    async def _listen(self, tried: concurrent.futures.Future[None]) -> None:
        async with contextlib.aclosing(self._store.listen()) as messages:  # type: ignore[type-var]
            async for message in messages:
                if message:
                    self._heard(parse_message(message))
                else:
                    self._on_connected()
                    self.connected = tried is self.tried
                    _set(tried)

    def _lost(self, tried: concurrent.futures.Future[None]) -> None:
        if tried is self.tried:  # else it was forgotten, and another one may be connected
            self.losses += self.connected
            self.connected = False
        _set(tried)

    @property
    def started(self) -> bool:
        """Whether it listens, or tries to."""
        return self._listening is not None and not self._listening.done()

    def stop(self) -> None:
        """Take it that the portal is about to end what runs there; `start` does not wait for that."""
        with self._lock:
            self._listening = None
            self.connected = False
            self.tried = concurrent.futures.Future()

    def forget(self) -> None:
        """In a forked child: leave listening to the parent."""
        self._lock = threading.Lock()
        self.stop()

    def __repr__(self) -> str:
        return f"<Bus {'connected' if self.connected else 'not connected'}, {self.losses} losses>"


def _set(tried: concurrent.futures.Future[None]) -> None:
    if not tried.done():
        tried.set_result(None)
