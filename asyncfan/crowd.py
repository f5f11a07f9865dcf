"""Who of a fan-out's items waits for a loader: told by both, so that neither has to import the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Crowd", "crowd_around", "make_crowd", "watch_crowds"]


class Members(Protocol):
    """What a fan-out tells of its items."""

    loop: asyncio.AbstractEventLoop

    def busy(self) -> int:
        """Return how many items run, waiting ones included."""
        ...

    def owns(self, task: asyncio.Task[Any] | None) -> bool:
        """Say whether ``task`` is one of those that run its items."""
        ...


class Crowd:
    """The items of one fan-out, as loaders see them: when all of them wait, nobody can ask for a further key.

    The fan-out tells when fewer items run (`look`); a loader tells who waits (`block`) and no longer does
    (`unblock`). When all wait, the item of the fan-out around that this one is a part of waits too, and so on
    outwards; when all of the outermost one do, what it has in ``due`` is called.
    """

    __slots__ = ("_counted", "_looking", "blocked", "due", "members", "outer")

    def __init__(self, members: Members, outer: Crowd | None) -> None:
        self.members: Members | None = members  # None: the fan-out is over
        self.outer: Crowd | None = outer
        self.blocked: int = 0  # items that wait for a loader
        self.due: dict[Callable[[], None], None] = {}  # of the outermost: what sends the batches that wait for it
        self._counted = False  # whether `outer` knows that all items wait
        self._looking = False

    @property
    def outermost(self) -> Crowd:
        """The fan-out around all others."""
        return self if self.outer is None else self.outer.outermost

    def block(self) -> None:
        """Note that an item waits for a loader."""
        self.blocked += 1
        self.look()

    def unblock(self) -> None:
        """Note that an item will go on: to be told before it does, or those who do so first would seem alone."""
        self.blocked -= 1
        if self._counted and self.outer is not None:
            self._counted = False
            self.outer.unblock()

    def look(self) -> None:
        """See in the next pass of the loop whether all wait: the one who does now may make others start first."""
        if self._all_wait() and self.members is not None and not self._looking:
            self._looking = True
            self.members.loop.call_soon(self._look_again)

    def _all_wait(self) -> bool:
        return bool(self.blocked) and self.members is not None and self.blocked >= self.members.busy()

    def _look_again(self) -> None:
        self._looking = False
        if not self._all_wait():
            return
        if self.outer is None:
            due, self.due = self.due, {}
            for send in due:
                send()
        elif not self._counted:
            self._counted = True
            self.outer.block()

    def __repr__(self) -> str:
        busy = self.members.busy() if self.members is not None else 0
        return f"<Crowd {self.blocked}/{busy} waiting>"


_crowd: contextvars.ContextVar[Crowd | None] = contextvars.ContextVar("asyncfan_crowd", default=None)
_watched: list[bool] = []  # empty until some loader of the process looks at crowds: nobody pays for them before


def watch_crowds() -> None:
    """Let the fan-outs that begin from now on have a `Crowd`."""
    _watched[:] = [True]


def make_crowd(members: Members, context: contextvars.Context) -> Crowd | None:
    """Return the crowd of a fan-out whose items run in copies of ``context``, if any loader looks at crowds."""
    if not _watched:
        return None
    crowd = Crowd(members, crowd_around())
    context.run(_crowd.set, crowd)
    return crowd


def crowd_around() -> Crowd | None:
    """Return the crowd of the fan-out whose item the current task runs itself; None in a task that an item started."""
    crowd = _crowd.get()
    if crowd is None or crowd.members is None or not crowd.members.owns(asyncio.current_task()):
        return None
    return crowd
