"""One run of a script: where its keys are, and how the server is told of it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...caching.shared.server.courier import Command

__all__ = ["Run"]


class Run(NamedTuple):
    """A script, and what it is run with.

    Attributes:
        place: A key: in a cluster, it runs at the node that has its slot.
        script: Its text.
        keys: Its keys, in a cluster all of that slot.
        args: Its arguments.
    """

    place: str
    script: str
    keys: Sequence[str]
    args: Sequence[Any]

    @property
    def whole(self) -> Command:
        """The command that brings the script along: the server knows it from then on."""
        return ("EVAL", self.script, len(self.keys), *self.keys, *self.args)

    @property
    def short(self) -> Command:
        """The command that names it, which costs a third; a server that does not know the name says NOSCRIPT."""
        return ("EVALSHA", _digest(self.script), len(self.keys), *self.keys, *self.args)


@functools.cache
def _digest(script: str) -> bytes:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
