"""A cluster as one event loop sees it: each key's scripts run at the node that has its slot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from .address import Address
from .errands import Errand, deliver
from .node import Node
from .runs import Run
from .slots import owners

__all__ = ["Cluster"]

# A slot may move once more while an errand follows it, and a node may not know the script.
MAX_HOPS = 5


class Cluster:
    """Finds the nodes from one of them; looks anew when a slot has moved or a node was lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._nodes: dict[str, Node] = {"": Node(address)}  # by "host:port"; the first one, where the address says
        self._slots: list[Node] = []  # each slot's node; empty: to be looked up
        self._lookup: asyncio.Task[None] | None = None

    async def runs(self, runs: Sequence[Run]) -> list[Any]:
        """Return the replies to runs of scripts, each from the node that has its slot; as `Node.runs` does."""
        slots = await self._known()
        errands = [Errand(run, slots[key_slot(run.place.encode())]) for run in runs]
        left = errands
        for _ in range(MAX_HOPS):
            try:
                await deliver(left)
            except OSError:
                self._forget(slots)
                raise
            left = [errand for errand in left if errand.unknown() or self._follows(errand, slots)]
            if not left:
                return [errand.reply for errand in errands]
        raise ConnectionError(f"no node has the slot of {left[0].run.place}")

    def _follows(self, errand: Errand, slots: list[Node]) -> bool:
        """Say whether a node has sent an errand on to another one."""
        moved, where = errand.redirection()
        if not where:
            return False
        if moved:
            self._forget(slots)
        errand.node, errand.asking = self._node(where), not moved
        return True

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
        why: OSError | None = None
        for node in [*self._nodes.values()][::-1]:
            try:
                self._slots = [self._node(where) for where in owners(await node.call("CLUSTER", "SLOTS"))]
            except OSError as error:
                why = error
            else:
                return
        raise ConnectionError(f"no node of the cluster can be reached: {why}") from why

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
