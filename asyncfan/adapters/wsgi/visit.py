"""One request on its way through the WSGI middleware: it waits in an event loop, its application runs in its thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import queue
from collections.abc import Callable, Iterable
from typing import Any

from ...caching.loads.flights import running_loop
from ...caching.shared.portal import result_of
from ...context import loading
from ...http.messages import LONGEST_BODY, Headers
from ...http.rules import Rule
from .environ import Environ, StartResponse, WSGIApp
from .exchange import Exchange

__all__ = ["Visit"]

_DIGITS = 10  # more make no length
_CONDITIONS = frozenset(
    f"HTTP_{name}"
    for name in "IF_NONE_MATCH IF_MODIFIED_SINCE IF_MATCH IF_UNMODIFIED_SINCE IF_RANGE RANGE".split()  # noqa: SIM905
)


class Visit:
    """One request, its body if that is part of its key, and the application's run for it."""

    def __init__(self, environ: Environ, app: WSGIApp, rule: Rule, *, has_thread: bool = True) -> None:
        self.request = environ
        self.rule = rule
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.extra: Headers = ()
        self.body: bytes | None = None
        self._app = app
        self._has_thread = has_thread  # the request's, which waits in `answer`
        self._turns: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def again(self) -> Visit:
        """Return a visit that asks the same for nobody, on no conditions."""
        environ = {name: value for name, value in self.request.items() if name not in _CONDITIONS}
        environ["wsgi.input"] = io.BytesIO(self.body or b"")
        return Visit(environ, self._app, self.rule, has_thread=False)

    def read_body(self) -> None:
        """Read the request's body, which the application will get all the same; not one that is too long to key by."""
        length = self.request.get("CONTENT_LENGTH") or "0"
        known = length.isdecimal() and len(length) < _DIGITS and "HTTP_TRANSFER_ENCODING" not in self.request
        if known and int(length) <= LONGEST_BODY:
            body: bytes = self.request["wsgi.input"].read(int(length))
            self.body, self.request["wsgi.input"] = body, io.BytesIO(body)

    def answer(self, future: concurrent.futures.Future[Any], start_response: StartResponse) -> Iterable[bytes]:
        """Run the application in this thread if it comes to that; give the server what ``future`` brings."""
        future.add_done_callback(lambda _: self._turns.put(None))
        try:
            while (turn := self._turns.get()) is not None:
                turn()
        except BaseException:  # such as KeyboardInterrupt
            future.cancel()
            raise
        answer: Iterable[bytes] = future.result().answer(start_response)
        return answer

    async def run(self) -> Exchange:
        """Ask the application, in the thread of the request; in one of the loop's where there is none."""
        if running_loop() is None:  # it is this one
            return self._ask()
        if not self._has_thread:
            return await asyncio.to_thread(self._ask)
        ended: concurrent.futures.Future[tuple[Exchange | None, Exception | None]] = concurrent.futures.Future()
        load = loading.get()

        def turn() -> None:
            token = loading.set(load)  # the application may say things of it
            try:
                ended.set_result((self._ask(), None))
            except Exception as error:  # noqa: BLE001 - raised again in the loop, and from there in this thread
                ended.set_result((None, error))
            finally:
                loading.reset(token)

        self._turns.put(turn)
        exchange, error = await result_of(ended)
        if exchange is None:
            raise error or AssertionError
        return exchange

    def _ask(self) -> Exchange:
        return Exchange(self._app, self.request, self.rule.options.max_body)
