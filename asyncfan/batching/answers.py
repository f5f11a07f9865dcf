"""What a load function returned, told apart by key."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from ..exceptions import BatchResultError, MissingKeyError
from ..fanout.calling import close_coroutines

__all__ = ["Answers"]

_MISSING: Any = object()


class Answers(list[Any]):
    """The outcome of each key that was asked for, in order: a value, or an exception if there is none.

    Attributes:
        refused: Whether what was returned is no answer, so that all outcomes say so.
    """

    __slots__ = ("_answer", "_asked", "refused")

    def __init__(
        self,
        outcomes: Iterable[Any] = (),
        answer: Mapping[Any, Any] | None = None,
        asked: Iterable[Any] = (),
        *,
        refused: bool = False,
    ) -> None:
        super().__init__(outcomes)
        self._answer: Mapping[Any, Any] = answer or {}
        self._asked = asked
        self.refused: bool = refused

    @property
    def extra(self) -> dict[Any, Any]:
        """``{key: value}`` that a mapping gave besides what was asked for."""
        asked = set(self._asked)
        return {key: value for key, value in self._answer.items() if key not in asked}

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
        return cls(found, answer, wanted)


def _short(value: Any) -> str:
    return reprlib.repr(list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value)
