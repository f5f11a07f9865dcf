"""What a load function returned, told apart by key."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from ..exceptions import BatchResultError, MissingKeyError
from ..fanout.calling import close_coroutines

__all__ = ["Answers"]

_MISSING: Any = object()


class Answers(list[Any]):
    """The outcome of each key that was asked for, in order: a value, or an exception if there is none.

    Attributes:
        extra: ``{key: value}`` that a mapping gave besides.
        refused: Whether what was returned is no answer, so that all outcomes say so.
    """

    __slots__ = ("extra", "refused")

    def __init__(
        self, outcomes: Sequence[Any] = (), extra: Mapping[Any, Any] | None = None, *, refused: bool = False
    ) -> None:
        super().__init__(outcomes)
        self.extra: Mapping[Any, Any] = extra or {}
        self.refused: bool = refused

    @classmethod
    def read(
        cls, name: str, keys: Sequence[Any], answer: Any, identity: Callable[[Any], Hashable] | None = None
    ) -> Answers:
        """Tell apart what the function ``name`` answered to ``keys``: a mapping by key, or a sequence in order."""
        if isinstance(answer, Mapping):
            return cls._by_key(name, keys, answer, identity)
        if isinstance(answer, Sequence) and not isinstance(answer, str | bytes | bytearray):
            if len(answer) == len(keys):
                return cls(answer)
            problem = f"{len(answer)} results for {len(keys)} keys"
        else:
            close_coroutines([answer])
            problem = f"{type(answer).__name__}, neither a mapping by key nor a sequence as long as the keys"
        error = BatchResultError(f"{name}() returned {problem}: {_short(answer)} for {_short(keys)}")
        return cls([error] * len(keys), refused=True)

    @classmethod
    def _by_key(
        cls,
        name: str,
        keys: Sequence[Any],
        answer: Mapping[Any, Any],
        identity: Callable[[Any], Hashable] | None,
    ) -> Answers:
        wanted = keys if identity is None else list(map(identity, keys))
        get = answer.get
        found = [
            MissingKeyError(name, key) if (value := get(one, _MISSING)) is _MISSING else value
            for key, one in zip(keys, wanted, strict=True)
        ]
        if len(answer) <= len(keys):
            return cls(found)
        asked = set(wanted)
        return cls(found, {key: value for key, value in answer.items() if key not in asked})


def _short(value: Any) -> str:
    return reprlib.repr(list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value)
