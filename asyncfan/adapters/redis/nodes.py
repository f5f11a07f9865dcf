"""The nodes of a cluster, and which of them has which slots."""

from __future__ import annotations

import asyncio
import contextlib

from ...caching.shared.server.courier import CLOSED
from ...caching.shared.server.seen import see
from .address import Address
from .node import Node
from .slots import owners

__all__ = ["Nodes"]


class Nodes:
    """Finds the nodes of a cluster from one of them; belongs to one event loop."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._nodes: dict[str, Node] = {"": Node(address)}  # by "host:port"; the first one, where the address says
        self._slots: list[Node] = []  # each slot's node; empty: to be looked up
        self._lookup: asyncio.Task[None] | None = None

    async def slots(self) -> list[Node]:
        """Return each slot's node.

        Raises:
            ConnectionError: No node can be reached, or this was closed meanwhile.

        Cancellation:
            The slots are looked up all the same, for the others.
        """
        while not self._slots:
            if self._lookup is None or self._lookup.done():
                self._lookup = asyncio.create_task(self._look_up(), name="asyncfan:cluster")
                self._lookup.add_done_callback(see)
            lookup = self._lookup
            await asyncio.wait([lookup])
            if lookup.cancelled():
                raise ConnectionAbortedError(CLOSED)
            if error := lookup.exception():
                raise ConnectionError(str(error)) from error
        return self._slots

    def forget(self, slots: list[Node]) -> None:
        """Look them up anew, unless that was done since."""
        if self._slots is slots:
            self._slots = []

    async def _look_up(self) -> None:
        why: OSError | None = None
        for node in [*self._nodes.values()][::-1]:
            try:
                self._slots = [self.at(where) for where in owners(await node.call("CLUSTER", "SLOTS"))]
            except OSError as error:
                why = error
            else:
                return
        raise ConnectionError(f"no node of the cluster can be reached: {why}") from why

    def at(self, where: str) -> Node:
        """Return the node at "host:port"; without a host, it is where the first one is."""
        if where not in self._nodes:
            host, _, port = where.rpartition(":")
            self._nodes[where] = Node(self._address, port=int(port), **({"host": host} if host else {}))
        return self._nodes[where]

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        async with contextlib.AsyncExitStack() as closing:  # all of them, whatever comes while one is being closed
            for node in self._nodes.values():
                closing.push_async_callback(node.aclose)
            if self._lookup is not None:
                self._lookup.cancel()
                await asyncio.wait([self._lookup])

    def __repr__(self) -> str:
        return f"<Nodes {', '.join(filter(None, self._nodes)) or 'not looked up'}>"
