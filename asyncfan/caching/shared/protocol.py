"""What a server that processes share must be able to do, whatever its make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = ["HEAD", "KEPT", "Granted", "Held", "Hold", "Ledger", "Store", "Stored", "Wish", "Write"]

# The first bytes of a value tell it from every other value: they hold its checksum.
HEAD = 32

# For so many times as long as it is valid, the server knows whose a lease is. It goes to whoever asks once it has run
# out; until then its holder, a process that was only held up, may still renew it and write.
KEPT = 10


class Stored(NamedTuple):
    """A value in the server.

    Attributes:
        data: The bytes that were written.
        left: Seconds until the server drops it; None: it does not.
    """

    data: bytes
    left: float | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the server remembers of clears: all of it in one record, so that it is there in whole or not at all.

    A value carries the ledger's ``run`` and ``number`` as of before its load began. It was cleared if the run is
    another one, if its number is below ``floor``, or if a clear with a higher number means its key or one of its tags.

    Attributes:
        run: Chosen at random when the record was made; another one means that clears were forgotten in between.
            Empty: there is no record.
        number: How many clears there were.
        floor: Values of lower numbers are cleared, all of them.
        tags: The number of the last clear of each tag that was asked for and was cleared.
        patterns: The number of the last clear of each pattern, where patterns were asked for.
    """

    run: str = ""
    number: int = 0
    floor: int = 0
    tags: Mapping[str, int] = field(default_factory=dict)
    patterns: Mapping[str, int] = field(default_factory=dict)


class Wish(NamedTuple):
    """What is asked for who wants to load a key.

    Attributes:
        name: The key's text.
        token: Chosen at random by the caller; proves later that the lease is still the caller's.
        unless: The first `HEAD` bytes of a value that is of no use; any other value that is there is returned.
        force: Take the lease from whoever has it, whatever is stored.
    """

    name: str
    token: str
    unless: bytes | None = None
    force: bool = False


class Granted(NamedTuple):
    """The lease is the caller's: it loads. The ledger is from before that."""

    ledger: Ledger


class Held(NamedTuple):
    """Another one holds the lease, for at most so many seconds more unless it renews it."""

    left: float


class Hold(NamedTuple):
    """A lease that the caller has, if nobody took it away."""

    name: str
    token: str


class Write(NamedTuple):
    """A value that was loaded under a lease.

    Attributes:
        name: The key's text.
        token: The lease's.
        data: The value.
        seconds: When the server drops it; None: never.
    """

    name: str
    token: str
    data: bytes
    seconds: float | None


class Store(Protocol):
    """A server such as Redis or Valkey, as one process sees it, from any event loop, each with its own connections.

    Names are texts of keys: printable ASCII without spaces, braces, brackets, question marks, stars or backslashes.
    Every method is one round trip, and may raise anything if the server cannot be reached or refuses. A cancelled call
    may have happened all the same.

    An attribute ``at_once``, if there is one, says for how many keys one method is best called: 1,000 otherwise.
    """

    async def read(self, names: Sequence[str], tags: Sequence[str] = ()) -> tuple[list[Stored | None], Ledger]:
        """Return each name's value, None where there is none, and the ledger, which is never older than the values."""
        ...

    async def ledger(self) -> Ledger:
        """Return the ledger with all tags and all patterns in it."""
        ...

    async def lease(self, wishes: Sequence[Wish], seconds: float) -> list[Granted | Held | Stored]:
        """Ask for the right to load each of some keys; makes the ledger if there is none.

        Args:
            wishes: The keys; of two wishes for the same, the first is granted.
            seconds: How long a lease is valid unless renewed. When it has run out, another one that asks for it gets
                it; if none does, it stays its holder's, `KEPT` times as long in all.
        """
        ...

    async def renew(self, holds: Sequence[Hold], seconds: float) -> list[bool]:
        """Make leases valid for ``seconds`` from now; False for each that is no longer the caller's."""
        ...

    async def release(self, holds: Sequence[Hold]) -> None:
        """Give back those of the leases that are still the caller's."""
        ...

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        """Store each value and end its lease, if that is still the caller's; says of each whether it was."""
        ...

    async def put(self, name: str, data: bytes, seconds: float | None, message: bytes) -> None:
        """Store a value whoever holds the lease, take the lease away, and send ``message`` to all listeners."""
        ...

    async def drop(self, names: Sequence[str], message: bytes) -> int:
        """Remove values, take their leases away, and send ``message`` to all listeners; returns how many were there."""
        ...

    async def clear(
        self, *, patterns: Sequence[str] = (), tags: Sequence[str] = (), everything: bool = False, message: str
    ) -> int:
        """Write a clear into the ledger and send a message to all listeners, both at once; returns the clear's number.

        Args:
            patterns: What `Pattern` texts were cleared.
            tags: What tags were cleared.
            everything: Raises the floor: all values so far are cleared.
            message: Sent with ``%(run)s`` and ``%(number)d`` in it filled in.
        """
        ...

    async def remove(self, names: Sequence[str]) -> int:
        """Remove values only, to make room: nothing is fenced and nobody told; returns how many were there."""
        ...

    def scan(self, start: str) -> AsyncIterator[Sequence[str]]:
        """Yield the names that begin with ``start``, some at a time; each that is there throughout, once or more."""
        ...

    def listen(self) -> AsyncIterator[bytes]:
        """Yield every message sent from the first ``anext`` on that returned ``b""``, which says: connected.

        Raises:
            Exception: The connection is lost; messages may have been missed.
        """
        ...

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        ...
