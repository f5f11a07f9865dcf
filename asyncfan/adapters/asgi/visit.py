"""One request on its way through the ASGI middleware, and how the application behind it is asked."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from ...http.messages import LONGEST_BODY, Headers
from ...http.rules import Rule
from .exchange import Exchange
from .scope import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Visit"]

_CONDITIONS = frozenset(b"if-none-match if-modified-since if-match if-unmodified-since if-range range".split())


class Visit:
    """One request, its body as far as it was read, and the application's run for it."""

    __slots__ = ("_app", "_early", "_receive", "_send", "_task", "args", "body", "extra", "kwargs", "request", "rule")

    def __init__(self, scope: Scope, app: ASGIApp, receive: Receive, send: Send | None, rule: Rule) -> None:
        self.request: Scope = scope
        self.rule: Rule = rule
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.extra: Headers = ()
        self.body: bytes = b""
        self._app = app
        self._receive = receive
        self._send = send
        self._early: deque[Message] | None = None  # what was read for the key, and the application has yet to get
        self._task: asyncio.Task[None] | None = None

    def again(self) -> Visit:
        """Return a visit that asks the same for nobody, on no conditions."""
        scope = dict(self.request)
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _CONDITIONS]
        scope["state"] = dict(scope.get("state", {}))
        scope["extensions"] = {}
        visit = Visit(scope, self._app, _never, None, self.rule)
        visit._early = deque([{"type": "http.request", "body": self.body, "more_body": False}])
        return visit

    async def read_body(self) -> bytes | None:
        """Return the request's body, which the application will get all the same; None if it is too long to key by."""
        early: deque[Message] = deque()
        self._early = early
        while not early or early[-1].get("more_body", False):
            early.append(await self._receive())
            self.body += early[-1].get("body", b"")
            if early[-1]["type"] != "http.request" or len(self.body) > LONGEST_BODY:
                return None
        return self.body

    async def _next(self) -> Message:
        return self._early.popleft() if self._early else await self._receive()

    async def run(self) -> Exchange:
        """Ask the application, in a task of its own: it may have work to do after its response."""
        exchange = Exchange(self._send, self.rule.options.max_body)
        receive = self._receive if self._early is None else self._next

        async def ask() -> None:
            await self._app(self.request, receive, exchange.take)

        self._task = asyncio.create_task(ask(), name="asyncfan:request")
        self._task.add_done_callback(lambda _: exchange.known.set())
        try:
            await exchange.known.wait()
            if self._send is None and not exchange.live:
                await self._task
        except BaseException:
            await self.stop()
            raise
        if self._send is None:
            await self.stop()
        elif self._task.done() and not exchange.whole and not exchange.live:
            task, self._task = self._task, None  # what it raises is told here, and nowhere else
            task.result()
        return exchange

    async def finish(self) -> None:
        """Wait until the application has ended; it is cancelled with who waits."""
        if self._task is not None:
            await self._task

    async def stop(self) -> None:
        """Cancel the application, and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


async def _never() -> Message:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # a client that stays
