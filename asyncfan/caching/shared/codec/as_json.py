"""How a value becomes bytes that every process can read: JSON, with the types that JSON has not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from ....exceptions import UnstorableValueError
from .register import PLAIN
from .tags import tagged, untagged

__all__ = ["Json", "Serializer", "read_plain", "write_plain"]

_STRINGS = frozenset({str})
_ATOMS = PLAIN - {float, dict, list}
_TAGGED = b"~"  # what JSON cannot begin with

_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_read_tagged = json.JSONDecoder(object_hook=untagged).decode


class Serializer(Protocol):
    """What makes bytes of values, and values of bytes."""

    @property
    def name(self) -> str:
        """What it is called in what is stored: a process reads what it has a serializer of this name for."""
        ...

    def dumps(self, value: Any, key: str) -> bytes:
        """Return the bytes of ``value``; one that signs them signs with them the text of the key they are for.

        Raises:
            UnstorableValueError: They would not give the same value again.
        """
        ...

    def loads(self, data: bytes, key: str) -> Any:
        """Return the value; ``data`` may be anything, and no code that it names may run.

        Raises:
            Exception: There is none.
        """
        ...


class Json:
    """JSON, and what is read is of the types that were written: dates, decimals, sets, tuples, dataclasses and so on.

    Every value of a plain type or of the standard library's value types is kept, and so are enums, NamedTuples,
    dataclasses, attrs classes, pydantic models and msgspec Structs, if readers find their class by its name in a
    module that they have imported. Their instances come back with the attributes they had, and neither ``__init__``
    nor ``__post_init__`` nor a validator runs (but a Struct's ``__post_init__`` does); one whose class has got other
    fields since does not come back. For other types there is `register_codec`.

    A list that stands in a value twice comes back as two. msgspec does the same work sooner, if it is installed.

    Example:
        >>> print(Json().dumps({"a": 1}), Json().dumps({"a": (1, 2)}))
        b'{"a":1}' b'~{"a":{"~tuple":[1,2]}}'
        >>> Json().loads(Json().dumps({"a": (1, 2)}))
        {'a': (1, 2)}
    """

    name = "json"

    def __init__(self) -> None:
        self._write, self._read = _engine()

    def __repr__(self) -> str:
        return f"<Json by {'the standard library' if self._write is write_plain else 'msgspec'}>"

    def dumps(self, value: Any, key: str = "") -> bytes:  # noqa: ARG002 - nothing is signed
        """Return ``value`` as JSON, after a ``~`` if there are tags in it.

        Raises:
            UnstorableValueError: It, or a value in it, is of a type that is not known, or it holds itself.
        """
        try:
            if _is_plain(value):
                try:
                    return self._write(value)
                except ValueError:
                    pass  # a lone surrogate, or more digits than Python writes: tags keep them
            return _TAGGED + _write(tagged(value)).encode("utf-8", "surrogatepass")
        except RecursionError:
            raise UnstorableValueError(type(value), "it holds itself, or is nested too deep") from None

    def loads(self, data: bytes, key: str = "") -> Any:  # noqa: ARG002
        """Return the value of what `dumps` gave.

        Raises:
            UnknownClassError: A class in it is not to be found here.
            Exception: It is something else.
        """
        if data.startswith(_TAGGED):
            return _read_tagged(str(data[1:], "utf-8", "surrogatepass"))
        return self._read(data)


def _is_plain(value: Any) -> bool:
    """Say whether JSON gives back the same value of exactly the same types, through and through."""
    kind = type(value)
    if kind is dict:
        if not _STRINGS.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list:
        value = (value,)
    for item in value:
        kind = type(item)
        if kind in _ATOMS:
            continue
        if kind is float:
            if item - item:  # NaN for NaN and for infinity, which are no JSON
                return False
        elif not ((kind is dict or kind is list) and _is_plain(item)):
            return False
    return True


def _engine() -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """What writes and reads plain JSON: what one has written the other reads."""
    try:
        import msgspec.json  # noqa: PLC0415 - optional
    except ImportError:
        return write_plain, read_plain
    return msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


def write_plain(value: Any) -> bytes:
    """Return JSON, by the standard library."""
    return _write(value).encode()


def read_plain(data: bytes) -> Any:
    """Return the value of JSON, by the standard library."""
    return json.loads(str(data, "utf-8"))
