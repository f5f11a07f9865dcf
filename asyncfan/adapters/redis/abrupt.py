"""Connections that end at once, without a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import AbstractConnection

__all__ = ["abrupt"]

_AT_ONCE = 1e-6  # seconds: asyncio wants more than none


def abrupt(make: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return redis-py's class, but of connections that end at once, by whatever of its own ways it closes them.

    TLS would say goodbye first, and what was not sent would be sent first: both wait for a server that may never
    answer, and an event loop that ends meanwhile leaves the socket open. Nothing is waited for, so that no
    cancellation comes in between.
    """

    class Abrupt(make):  # type: ignore[misc, valid-type]
        async def disconnect(self, *_: Any, **options: Any) -> None:
            if self._writer is not None:
                self._writer.transport.abort()
            await super().disconnect(**{**options, "nowait": True})

        def _connection_arguments(self) -> Mapping[str, Any]:
            found: Mapping[str, Any] = super()._connection_arguments()  # pyright: ignore[reportAttributeAccessIssue]
            # asyncio itself says goodbye for who is cancelled in the pass of the event loop that ends the greeting
            return {**found, "ssl_shutdown_timeout": _AT_ONCE} if found.get("ssl") else found

    return Abrupt
