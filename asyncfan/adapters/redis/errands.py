"""Runs of scripts on their way through a cluster: those that go to one node travel together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from .node import Node
from .runs import Run
from .slots import redirection

__all__ = ["Errand", "deliver"]


class Errand:
    """A run of a script, and where it is sent next.

    Attributes:
        run: The run.
        node: Where it is sent.
        asking: Its slot is only on its way there.
        whole: The script goes along: the node did not know it.
        reply: What the node answered, an error as an exception.
    """

    __slots__ = ("asking", "node", "reply", "run", "whole")

    def __init__(self, run: Run, node: Node) -> None:
        self.run: Run = run
        self.node: Node = node
        self.asking: bool = False
        self.whole: bool = False
        self.reply: Any = None

    def unknown(self) -> bool:
        """Say whether the node does not know the script; it goes along from now on."""
        if isinstance(self.reply, NoScriptError) and not self.whole:
            self.whole = True
            return True
        return False

    def redirection(self) -> tuple[bool, str]:
        """Return whether the slot has moved for good, and where it is now; where is empty if the run is done.

        Raises:
            Exception: The node answered with another error.
        """
        if not isinstance(self.reply, Exception):
            return False, ""
        error, self.reply = self.reply, None
        moved, where = redirection(error)
        if not where:
            try:
                raise error
            finally:
                del error  # the traceback holds this frame: no cycle through it
        return moved, where

    def __repr__(self) -> str:
        return f"<Errand to {self.run.place!r}, reply {self.reply!r}>"


async def deliver(errands: Sequence[Errand]) -> None:
    """Send errands and take in the replies, in one round trip a node.

    Raises:
        OSError: A node cannot be reached, broke off, or took too long; the others have done theirs.
    """
    together: defaultdict[tuple[Node, bool], list[Errand]] = defaultdict(list)
    for errand in errands:
        together[errand.node, errand.asking].append(errand)
    calls = (_deliver(node, some, asking=asking) for (node, asking), some in together.items())
    for failure in await asyncio.gather(*calls, return_exceptions=True):
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # the traceback holds this frame: no cycle through it


async def _deliver(node: Node, errands: Sequence[Errand], *, asking: bool) -> None:
    commands = [errand.run.whole if errand.whole else errand.run.short for errand in errands]
    replies = await (node.ask if asking else node.replies)(commands)
    for errand, reply in zip(errands, replies, strict=True):
        errand.reply = reply
