"""One server as one event loop sees it: everybody's commands travel together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection

from ...caching.shared.courier import Courier
from .address import Address
from .connections import Connections

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

    async def call(self, _key: str, *command: Any) -> Any:
        """Return the server's reply to a command.

        Raises:
            ResponseError: The reply is an error.
            OSError: The server cannot be reached, broke off, or took too long.

        Cancellation:
            The command may be carried out all the same.
        """
        return await self._courier.send(command)

    async def ask(self, _key: str, *command: Any) -> Any:
        """Return the reply to a command whose slot is on its way to this node."""
        _, reply = await self._connections.exchange([("ASKING",), command])  # the two must not be parted
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def nodes(self) -> Sequence[Node]:
        """Return all servers: this one."""
        return [self]

    async def connect(self) -> AbstractConnection:
        """Open a connection that the caller owns."""
        return await self._connections.connect()

    async def aclose(self) -> None:
        """End what is under way and close all connections."""
        await self._courier.aclose()
        await self._connections.aclose()

    def __repr__(self) -> str:
        return f"<Node {self._connections!r} {self._courier!r}>"
