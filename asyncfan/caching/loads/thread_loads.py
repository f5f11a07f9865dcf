"""A load in a thread: that of a plain function."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ...context import loading
from .flights import AGAIN, LATE, Flight
from .storing import Storing, served
from .tiering import Passage, heard_in_thread, is_shareable

__all__ = ["ThreadLoads"]

V = TypeVar("V")


class ThreadLoads(Storing):
    """The part of an operation whose loads run in the thread of their first caller, or in one that the cache owns."""

    loads_cancelled: int  # counted here too

    def fetch_in_thread(
        self,
        key: Any,
        call: Callable[[], V],
        *,
        tags: tuple[str, ...] = (),
        anew: bool = False,
        asked: bool | None = None,
    ) -> V:
        """As `fetch`, for a plain function: the first caller runs it, callers in other threads block meanwhile.

        Where callers wait only so long, or not at all, it runs in a thread that the cache owns.
        """
        counts = not anew
        if anew:
            self.fence(key)
        patience = None if anew else self.freshness.soft_timeout
        while True:
            entry, flight, waiter = self.enter(key, None, concurrent.futures.Future, anew=anew, counts=counts)
            leads = bool(flight) and waiter is None
            if leads:
                flight.tags, flight.anew, flight.asked = tags, anew, asked
            patience = patience if key in self.table else None
            try:
                if leads and (entry is not None or patience is not None):
                    self._launch_thread(flight, call)
                elif leads:
                    self._lead_here(flight, call)
                if entry is not None:
                    return served(entry)  # type: ignore[no-any-return]
                if leads:
                    waiter = flight.seat(concurrent.futures.Future)
                result = flight.take() if waiter is None else flight.wait_in_thread(waiter, patience)
            finally:
                del flight, waiter, entry
            if result is LATE:
                result, patience = self.overdue(key), None
            if result is not AGAIN:
                return result  # type: ignore[no-any-return]
            counts = False

    def _lead_here(self, flight: Flight, call: Callable[[], Any]) -> None:
        """Run one load in this thread, through the tier that processes share, if there is one."""
        text, tier = self.text(flight.key), self.tier
        if tier is None:
            return self._load_here(flight, call)
        if not is_shareable(text):
            return self._load_here(flight, partial(heard_in_thread, tier, call))
        flight.passage = passage = Passage(tier, flight, text, flight.how or self.freshness)
        try:
            self._load_here(flight, partial(passage.through_in_thread, call))
        finally:
            tier.blocking(passage.end())
        return None

    def _load_here(self, flight: Flight, call: Callable[[], Any]) -> None:
        """Run one load in this thread, and settle its flight."""
        token = loading.set(flight)
        started = self.cache.clock()
        try:
            value = call()
            entry = self.succeeded(flight, value, started)
        except asyncio.CancelledError:
            self.loads_cancelled += 1
            self.settle(flight, AGAIN)
            raise
        except BaseException as error:
            result, entry = self.failed(flight, error, started)
            self.settle(flight, result if isinstance(error, Exception) else AGAIN, entry)
            if not isinstance(error, Exception):
                raise
        else:
            self.settle(flight, value, entry)
        finally:
            loading.reset(token)
            del flight

    def _launch_thread(self, flight: Flight, call: Callable[[], Any]) -> None:
        """Run the load in a thread that the cache owns, in a copy of the caller's context."""

        def load() -> None:
            try:
                self._lead_here(flight, call)
            finally:
                self.cache.threads.discard(threading.current_thread())

        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(load,), name=self.task_name, daemon=True
        )  # fmt: skip
        try:
            with self.lock:  # who closes the cache waits for threads that have started
                self.cache.threads.add(thread)
                thread.start()
        except BaseException:  # no more threads
            self.cache.threads.discard(thread)
            self.settle(flight, AGAIN)
            raise
