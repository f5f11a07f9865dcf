"""Connections of one event loop to one server: as many as there are exchanges at once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from ...caching.shared.server.courier import CLOSED, Command
from ...caching.shared.server.deadline import Deadline
from .address import Address
from .packing import packed

__all__ = ["Connections"]


class Connections:
    """Exchanges commands for replies over connections that are opened when needed and kept.

    Args:
        address: Where the server is.
        place: Its own ``host`` and ``port``, if it is another node of the same cluster.
    """

    def __init__(self, address: Address, **place: Any) -> None:
        self._address = address
        self._place = place
        self._idle: list[AbstractConnection] = []  # the last one used is the next one used
        self._closed = False  # for good: nobody would close what is opened or kept from then on

    async def connect(self) -> AbstractConnection:
        """Open a connection that the caller owns.

        Raises:
            OSError: The server cannot be reached.
        """
        if self._closed:
            raise ConnectionAbortedError(CLOSED)
        connection = self._address.connection(**self._place)
        try:
            async with Deadline(self._address.patience):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            await connection.disconnect()
            if isinstance(error, RedisError):  # a wrong password, too; a node is not the whole cluster
                bare = error.with_traceback(None)  # in its frames lies the password, and some tools show them
                raise (ConnectionError if self._place else ConnectionRefusedError)(str(error)) from bare
            raise
        return connection

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return as many replies; those that are errors as exceptions.

        Raises:
            OSError: The server cannot be reached, broke off, or took too long.

        Cancellation:
            The connection is closed: what it still brings would be taken for the next one's replies.
        """
        if self._idle:
            with contextlib.suppress(ConnectionError):  # the server may have gone long ago, and be back
                return await self._exchange(self._idle.pop(), commands)
            while self._idle:
                await self._idle.pop().disconnect()
        return await self._exchange(await self.connect(), commands)

    async def _exchange(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        try:
            async with Deadline(self._address.timeout):
                await connection.send_packed_command(packed(commands))
                replies = [await _reply(connection) for _ in commands]
        except BaseException as error:
            await connection.disconnect()
            if isinstance(error, RedisError):  # garbage, too: nobody can say what it means
                raise ConnectionError(str(error)) from error
            raise
        self._idle.append(connection)
        if self._closed:
            await self.aclose()
        return replies

    async def aclose(self) -> None:
        """Close the connections that are not in use now, and those that are when they are not; open no others."""
        self._closed = True
        while self._idle:
            await self._idle.pop().disconnect()

    def __repr__(self) -> str:
        return f"<Connections {self._address.shown} {self._place or ''} {len(self._idle)} idle>"


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
