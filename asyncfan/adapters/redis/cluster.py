"""A cluster as one event loop sees it: each key's command goes to the node that has its slot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import ResponseError

from .address import Address
from .node import Node
from .slots import owners, redirection

__all__ = ["Cluster"]

# A slot may move once more while a command follows it.
MAX_HOPS = 3


class Cluster:
    """Finds the nodes from one of them; looks anew when a slot has moved or a node was lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._nodes: dict[str, Node] = {"": Node(address)}  # by "host:port"; the first one, where the address says
        self._slots: list[Node] = []  # each slot's node; empty: to be looked up
        self._lookup: asyncio.Task[None] | None = None

    async def call(self, key: str, *command: Any) -> Any:
        """Return the reply of the node that has ``key``, as `Node.call` does."""
        slots = await self._known()
        call = slots[key_slot(key.encode())].call
        for _ in range(MAX_HOPS):
            try:
                return await call(key, *command)
            except ResponseError as error:
                moved, where = redirection(error)
                if not where:
                    raise
                call = self._node(where).call if moved else self._node(where).ask
                if moved:
                    self._forget(slots)
            except OSError:
                self._forget(slots)
                raise
        raise ConnectionError(f"no node has the slot of {key}")

    async def nodes(self) -> Sequence[Node]:
        """Return the nodes that have slots."""
        return list(dict.fromkeys(await self._known()))

    async def connect(self) -> AbstractConnection:
        """Open a connection to any node: each sends on what is published at another."""
        for node in await self.nodes():
            with contextlib.suppress(OSError):
                return await node.connect()
        raise ConnectionError("no node of the cluster can be reached")

    async def _known(self) -> list[Node]:
        while not self._slots:
            if self._lookup is None or self._lookup.done():
                self._lookup = asyncio.create_task(self._look_up(), name="asyncfan:cluster")
            lookup = self._lookup
            await asyncio.wait([lookup])  # a caller that is cancelled leaves it to the others
            if not lookup.cancelled() and (error := lookup.exception()):
                raise ConnectionError(str(error)) from error
        return self._slots

    def _forget(self, slots: list[Node]) -> None:
        if self._slots is slots:  # else they have been looked up since
            self._slots = []

    async def _look_up(self) -> None:
        for node in [*self._nodes.values()][::-1]:
            with contextlib.suppress(OSError):
                self._slots = [self._node(where) for where in owners(await node.call("", "CLUSTER", "SLOTS"))]
                return
        raise ConnectionError("no node of the cluster can be reached")

    def _node(self, where: str) -> Node:
        """Return the node at "host:port"; without a host, it is where the first one is."""
        if where not in self._nodes:
            host, _, port = where.rpartition(":")
            self._nodes[where] = Node(self._address, port=int(port), **({"host": host} if host else {}))
        return self._nodes[where]

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        if self._lookup is not None:
            self._lookup.cancel()
            await asyncio.wait([self._lookup])
        for node in self._nodes.values():
            await node.aclose()
