"""Instances of the user's classes: which classes are made of fields alone, found by name, filled without a call."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import MemberDescriptorType
from typing import Any, Final, NamedTuple

from ....exceptions import UnstorableValueError
from .register import class_path

__all__ = ["UNSET", "Shape", "UnknownClassError", "enum_at", "name_of", "shape_at", "shape_of"]


class _Unset:
    """The type of `UNSET`, which stands for a field that the instance does not have."""

    __slots__ = ()


UNSET: Final = _Unset()

# attrs keeps a frozen instance's hash in it: another process hashes strings differently.
_ATTRS_HASH = "_attrs_cached_hash"


class UnknownClassError(LookupError):
    """Raised when a stored value is of a class that this process does not have, or not as it was."""


class Shape(NamedTuple):
    """How instances of a class are taken apart and put together again.

    Attributes:
        path: The class's name, by which other processes find it.
        names: The declared fields; a class with other ones is another class.
        slots: What is not in an instance's ``__dict__``; it is read and set without the class's own code.
        make: Makes an instance of its fields; what its ``__dict__`` and slots hold is set afterwards.
    """

    path: str
    names: tuple[str, ...]
    slots: dict[str, MemberDescriptorType]
    make: Callable[[dict[str, Any]], Any]

    def apart(self, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the declared fields, and whatever else the instance carries."""
        state: dict[str, Any] = dict(zip(self.names, value, strict=True)) if issubclass(type(value), tuple) else {}
        state |= getattr(value, "__dict__", {})
        for name, slot in self.slots.items():
            try:
                state[name] = slot.__get__(value)
            except AttributeError:
                continue  # not set
        state.pop("__orig_class__", None)  # Box[int](1) remembers the alias that made it
        if _ATTRS_HASH in state:
            state[_ATTRS_HASH] = None
        return {name: state.pop(name, UNSET) for name in self.names}, state

    def together(self, fields: dict[str, Any], others: dict[str, Any]) -> Any:
        """Return an instance that carries what `apart` gave, without ``__init__`` or any ``__setattr__``.

        Raises:
            UnknownClassError: The class's fields are no longer these.
        """
        if tuple(fields) != self.names:
            raise UnknownClassError(f"{self.path} has other fields than when it was stored")
        value = self.make(fields)
        if issubclass(type(value), tuple):  # isinstance() could ask the instance
            fields = {}
        for name, item in (fields | others).items():
            if item is UNSET:
                continue
            if name in self.slots:
                self.slots[name].__set__(value, item)
            else:
                object.__getattribute__(value, "__dict__")[name] = item
        return value


@lru_cache(maxsize=4096)
def shape_of(kind: type) -> Shape | None:
    """Return how instances of ``kind`` are stored; None if it is no record of fields.

    Raises:
        UnstorableValueError: It is one, but other processes could not find it by its name.
    """
    shape = _shape(kind)
    if shape is not None:
        _check_found(kind)
    return shape


def shape_at(path: str) -> Shape:
    """Return how instances of the class of this name are made.

    Raises:
        UnknownClassError: There is no such class, or it is no record of fields.
    """
    shape = _shape(_class_at(path))
    if shape is None:
        raise UnknownClassError(f"{path} is no record of fields")
    return shape


def name_of(member: enum.Enum) -> list[Any]:
    """Return the class and the name of an enum's member; for unnamed combinations of flags, their number.

    Raises:
        UnstorableValueError: Other processes could not find the class by its name, or the member in it.
    """
    kind = type(member)
    _check_found(kind)
    if kind._member_map_.get(member._name_) is member:
        return [class_path(kind), member._name_]
    if isinstance(member, enum.Flag):
        return [class_path(kind), member._value_]
    raise UnstorableValueError(kind, "it is none of its enum's members")


def enum_at(path: str, name: str | int) -> enum.Enum:
    """Return the member that `name_of` named.

    Raises:
        UnknownClassError: There is no such enum, or no such member.
    """
    kind = _class_at(path)
    if not issubclass(kind, enum.Enum):
        raise UnknownClassError(f"{path} is no enum")
    if issubclass(kind, enum.Flag) and type(name) is int:
        return kind(name)
    try:
        return kind._member_map_[name]  # type: ignore[index]  # not kind[name], which is the metaclass's code
    except KeyError:
        raise UnknownClassError(f"{path} has no member {name}") from None


def _class_at(path: str) -> type:
    """The class of this name, among what is imported already: nothing is imported, and no code of a module runs."""
    module, _, qualname = path.partition(":")
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        try:
            found = object.__getattribute__(found, "__dict__").get(name)  # getattr() could load a lazy module
        except AttributeError:
            found = None
    if not isinstance(found, type):
        raise UnknownClassError(f"there is no class {path} here")
    return found


@lru_cache(maxsize=4096)
def _check_found(kind: type) -> None:
    try:
        found = _class_at(class_path(kind))
    except UnknownClassError:
        found = None
    if found is not kind:
        raise UnstorableValueError(kind, "its class is not found by its name in its module")


@lru_cache(maxsize=4096)
def _shape(kind: type) -> Shape | None:
    names, make = _anatomy(kind)
    if names is None:
        return None
    slots = {
        name: member
        for base in reversed(kind.__mro__)
        for name, member in vars(base).items()
        if type(member) is MemberDescriptorType
    }
    return Shape(class_path(kind), tuple(names), slots, make)


def _anatomy(kind: type[Any]) -> tuple[Iterable[str] | None, Callable[[dict[str, Any]], Any]]:
    """The names of the fields, None if there is more to the instances than fields; and what makes an instance."""
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None), lambda fields: tuple.__new__(kind, fields.values())
    if _is_struct(kind):  # cannot be made otherwise: __post_init__ runs, as in msgspec's own decoders
        return kind.__struct_fields__, lambda fields: kind(**fields)
    new: Any = kind.__new__
    # else it is a dict or an Exception as well, or hands out shared instances
    names = _declared(kind) if new is object.__new__ else None
    return names, lambda _: object.__new__(kind)


def _declared(kind: type[Any]) -> Iterable[str] | None:
    """The fields that the class itself declares, not one of its bases: dataclass, attrs or pydantic."""
    own = vars(kind)
    if "__dataclass_fields__" in own:
        return [field.name for field in dataclasses.fields(kind)]
    if "__attrs_attrs__" in own:
        return [field.name for field in own["__attrs_attrs__"]]
    names: Iterable[str] | None = own.get("__pydantic_fields__")
    return own.get("model_fields") if names is None and "__pydantic_core_schema__" in own else names  # before 2.10


def _is_struct(kind: type) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and issubclass(kind, msgspec.Struct)
