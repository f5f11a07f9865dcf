"""What a value travels in: a checksum, the key and clears that it belongs to, how long it is good, and the bytes."""

from __future__ import annotations

import math
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from .codec.as_json import Serializer, read_plain, write_plain
from .codec.classes import UnknownClassError
from .protocol import HEAD

__all__ = ["INFLATE_LIMIT", "Header", "Peeked", "pack", "peek", "remaining", "unpack"]

# Version 1, all numbers big-endian. The first HEAD bytes tell a value from every other one, written by anyone, ever:
#    0  "afn" and the version
#    4  checksum: BLAKE2b-160 of all that follows
#   24  salt: 8 random bytes
#   32  flags: 1 = the payload is compressed (zlib)
#   33  the key's BLAKE2b-128
#   49  number, fresh, kept, cost; infinity stands for None
#   81  n, the size of the texts
#   85  the texts, as a list in JSON: serializer, run, validator or null, tag, tag, ...
#   85 + n  the payload
_MAGIC: Final = b"afn\x01"
_FIXED = struct.Struct(">B16sQdddI")
_CHECKED = 24
_TEXTS = HEAD + _FIXED.size
_COMPRESSED = 1

# The most that a compressed payload may hold. What is larger is stored as it is, and so is what would not shrink.
INFLATE_LIMIT = 64 * 2**20
_LEVEL = 1  # of 9: 100 kB of JSON shrink to 36 % in 1.0 ms, at level 6 to 33 % in 2.8 ms


@dataclass(frozen=True, slots=True)
class Header:
    """What is written about a value beside the value.

    Attributes:
        run: The ledger's, as of before the load began.
        number: The ledger's, as of before the load began.
        fresh: Seconds from writing during which the value is fresh; None: for good.
        kept: Seconds from writing until it must not be served at all; None: never. The server is told to drop it then,
            for that is how readers know its age: without ``kept`` there is no ``fresh``.
        tags: What the value can be cleared by, beside its key.
        validator: What its origin recognises this version of it by, such as an ETag.
        cost: Seconds that the load took.

    Raises:
        ValueError: A duration is negative, or ``fresh`` is given without ``kept``.
    """

    run: str
    number: int
    fresh: float | None
    kept: float | None
    tags: tuple[str, ...] = ()
    validator: str | None = None
    cost: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fresh", "kept", "cost"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"Header(): {name} must be >= 0 seconds, got {seconds!r}")
        if self.kept is None and self.fresh is not None:
            raise ValueError(
                f"Header(): a value that is fresh for {self.fresh} s must be kept for a time, got kept=None"
            )


class Peeked(NamedTuple):
    """What is known of a stored value without reading it.

    Attributes:
        header: What was written beside it.
        size: Bytes, of all together.
        serializer: The name of the one that it takes to read it.
    """

    header: Header
    size: int
    serializer: str


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    """Raised when bytes are not a value for us; its argument is the reason that is counted."""


class _Opened(NamedTuple):
    header: Header
    serializer: str
    digest: bytes
    flags: int
    payload: bytes


def pack(
    key_text: str,
    value: Any,
    header: Header,
    serializer: Serializer,
    compress_above: int | None,
    *,
    randbytes: Callable[[int], bytes] = random.randbytes,
) -> bytes:
    """Return the bytes to store for a key.

    Args:
        key_text: The text of the key; the bytes are of no use under another one.
        value: What to store.
        header: What to say of it.
        serializer: Makes the payload of the value.
        compress_above: Payloads of more bytes are compressed; None: none is.
        randbytes: Gives so many random bytes, by which two equal values can be told apart.

    Raises:
        UnstorableValueError: The serializer cannot keep the value.
        Exception: What a registered codec of the user's raises.
    """
    flags = 0
    payload = serializer.dumps(value, key_text)
    if compress_above is not None and compress_above < len(payload) <= INFLATE_LIMIT:
        smaller = zlib.compress(payload, _LEVEL)
        if len(smaller) < len(payload):
            flags, payload = _COMPRESSED, smaller
    texts = write_plain([serializer.name, header.run, header.validator, *header.tags])
    fresh, kept = (math.inf if seconds is None else seconds for seconds in (header.fresh, header.kept))
    fixed = _FIXED.pack(flags, _digest(key_text), header.number, fresh, kept, header.cost, len(texts))
    checked = b"".join((randbytes(HEAD - _CHECKED), fixed, texts, payload))
    return _MAGIC + _checksum(checked) + checked


def unpack(
    key_text: str, data: bytes, serializers: Mapping[str, Serializer], refused: Counter[str] | None = None
) -> tuple[Header, Any] | None:
    """Return what `pack` was given for this key, None if the bytes are anything else: nothing is raised.

    Args:
        key_text: The text of the key that the bytes were found under.
        data: The bytes, whoever has written them.
        serializers: By name.
        refused: Counts the reasons of None: ``"foreign"``, ``"version"``, ``"checksum"``, ``"malformed"``, ``"key"``,
            ``"serializer"`` (there is none of that name), ``"compression"``, ``"class"`` (it is unknown here, or has
            changed), ``"payload"``.

    Example:
        >>> from asyncfan.caching.shared.codec.as_json import Json
        >>> data = pack("user:42", {"name": "Ann"}, Header("r", 7, fresh=60, kept=300), Json(), None)
        >>> unpack("user:42", data, {"json": Json()})[1]
        {'name': 'Ann'}
        >>> refused = Counter()
        >>> print(unpack("user:43", data, {"json": Json()}, refused), refused)
        None Counter({'key': 1})
    """
    try:
        opened = _open(data)
        return opened.header, _value(opened, key_text, serializers)
    except _Refused as reason:
        if refused is not None:
            refused[str(reason)] += 1
        return None


def peek(data: bytes) -> Peeked | None:
    """Return what the bytes say of the value in them, without reading the value; None if they are none of `pack`'s."""
    try:
        opened = _open(data)
    except _Refused:
        return None
    return Peeked(opened.header, len(data), opened.serializer)


def remaining(header: Header, left: float | None) -> tuple[float | None, float | None]:
    """Return for how many seconds from now a value is fresh, and for how many it may be served; None: for good.

    Args:
        header: The value's, whose ``kept`` was the server's time-to-live when the value was written.
        left: What is left of that, see `Stored`. If it is gone, nobody knows the value's age: it is not served.

    Example:
        >>> header = Header("r", 7, fresh=60, kept=300)
        >>> remaining(header, left=290), remaining(header, left=200)
        ((50, 290), (0.0, 200))
    """
    if header.kept is None:
        return left, left
    if left is None:
        return 0.0, 0.0
    kept = min(left, header.kept)
    return kept if header.fresh is None else min(kept, max(0.0, header.fresh - (header.kept - kept))), kept


def _open(data: bytes) -> _Opened:
    """Take the envelope off; only the payload is still unread."""
    if data[:3] != _MAGIC[:3]:
        raise _Refused("foreign")
    if data[:4] != _MAGIC:
        raise _Refused("version")
    if data[4:_CHECKED] != _checksum(memoryview(data)[_CHECKED:]):
        raise _Refused("checksum")
    # Bytes with a right checksum can be wrong as well: someone may have meant them to be
    try:
        flags, digest, number, fresh, kept, cost, size = _FIXED.unpack_from(data, HEAD)
        serializer, run, validator, *tags = read_plain(data[_TEXTS : _TEXTS + size])
        if not all(type(text) is str for text in (serializer, run, "" if validator is None else validator, *tags)):
            raise _Refused("malformed")
        fresh, kept = (None if seconds == math.inf else seconds for seconds in (fresh, kept))
        header = Header(run, number, fresh, kept, tuple(tags), validator, cost)
    except (struct.error, ValueError, TypeError, RecursionError):
        raise _Refused("malformed") from None
    return _Opened(header, serializer, digest, flags, data[_TEXTS + size :])


def _value(opened: _Opened, key_text: str, serializers: Mapping[str, Serializer]) -> Any:
    if opened.digest != _digest(key_text):
        raise _Refused("key")
    serializer = serializers.get(opened.serializer)
    if serializer is None:
        raise _Refused("serializer")
    payload = _inflated(opened.payload) if opened.flags & _COMPRESSED else opened.payload
    try:
        return serializer.loads(payload, key_text)
    except UnknownClassError:
        raise _Refused("class") from None
    except Exception:  # noqa: BLE001 - whatever a payload makes of the user's own types is a miss
        raise _Refused("payload") from None


def _inflated(payload: bytes) -> bytes:
    inflating = zlib.decompressobj()
    try:
        data = inflating.decompress(payload, INFLATE_LIMIT + 1)
    except zlib.error:
        raise _Refused("compression") from None
    if not inflating.eof or inflating.unused_data:  # cut off, more than the limit, or something follows
        raise _Refused("compression")
    return data


def _digest(key_text: str) -> bytes:
    return blake2b(key_text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _checksum(data: bytes | memoryview) -> bytes:
    return blake2b(data, digest_size=20).digest()
