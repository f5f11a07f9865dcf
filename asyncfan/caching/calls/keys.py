"""What makes two calls the same call: the text of a value, typed and injective, so that no two values share it."""

from __future__ import annotations

import copyreg
import enum
import itertools
import re
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = [
    "Unkeyable", "escape", "is_atom", "is_registered", "key_text", "mark_of", "register_key", "short_text", "untyped",
]  # fmt: skip

T = TypeVar("T")

_numbers = itertools.count(1)
_local_classes: WeakKeyDictionary[type, int] = WeakKeyDictionary()

# Every other byte is escaped in a text: ":", "*" and "%" mean something there, "~(),=" in a value's own text.
_UNSAFE = re.compile(rb"[^A-Za-z0-9/@+!$&'._|-]")
_LOOKS_LIKE_INT = re.compile(r"-?[0-9]+")
_TYPE_TAG = re.compile(r"~[^:,()=]*")

# Values of exactly these types are equal only if nothing can tell them apart, so they are their own key.
_ATOMS: frozenset[type] = frozenset({int, str, bytes, bool, float, type(None)})
_ATOMS_BY_NAME = frozenset({"datetime.date", "uuid.UUID"})

LONG_VALUE = 1024  # characters or bytes from which a text stands in a key by its digest
LONG_TEXT = 160


class Unkeyable(TypeError):  # noqa: N818 - an answer for the caller, who turns it into UnkeyableArgumentError
    """Raised when a value has no text of its own; carries the type that is to blame."""

    def __init__(self, type_: type[Any]) -> None:
        super().__init__(f"{type_.__qualname__} has no value to key by")
        self.type = type_


def escape(text: str) -> str:
    """Percent-escape ``text`` so that inside a key or a pattern it stands for itself.

    Raises:
        TypeError: It is no string.

    Example:
        >>> escape("a:b*")
        'a%3Ab%2A'
    """
    if not isinstance(text, str):
        raise TypeError(f"escape() takes a string, got {text!r}: write escape(str(...))")
    return _UNSAFE.sub(_percent, text.encode("utf-8", "surrogatepass")).decode("ascii")


def _percent(byte: re.Match[bytes]) -> bytes:
    return b"%%%02X" % byte[0][0]


def untyped(text: str) -> str:
    """Return ``text`` without its type tags, as patterns see it: ``42`` for the number and for the string."""
    return _TYPE_TAG.sub("", text) if "~" in text else text


def is_atom(value: Any) -> bool:
    """Say whether ``value`` together with its class is a key by itself, without being spelled out."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) <= LONG_VALUE
    if kind in _ATOMS:
        return bool(value == value)  # noqa: PLR0124 - NaN differs from itself
    return f"{kind.__module__}.{kind.__qualname__}" in _ATOMS_BY_NAME


def key_text(value: Any) -> str:
    """Return the text of ``value``: equal texts mean the same type and an equal value.

    A string stands as it is, escaped; whatever could be mistaken for one ends in ``~`` and its type.

    Raises:
        Unkeyable: The value, or one inside it, has no value of its own to key by.

    Example:
        >>> key_text(42), key_text("42"), key_text([1, "a b", None])
        ('42', '42~s', '(1,a%20b,None~)~l')
    """
    try:
        return _text(value)
    except RecursionError:
        raise Unkeyable(type(value)) from None


def short_text(value: Any) -> str:
    """Return `key_text`, a long one cut and ended by its 192-bit BLAKE2b digest."""
    text = key_text(value)
    if len(text) <= LONG_TEXT:
        return text
    # "=" stands within parentheses everywhere else, and is no type tag: patterns see the digest
    return f"{re.sub(r'[(),=~#]', '', text[:32])}={_digest(text.encode())}{mark_of(text)}"


def mark_of(text: str) -> str:
    """Return what must end a digest of ``text``, so that a key shows that it means something in this process only."""
    return "~#" if "#" in text else ""


def _digest(data: bytes) -> str:
    from hashlib import blake2b  # noqa: PLC0415 - loads OpenSSL

    return blake2b(data, digest_size=24).hexdigest()


def register_key(type_: type[T], value_of: Callable[[T], Any]) -> None:
    """Say what the value of a ``type_`` object is, so that it can be an argument of cached functions.

    Args:
        type_: The class; its subclasses are keyed the same way, each under its own name.
        value_of: Gives the keyable value of an instance, for example its identifier.

    Raises:
        TypeError: ``type_`` is not a class or ``value_of`` cannot be called.

    Example:
        >>> class Account:
        ...     def __init__(self, number): self.number = number
        >>> register_key(Account, lambda account: account.number)
        >>> key_text(Account(7)).startswith("(7)~")
        True
    """
    if not isinstance(type_, type):
        raise TypeError(f"register_key(type_, value_of): type_ must be a class, got {type_!r}")
    if not callable(value_of):
        raise TypeError(f"register_key(type_, value_of): value_of must be callable, got {value_of!r}")
    _BY_TYPE[type_] = lambda value: f"({_text(value_of(value))})"
    _WHOLE.add(type_)


def is_registered(type_: type[Any]) -> bool:
    """Say whether `register_key` has given a value to objects of a class."""
    return not _WHOLE.isdisjoint(type_.__mro__)


def _text(value: Any) -> str:  # noqa: PLR0911 - one a kind of value
    kind = type(value)
    if kind is int:
        return str(value) if value.bit_length() < 4096 else f"{value:x}~x"  # noqa: PLR2004 - str() refuses longer
    if kind is str:
        return _string(value)
    if isinstance(value, enum.Enum):  # before the int or str that it may be as well
        return f"{_enum(value)}~{_path(kind)}"
    for base in kind.__mro__[:-1]:  # a registered base speaks for its subclasses, the nearest one first
        body = _BY_TYPE.get(base) or _BY_NAME.get(f"{base.__module__}.{base.__qualname__}")
        if body is not None:
            tag = _TAGS.get(kind)
            return f"{body(value)}{_attributes(value, kind, base)}~{_path(kind) if tag is None else tag}"
        names = _field_names(base)
        if names is not None:
            return _fields(value, kind, names)
    if kind.__module__ == "numpy":  # not its subclasses: a mask or a unit is no part of the bytes
        return _numpy(value, kind)
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return _importable(value, kind)
    raise Unkeyable(kind)


def _string(value: str) -> str:
    text = value if value.isalnum() and value.isascii() else escape(value)
    return f"{text}~s" if not text or _LOOKS_LIKE_INT.fullmatch(text) else text


def _attributes(value: Any, kind: type, base: type) -> str:
    """What a subclass's instance carries beside its base's value: a list with a unit is not the bare list."""
    if base in _WHOLE or base.__module__ in {kind.__module__, "google.protobuf.message"}:
        return ""
    slots = set(copyreg._slotnames(kind)) - set(copyreg._slotnames(base))  # type: ignore[attr-defined]  # noqa: SLF001
    more = {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots if hasattr(value, name)}}
    return f"({_mapping(more)})" if more else ""


def _field_names(kind: type) -> Iterable[str] | None:
    """The names of the fields, where the class itself declares them: dataclass, pydantic, attrs or msgspec."""
    own = vars(kind)
    if "__dataclass_fields__" in own:
        from dataclasses import fields  # noqa: PLC0415 - loaded where there is a dataclass

        return [f.name for f in fields(kind)]
    if "__attrs_attrs__" in own:
        return [a.name for a in own["__attrs_attrs__"]]
    names: Iterable[str] | None = own.get("__pydantic_fields__", own.get("__struct_fields__"))
    return names


def _fields(value: Any, kind: type, names: Iterable[str]) -> str:
    given = getattr(value, "__pydantic_fields_set__", names)  # what model_dump(exclude_unset=True) shows
    pairs = [
        f"{escape(name)}{'' if name in given else '?'}={_text(getattr(value, name))}"
        for name in names
        if hasattr(value, name)
    ]
    extra = getattr(value, "__pydantic_extra__", None) or {}
    pairs += [f"{escape(name)}={_text(extra[name])}" for name in sorted(extra)]
    return f"({','.join(pairs)})~{_path(kind)}"


def _numpy(value: Any, kind: type) -> str:
    """A numpy scalar or array by its bytes, type and shape; one that holds Python objects has no value of its own."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.hasobject:
        raise Unkeyable(kind)
    shape = ".".join(map(str, value.shape))
    data = value.tobytes()
    body = data.hex() if len(data) <= 64 else _digest(data)  # noqa: PLR2004
    return f"{body}~{_path(kind)}.{escape(str(dtype))}.{shape}"


def _importable(value: Any, kind: type) -> str:
    """A class or function by its place in a module: a lambda or a local one has none."""
    if not _is_importable(value):
        raise Unkeyable(kind)
    return f"{escape(value.__module__)}.{escape(value.__qualname__)}~T"


def _is_importable(value: Any) -> bool:
    found: Any = sys.modules.get(value.__module__ or "")
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _path(kind: type) -> str:
    path = f"{escape(str(kind.__module__))}.{escape(kind.__qualname__)}"  # protobuf makes classes of no module
    if _is_importable(kind):
        return path
    # made at run time, so there may be more of this name: number them; "#" says that other processes number otherwise
    return f"{path}.#{_local_classes.get(kind) or _local_classes.setdefault(kind, next(_numbers))}"


def _items(values: Iterable[Any]) -> str:
    return f"({','.join(map(_text, values))})"


def _unordered(values: Iterable[Any]) -> str:
    return f"({','.join(sorted(map(_text, values)))})"


def _mapping(values: Mapping[Any, Any]) -> str:
    return f"({','.join(sorted(f'{_text(k)}={_text(v)}' for k, v in values.items()))})"


def _ordered_mapping(values: Mapping[Any, Any]) -> str:
    return f"({','.join(f'{_text(k)}={_text(v)}' for k, v in values.items())})"


def _moment(value: Any) -> str:
    zone: Any = type(value.tzinfo)
    if zone.__str__ is object.__str__ and zone.__repr__ is object.__repr__:
        raise Unkeyable(zone)  # it prints as an address
    return escape(f"{value.isoformat()}{'f' * value.fold} {value.tzinfo or ''}")


def _enum(value: enum.Enum) -> str:
    return escape(value.name or f"={value.value}")  # an unnamed combination of flags is its number


def _message(value: Any) -> str:  # of protobuf
    data = value.SerializePartialToString(deterministic=True)
    return data.hex() if len(data) <= 64 else _digest(data)  # noqa: PLR2004


def _refused(value: Any) -> str:
    raise Unkeyable(type(value))


def _str_of(value: Any) -> str:
    return escape(str(value))


# The text between a value's parentheses, by its class or the nearest of its bases; the class is added behind "~".
_BY_TYPE: dict[type, Callable[[Any], str]] = {
    bool: str,
    int: lambda v: _text(int(v)),
    str: escape,
    float: lambda v: repr(float(v) + 0.0),  # -0.0 equals 0.0
    complex: lambda v: escape(repr(complex(v.real + 0.0, v.imag + 0.0))),
    bytes: bytes.hex,
    bytearray: lambda v: bytes(v).hex(),
    type(None): lambda _: "None",
    type(...): lambda _: "Ellipsis",
    list: _items,
    tuple: _items,
    deque: _items,
    set: _unordered,
    frozenset: _unordered,
    dict: _mapping,
    OrderedDict: _ordered_mapping,
    types.MappingProxyType: _mapping,
    range: lambda v: _items((v.start, v.stop, v.step)),
    slice: lambda v: _items((v.start, v.stop, v.step)),
}
# The same for classes that a program which uses them has imported, and that are not worth importing before.
_BY_NAME: dict[str, Callable[[Any], str]] = {
    "datetime.date": lambda v: v.isoformat(),
    "datetime.datetime": _moment,
    "datetime.time": _moment,
    "datetime.timedelta": lambda v: f"{v.days}.{v.seconds}.{v.microseconds}",
    "datetime.timezone": lambda v: escape(repr(v)),
    "zoneinfo.ZoneInfo": _str_of,
    "decimal.Decimal": _str_of,
    "fractions.Fraction": lambda v: _items((v.numerator, v.denominator)),
    "uuid.UUID": lambda v: v.hex,
    "pathlib.PurePath": _str_of,
    "pathlib._local.PurePath": _str_of,
    "ipaddress.IPv4Address": _str_of,
    "ipaddress.IPv4Network": _str_of,
    "ipaddress.IPv6Address": _str_of,
    "ipaddress.IPv6Network": _str_of,
    "google.protobuf.message.Message": _message,
    "strawberry.types.info.Info": _refused,  # a dataclass: its fields are not what tells callers apart
}
# Short names of the common types; a class of the user's is named by its path, which has a dot in it.
_TAGS = {
    bool: "b", float: "f", complex: "c", bytes: "y", bytearray: "Y", list: "l", tuple: "t", set: "S", frozenset: "F",
    dict: "d", type(None): "", type(...): "e", types.MappingProxyType: "m",
}  # fmt: skip
# Classes whose text says everything, whatever else an instance carries.
_WHOLE: set[type] = set()
