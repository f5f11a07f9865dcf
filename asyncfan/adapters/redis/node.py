"""One server as one event loop sees it: everybody's commands travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection

from ...caching.shared.server.courier import Command, Courier
from .address import Address
from .connections import Connections
from .runs import Run

__all__ = ["Node"]


class Node:
    """Takes commands to one server, which may be all there is or a node of a cluster.

    Args:
        address: Where it is.
        place: Its own ``host`` and ``port``, if it is another node of the same cluster.
    """

    def __init__(self, address: Address, **place: Any) -> None:
        self._connections = Connections(address, **place)
        self._courier = Courier(self._connections.exchange)

    async def call(self, *command: Any) -> Any:
        """Return the server's reply to a command.

        Raises:
            ResponseError: The reply is an error.
            OSError: The server cannot be reached, broke off, or took too long.

        Cancellation:
            The command may be carried out all the same.
        """
        return await self._courier.send(command)

    async def runs(self, runs: Sequence[Run]) -> list[Any]:
        """Return the server's replies to runs of scripts; as for `call`."""
        return await self._courier.send_all([run.whole for run in runs])

    async def replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands, those that are errors as exceptions; else as for `call`."""
        return await self._courier.replies(commands)

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands whose slots are on their way to this node; as for `replies`."""
        pairs = [one for command in commands for one in (("ASKING",), command)]  # the two must not be parted
        return (await self._connections.exchange(pairs))[1::2]

    async def nodes(self) -> Sequence[Node]:
        """Return all servers: this one."""
        return [self]

    async def connect(self) -> AbstractConnection:
        """Open a connection that the caller owns."""
        return await self._connections.connect()

    async def aclose(self) -> None:
        """End what is under way and close all connections."""
        await self._connections.aclose()  # first: it waits for nothing, so that it is done whatever comes
        await self._courier.aclose()
        await asyncio.sleep(0)  # the event loop closes the sockets in its next pass

    def __repr__(self) -> str:
        return f"<Node {self._connections!r} {self._courier!r}>"
