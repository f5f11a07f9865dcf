"""Hears what other processes send, on a connection of its own that is known to be alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from ...caching.shared.server.seen import see
from .server import Server

__all__ = ["messages"]

# After so many seconds of silence the server is asked for a sign of life, so many times, before it is given up.
BEAT = 1.0
MAX_BEATS = 3


async def messages(server: Server) -> AsyncIterator[bytes]:
    """Yield ``b""`` when subscribed to the server's channel, then each message.

    Raises:
        OSError: The connection cannot be made, or is lost.
    """
    connection = await server.client.connect()
    try:
        await connection.send_command("SUBSCRIBE", server.keys.channel)
        while True:
            kind, *_, data = await _next(connection)
            if kind == b"message":
                yield data
            elif kind == b"subscribe":
                yield b""
    except RedisError as error:
        raise ConnectionError(str(error)) from error
    finally:
        await connection.disconnect()


async def _next(connection: AbstractConnection) -> Any:
    """Return what comes next."""
    reading = asyncio.create_task(connection.read_response(), name="asyncfan:listen")
    reading.add_done_callback(see)  # it may fail just as we are cancelled
    try:
        for beat in range(MAX_BEATS):
            if beat:
                await connection.send_command("PING")
            done, _ = await asyncio.wait([reading], timeout=BEAT)
            if done:
                return reading.result()
        raise ConnectionError(f"no sign of life for {MAX_BEATS * BEAT:.0f} s")
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])
