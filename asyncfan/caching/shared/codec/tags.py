"""Values that JSON has not, as ones that it has: ``{"~set": [1, 2]}``; whatever else looks like that is spelled out."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import uuid
import zoneinfo
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from typing import Any

from ....exceptions import UnstorableValueError
from .classes import UNSET, UnknownClassError, enum_at, name_of, shape_at, shape_of
from .register import class_path, codec_at, codec_of

__all__ = ["tagged", "untagged"]

_ATOMS = frozenset({type(None), bool, float, str})  # the standard library writes NaN and infinity, and reads them
_STRINGS = frozenset({str})
_LONG_INT = 2048  # bits; a process may refuse to read a number of more than 640 digits


def tagged(value: Any) -> Any:
    """Return ``value`` in terms of JSON's own types, from which `untagged` makes it again, its type and all.

    Raises:
        UnstorableValueError: It, or a value inside it, is of a type that is not known.
        RecursionError: It holds itself.

    Example:
        >>> tagged({"seen": {1}, 2: b"ab"})
        {'~dict': [['seen', {'~set': [1]}], [2, {'~bytes': 'YWI='}]]}
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        return value if value.bit_length() <= _LONG_INT else {"~int": f"{value:x}"}
    if kind is list:
        return _items(value)
    if kind is dict:
        return _mapping(value)
    tag, body = _body(value, kind)
    return {tag: body}


def untagged(found: dict[str, Any]) -> Any:
    """Return what an object in JSON stands for, its contents being done already: an ``object_hook``.

    Raises:
        UnknownClassError: It is of a class, or a kind of value, that this process does not have.
        Exception: It is none that `tagged` gives.

    Example:
        >>> untagged({"~set": [1, 2]}), untagged({"seen": 1})
        ({1, 2}, {'seen': 1})
    """
    if len(found) != 1:
        return found
    ((tag, body),) = found.items()
    if not tag.startswith("~"):
        return found
    make = _MAKERS.get(tag)
    if make is None:
        raise UnknownClassError(f"there is no {tag!r} in this release")
    return make(body)


def _body(value: Any, kind: type) -> tuple[str, Any]:
    codec = codec_of(kind)
    if codec is not None:
        return "~registered", [class_path(kind), tagged(codec.dumps(value))]
    known = _KINDS.get(kind)
    if known is not None:
        tag, body_of, _ = known
        return tag, body_of(value)
    if isinstance(value, enum.Enum):
        return "~enum", name_of(value)
    shape = shape_of(kind)
    if shape is None:
        raise UnstorableValueError(kind)
    fields, others = shape.apart(value)
    parts = (fields, others) if others else (fields,)
    return "~record", [shape.path, *map(_mapping, parts)]


def _items(values: Iterable[Any]) -> list[Any]:
    return [value if type(value) in _ATOMS else tagged(value) for value in values]


def _pairs(values: dict[Any, Any]) -> list[Any]:
    return [[tagged(key), tagged(value)] for key, value in values.items()]


def _mapping(values: dict[Any, Any]) -> dict[str, Any]:
    """A dict as it is if its keys are strings, and nobody can take it for a tag."""
    if not _STRINGS.issuperset(map(type, values)) or (len(values) == 1 and next(iter(values)).startswith("~")):
        return {"~dict": _pairs(values)}
    return {key: value if type(value) in _ATOMS else tagged(value) for key, value in values.items()}


def _base64(value: bytes | bytearray) -> str:
    return b2a_base64(value, newline=False).decode("ascii")


def _bytes(body: str) -> bytes:
    return a2b_base64(body, strict_mode=True)


def _datetime(value: dt.datetime) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, tagged(value.tzinfo)]


def _time(value: dt.time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, tagged(value.tzinfo)]


def _timedelta(value: dt.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _timezone(value: dt.timezone) -> list[Any]:
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]
    return [_timedelta(offset), *name]


def _zone(value: zoneinfo.ZoneInfo) -> str:
    if value.key is None:
        raise UnstorableValueError(zoneinfo.ZoneInfo, "it was read from a file and has no key")
    return value.key


def _registered(body: list[Any]) -> Any:
    path, inner = body
    codec = codec_at(path)
    if codec is None:
        raise UnknownClassError(f"register_codec() was not called for {path} here")
    value = codec.loads(inner)
    if type(value) is not codec.type:
        raise UnknownClassError(f"the codec of {path} makes values of another type")
    return value


def _record(body: list[Any]) -> Any:
    path, fields, *others = body
    return shape_at(path).together(fields, *others or ({},))


# {type: (its tag, what stands behind the tag, the value of that)}; the tags are part of what is stored.
_KINDS: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    bytes: ("~bytes", _base64, _bytes),
    bytearray: ("~bytearray", _base64, lambda body: bytearray(_bytes(body))),
    complex: ("~complex", lambda v: [v.real, v.imag], lambda body: complex(*body)),
    range: ("~range", lambda v: [v.start, v.stop, v.step], lambda body: range(*body)),
    tuple: ("~tuple", _items, tuple),
    set: ("~set", _items, set),
    frozenset: ("~frozenset", _items, frozenset),
    collections.deque: ("~deque", lambda v: [_items(v), v.maxlen], lambda body: collections.deque(*body)),
    collections.OrderedDict: ("~ordered", _pairs, collections.OrderedDict),
    collections.Counter: ("~counter", _pairs, lambda body: collections.Counter(dict(body))),
    dt.date: ("~date", dt.date.isoformat, dt.date.fromisoformat),
    dt.datetime: ("~datetime", _datetime, lambda b: dt.datetime.fromisoformat(b[0]).replace(fold=b[1], tzinfo=b[2])),
    dt.time: ("~time", _time, lambda b: dt.time.fromisoformat(b[0]).replace(fold=b[1], tzinfo=b[2])),
    dt.timedelta: ("~timedelta", _timedelta, lambda body: dt.timedelta(*body)),
    dt.timezone: ("~timezone", _timezone, lambda body: dt.timezone(dt.timedelta(*body[0]), *body[1:])),
    zoneinfo.ZoneInfo: ("~zone", _zone, zoneinfo.ZoneInfo),
    decimal.Decimal: ("~decimal", str, decimal.Decimal),
    fractions.Fraction: (
        "~fraction",
        lambda v: _items((v.numerator, v.denominator)),
        lambda body: fractions.Fraction(*body),
    ),
    type(UNSET): ("~unset", lambda _: None, lambda _: UNSET),
    uuid.UUID: ("~uuid", lambda v: v.hex, uuid.UUID),
    **{
        kind: (f"~{kind.__name__}", str, kind)
        for kind in (
            pathlib.PurePosixPath,
            pathlib.PureWindowsPath,
            pathlib.PosixPath,
            pathlib.WindowsPath,
            ipaddress.IPv4Address,
            ipaddress.IPv4Interface,
            ipaddress.IPv4Network,
            ipaddress.IPv6Address,
            ipaddress.IPv6Interface,
            ipaddress.IPv6Network,
        )
    },
}
_MAKERS: dict[str, Callable[[Any], Any]] = {
    **{tag: make for tag, _, make in _KINDS.values()},
    "~int": lambda body: int(body, 16),
    "~dict": dict,
    "~enum": lambda body: enum_at(*body),
    "~record": _record,
    "~registered": _registered,
}
