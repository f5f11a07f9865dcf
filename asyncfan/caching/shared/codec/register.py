"""What the user says about types of their own: how their values become ones that can be stored, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["PLAIN", "Codec", "class_path", "codec_at", "codec_of", "register_codec"]

T = TypeVar("T")

# What JSON itself tells apart, and reads back as it was written.
PLAIN: frozenset[type] = frozenset({type(None), bool, int, float, str, list, dict})


class Codec(NamedTuple):
    """One type's way out and back in."""

    type: type[Any]
    dumps: Callable[[Any], Any]
    loads: Callable[[Any], Any]


_by_path: dict[str, Codec] = {}


def register_codec(type_: type[T], *, dumps: Callable[[T], Any], loads: Callable[[Any], T]) -> None:
    """Say how values of a type travel to other processes; every process that reads them must say the same.

    Args:
        type_: The class, known to the readers by its module and name; its subclasses need codecs of their own.
        dumps: Gives what an instance is made of: any value that can be stored itself.
        loads: Makes the instance again of what ``dumps`` gave.

    Raises:
        TypeError: ``type_`` is not a class, or not a function was given for one of the others.
        ValueError: ``type_`` is one of those that JSON has itself.

    Example:
        >>> class Account:
        ...     def __init__(self, number): self.number = number
        >>> register_codec(Account, dumps=lambda account: account.number, loads=Account)
    """
    if not isinstance(type_, type):
        raise TypeError(f"register_codec(type_, dumps=, loads=): type_ must be a class, got {type_!r}")
    if type_ in PLAIN:
        raise ValueError(f"register_codec(): values of type {type_.__name__} are stored as they are, always")
    for name, function in (("dumps", dumps), ("loads", loads)):
        if not callable(function):
            raise TypeError(f"register_codec(type_, dumps=, loads=): {name} must be callable, got {function!r}")
    _by_path[class_path(type_)] = Codec(type_, dumps, loads)


def class_path(type_: type) -> str:
    """Return what a class is called in what is stored.

    Example:
        >>> class_path(int)
        'builtins:int'
    """
    return f"{type_.__module__}:{type_.__qualname__}"


def codec_of(type_: type) -> Codec | None:
    """Return what was registered for exactly this class."""
    found = _by_path.get(class_path(type_)) if _by_path else None
    return found if found is not None and found.type is type_ else None


def codec_at(path: str) -> Codec | None:
    """Return what was registered for the class of this name."""
    return _by_path.get(path)
