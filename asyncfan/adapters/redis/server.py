"""How a script reaches its keys: in one server, or at many nodes of a cluster at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from ...caching.shared.server.per_loop import PerLoop
from .address import Address
from .cluster import Cluster
from .keys import Keys
from .node import Node
from .runs import Run

__all__ = ["Server", "Spell"]

Spell = Callable[[Sequence[str]], list[str]]  # names -> keys
Rest = Sequence[Sequence[Any]]

# So many names go into one script: the server does nothing else meanwhile, for about a millisecond.
SLICE = 1000

# In a cluster each name is a command of its own, some 30 us of ours: what takes a turn must not hold the others up for
# long, since they hold leases.
IN_CLUSTER = 250


class Server:
    """One server or cluster, from any event loop.

    Attributes:
        keys: How its keys are spelled.
        at_once: So many names are best asked for at once.
    """

    def __init__(self, address: Address, namespace: str) -> None:
        self.keys: Keys = Keys(namespace)
        self.at_once: int = IN_CLUSTER if address.cluster else SLICE
        self._address = address
        self._clients: PerLoop[Node | Cluster] = PerLoop(self._open, lambda client: client.aclose())

    def _open(self) -> Node | Cluster:
        return Cluster(self._address) if self._address.cluster else Node(self._address)

    @property
    def client(self) -> Node | Cluster:
        """The running event loop's connections."""
        return self._clients.get()

    async def run(self, script: str, keys: Sequence[str], *args: Any) -> Any:
        """Run a script where its keys are: all of them in one slot."""
        (reply,) = await self.client.runs([Run(keys[0] if keys else self.keys.ledger, script, keys, args)])
        return reply

    async def each(self, script: str, spell: Spell, names: Sequence[str], *args: Any, rest: Rest = ()) -> list[Any]:
        """Return a script's replies for names: slice after slice; in a cluster, all nodes of a slice at once.

        Every slice gets ``args``, and of the ``rest`` what is for its own names.
        """
        width = 1 if self._address.cluster else SLICE
        replies: list[Any] = []
        for some in _slices(range(len(names)), SLICE):
            runs: list[Run] = []
            for part in _slices(some, width):
                at = slice(part[0], part[-1] + 1)
                keys = spell(names[at])
                runs.append(Run(keys[0], script, keys, [*args, *chain.from_iterable(rest[at])]))
            replies += await self.client.runs(runs)
        return replies

    def split(self, names: Sequence[str], last: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return most names, and those that the last script takes: a slice; in a cluster, ``last`` of them."""
        cut = max(0, len(names) - (last if self._address.cluster else SLICE))
        return names[:cut], names[cut:]

    async def scan(self, start: str) -> AsyncIterator[Sequence[str]]:
        """Yield the names that begin with ``start``, as the server's SCAN finds them."""
        for node in await self.client.nodes():
            cursor = b"0"
            while True:
                cursor, keys = await node.call("SCAN", cursor, "MATCH", self.keys.pattern(start), "COUNT", SLICE)
                if keys:
                    yield [self.keys.name(key) for key in keys]
                if cursor == b"0":
                    break

    async def aclose(self) -> None:
        """Close the running event loop's connections."""
        await self._clients.aclose()

    def __repr__(self) -> str:
        return f"<Server {self._address.shown} {self.keys!r}, {len(self._clients)} event loops>"


def _slices(numbers: range, size: int) -> Iterator[range]:
    return (numbers[i : i + size] for i in range(0, len(numbers), size))
