"""From the key that a call is looked up by to the key that it is stored under, and to its text."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any

from .keys import Unkeyable, is_atom, short_text
from .level import Ambient

__all__ = ["CallKeys", "Instance", "Instances", "without_surroundings"]

Key = tuple[Any, ...]  # (value, class of value) for each parameter in turn; markers stand in for the class

_DIGITS = 10**18


class Spelled:
    """Stands beside the text of a value that is no atom, where an atom's class would stand."""


class Instance:
    """Stands beside the token of a method's instance."""


class Token:
    """One instance of a class with cached methods, for as long as the instance lives; never a second one."""

    __slots__ = ("text",)
    numbers: itertools.count[int] = itertools.count(1)

    def __init__(self, text: str = "") -> None:
        self.text: str = text or f"#{next(self.numbers)}"


NO_INSTANCE = Token("None~")  # GraphQL calls a root's resolvers so; it is the same in every process


class Instances:
    """Gives each instance its token, without keeping the instance alive."""

    def __init__(self) -> None:
        self._tokens: dict[int, tuple[weakref.ref[Any], Token]] = {}  # {id: (who it is, token)}; gone with it

    def __call__(self, instance: Any) -> Token:
        """Return the token of ``instance``, the same one each time."""
        found = self._tokens.get(id(instance))
        return found[1] if found is not None else self._admit(instance)

    def _admit(self, instance: Any) -> Token:
        if instance is None:
            return NO_INSTANCE
        number, tokens = id(instance), self._tokens
        try:
            # runs before the number can be another object's
            ref = weakref.ref(instance, lambda _: tokens.pop(number, None))
        except TypeError:
            name = type(instance).__qualname__
            way = (
                "" if type(instance).__itemsize__ else f"add '__weakref__' to {name}.__slots__, or "
            )  # no tuple has it
            if hasattr(instance, "__dataclass_fields__"):
                way = "write @dataclass(slots=True, weakref_slot=True), or "
            raise TypeError(
                f"a cached method of {name} cannot tell its instances apart: {way}build the key yourself, as in "
                "key=lambda self, ...: (self, ...)"
            ) from None
        return tokens.setdefault(number, (ref, Token()))[1]


class CallKeys:
    """Makes the keys of one function."""

    def __init__(self, prefix: str, function: str, parameters: Sequence[str]) -> None:
        self.prefix = prefix
        self._function = function
        self._parameters = parameters  # the keyed ones, in the order of the key's pairs

    def exact(self, key: Key) -> Key:
        """Return ``key`` with every value that is no atom spelled out: the key to store under.

        Raises:
            UnkeyableArgumentError: A value cannot be keyed.
        """
        for value, mark in zip(key[::2], key[1::2], strict=True):
            if mark is not type(value) or not (mark is int or is_atom(value)):
                return self._spelled(key)
        return key

    def _spelled(self, key: Key) -> Key:
        pairs: list[Any] = []
        for i in range(0, len(key), 2):
            value, mark = key[i], key[i + 1]
            if mark is not Instance and mark is not Ambient and not (mark is type(value) and is_atom(value)):
                value, mark = self._spell(value, i // 2), Spelled
            pairs += (value, mark)
        return tuple(pairs)

    def _spell(self, value: Any, position: int) -> str:
        try:
            return short_text(value)
        except Unkeyable as error:
            from .bearers import refusal  # noqa: PLC0415 - only for what is refused

            raise refusal(self._function, self._parameters[position], type(value), error.type) from None

    def text(self, key: Key) -> str:
        """Return the text ``prefix:part:part`` of an exact key."""
        return ":".join([self.prefix, *self._texts(key)])

    def parts(self, key: Key) -> list[tuple[str, str]]:
        """Return which parameter, or ``@name`` of a scope's value, each part of an exact key comes from."""
        texts = self._texts(key)
        found = list(zip(self._parameters, texts, strict=False))
        if key and key[-1] is Ambient:
            pairs = [text.partition("/") for text in texts[-1].split(":")]
            found += [(name, text) for name, _, text in pairs]
        return found

    def _texts(self, key: Key) -> list[str]:
        parts: list[str] = []
        pairs = iter(key)
        for value, mark in zip(pairs, pairs, strict=True):
            if mark is int and -_DIGITS < value < _DIGITS:  # as `short_text` has it, at a fifth of the cost
                parts.append(f"{value}")
            elif mark is Instance:
                parts.append(value.text)
            else:
                parts.append(value if mark is Spelled or mark is Ambient else short_text(value))
        return parts


def without_surroundings(key: Key) -> Key:
    """Return the key that the same call has outside of any scope."""
    return key[:-2] if key and key[-1] is Ambient else key
