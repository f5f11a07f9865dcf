"""A cluster as one event loop sees it: each key's scripts run at the node that has its slot."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot

from .address import Address
from .errands import Errand, deliver
from .node import Node
from .nodes import Nodes
from .runs import Run

__all__ = ["Cluster"]

# A slot may move once more while an errand follows it, and a node may not know the script.
MAX_HOPS = 5


class Cluster:
    """Runs scripts at its nodes; looks anew for who has what when a slot has moved or a node was lost."""

    def __init__(self, address: Address) -> None:
        self._nodes = Nodes(address)

    async def runs(self, runs: Sequence[Run]) -> list[Any]:
        """Return the replies to runs of scripts, each from the node that has its slot; as `Node.runs` does."""
        slots = await self._nodes.slots()
        errands = [Errand(run, slots[key_slot(run.place.encode())]) for run in runs]
        left = errands
        for _ in range(MAX_HOPS):
            try:
                await deliver(left)
            except OSError:
                self._nodes.forget(slots)
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
            self._nodes.forget(slots)
        errand.node, errand.asking = self._nodes.at(where), not moved
        return True

    async def nodes(self) -> Sequence[Node]:
        """Return the nodes that have slots."""
        return list(dict.fromkeys(await self._nodes.slots()))

    async def connect(self) -> AbstractConnection:
        """Open a connection to any node: each sends on what is published at another."""
        for node in await self.nodes():
            with contextlib.suppress(OSError):
                return await node.connect()
        raise ConnectionError("no node of the cluster can be reached")

    async def aclose(self) -> None:
        """Close the connections to all nodes."""
        await self._nodes.aclose()

    def __repr__(self) -> str:
        return f"<Cluster {self._nodes!r}>"
