"""Any ASGI application: a middleware that answers hits without it."""

from __future__ import annotations

from ...http.rules import Rule
from ..behind import Ruled
from .application import Adapter
from .scope import ASGIApp, Message, Receive, Scope, Send, parts_of
from .visit import Visit

__all__ = ["CacheMiddleware", "Rule"]


class CacheMiddleware(Ruled[ASGIApp]):
    """Caches the responses of an ASGI application, for the paths that rules name and no others.

    It belongs inside of whatever decides who may ask and who is asking (authentication, sessions, rate limits), and
    inside of compression: it stores what is not compressed yet. Outside of it, a hit would get by the guards.

    What the application streams passes through as it comes and is not stored: a response whose end is not in sight
    (no ``Content-Length``), server-sent events, what is larger than ``max_body``. So do WebSockets and the lifespan.

    Example:
        >>> from asyncfan import Cache
        >>> async def app(scope, receive, send): ...
        >>> CacheMiddleware(app, Cache(), rules=[Rule("/items/*", expire=60), Rule("/about", public=True)])
        <CacheMiddleware /items/*, /about>

    Cancellation:
        A cancelled request ends its own run of the application. Of the requests that waited for it, one runs it anew.
    """

    _adapter = Adapter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the application do it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        found = self._rules.find(scope["method"], scope["path"])
        if found is None:
            return await self._pass(scope, receive, send)
        server, rule = found
        visit = Visit(scope, self.app, receive, send, rule)
        try:
            answer = await server.serve(self._adapter, visit)
            await answer.send_to(send)
        except BaseException:
            await visit.stop()
            raise
        return await visit.finish()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer alone, and note what it changes."""
        changed = self._rules.changed_by(scope["method"], scope["path"])

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and 200 <= message["status"] < 400:  # noqa: PLR2004 - a success
                for server in changed:
                    server.forget(parts_of(scope))
            await send(message)

        await self.app(scope, receive, sending if changed else send)
