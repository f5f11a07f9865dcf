"""FastStream: a scope around each message. At shutdown: ``FastStream(broker, after_shutdown=[cache.aclose])``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from faststream import BaseMiddleware, ContextRepo, StreamMessage

from ..context import scope

__all__ = ["MessageScope"]

Values = Callable[[StreamMessage[Any]], Mapping[str, Any]]


class _Middleware(BaseMiddleware[Any, Any]):
    """One message's."""

    def __init__(self, msg: Any, values: Values | None, context: ContextRepo) -> None:
        super().__init__(msg, context=context)
        self._values = values

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]) -> Any:
        """Handle the message inside of the scope."""
        async with scope(**(self._values(msg) if self._values else {})):
            return await call_next(msg)


class MessageScope:
    """Handle each message inside ``async with scope(...)``: loaders ask once for a key, and end with it.

    Give it to the broker as it is: ``RedisBroker(middlewares=[MessageScope(who)])``.

    Args:
        values: Called with the `StreamMessage`, gives what the scope declares, such as
            ``{"principal": message.headers["user-id"]}``, for cached functions of ``CacheLevel.HIGH``.

    Cancellation:
        A handler that is cancelled ends the loads that nobody else waits for.
    """

    def __init__(self, values: Values | None = None) -> None:
        self._values = values

    def __call__(self, msg: Any, /, *, context: ContextRepo) -> _Middleware:
        """Return the middleware of one message."""
        return _Middleware(msg, self._values, context)

    def __repr__(self) -> str:
        return f"<MessageScope of {self._values!r}>"
