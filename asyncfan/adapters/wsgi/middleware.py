"""Any WSGI application: a middleware that answers hits without it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextvars import copy_context
from typing import Any

from ...caching.cache import Cache
from ...caching.loads.flights import running_loop
from ...caching.shared.portal import Portal
from ...http.in_thread import rest_of
from ...http.rules import Rule
from ..behind import Ruled
from .application import Adapter
from .environ import Environ, StartResponse, WSGIApp, parts_of, path_of
from .visit import Visit

__all__ = ["CacheMiddleware", "Rule"]


class CacheMiddleware(Ruled[WSGIApp]):
    """Caches the responses of a WSGI application, for the paths that rules name and no others.

    It belongs inside of whatever decides who may ask and who is asking, and inside of compression: outside of it, a
    hit would get by the guards. The application runs in the thread that its server asks in, as without it; hits are
    answered there. Those who wait for somebody else's response, or whose own others may wait for, meet in one event
    loop, in a thread that the first of them starts.

    What the application streams passes through as it comes and is not stored: a response whose end is not in sight
    (no ``Content-Length``, and neither a list nor a tuple), or larger than ``max_body``.

    Example:
        >>> from asyncfan import Cache
        >>> def app(environ, start_response): ...
        >>> CacheMiddleware(app, Cache(), rules=[Rule("/items/*", expire=60), Rule("/about", public=True)])
        <CacheMiddleware /items/*, /about>
    """

    def __init__(self, app: WSGIApp, cache: Cache | None = None, rules: Iterable[Rule] = ()) -> None:
        super().__init__(app, cache, rules)
        self._adapter = Adapter()
        self._portal = Portal("asyncfan:wsgi")
        self._pid = os.getpid()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or let the application do it."""
        method, path = environ["REQUEST_METHOD"], path_of(environ)
        found = self._rules.find(method, path)
        if found is None:
            return self._pass(environ, start_response, method, path)
        server, rule = found
        visit = Visit(environ, self.app, rule)
        if method not in {"GET", "HEAD"}:
            visit.read_body()
        request = server.serve(self._adapter, visit)
        if running_loop() is None:  # else it is somebody else's, in which nothing may wait
            try:
                request.send(None)
                request = rest_of(request)
            except StopIteration as done:  # a hit, or what no other request waits for
                answer: Iterable[bytes] = done.value.answer(start_response)
                return answer
        future = self._running().start(request, "asyncfan:request", copy_context())  # a tenant is in the key there too
        return visit.answer(future, start_response)

    def _running(self) -> Portal:
        """Return the portal; a server that forked has none of its parent's threads."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._portal.forget()
        return self._portal

    def _pass(self, environ: Environ, start_response: StartResponse, method: str, path: str) -> Iterable[bytes]:
        """Let the application answer alone, and note what it changes."""
        changed = self._rules.changed_by(method, path)

        def starting(status: str, *args: Any) -> Any:
            if status[:1] in {"2", "3"}:
                for server in changed:
                    server.forget(parts_of(environ))
            return start_response(status, *args)

        return self.app(environ, starting if changed else start_response)

    def close(self) -> None:
        """End the thread in which requests wait, and who waits; a later request starts another."""
        asyncio.run(self._portal.aclose(_nothing))


async def _nothing() -> None: ...
