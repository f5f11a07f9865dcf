"""Bytes are the value that was written for this key, whole, or they are a miss that is counted: never an error."""

import dataclasses
import hashlib
import json
import math
import os
import random
import struct
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.caching.shared import envelope
from asyncfan.caching.shared.codec.as_json import Json
from asyncfan.caching.shared.codec.as_pickle import UnsafePickle
from asyncfan.caching.shared.envelope import Header, pack, peek, remaining, unpack
from asyncfan.caching.shared.protocol import HEAD
from asyncfan.exceptions import UnstorableValueError

from .samples import PLAIN, TAGGED, same

SERIALIZERS = {"json": Json(), "unsafe-pickle": UnsafePickle(secret=b"0123456789abcdef")}
HEADER = Header("run", 7, fresh=60.0, kept=300.5, tags=("a", "b:%2A", "한"), validator='W/"1"', cost=0.25)
KEY = "user:42"
VALUE = {"name": "Ann", "seen": [1, 2.5, None], "at": {(1, b"x")}}
FUZZED = int(os.environ.get("ASYNCFAN_FUZZ", "3000"))


def packed(value=VALUE, header=HEADER, serializer="json", compress_above=None, **options):
    """Return the bytes of a value."""
    return pack(KEY, value, header, SERIALIZERS[serializer], compress_above, **options)


def refusal(data, key=KEY, serializers=SERIALIZERS):
    """Return the reason for which bytes are a miss."""
    refused = Counter()
    assert unpack(key, data, serializers, refused) is None
    assert unpack(key, data, serializers) is None
    (reason,) = refused.elements()
    return reason


def signed(data):
    """Return bytes with their checksum made right again, as someone who means harm would."""
    return data[:4] + hashlib.blake2b(data[24:], digest_size=20).digest() + data[24:]


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("compress_above", [None, 0, 10**6])
@pytest.mark.parametrize(
    "header", [HEADER, Header("", 0, None, None), Header("r", 2**64 - 1, None, 1e-3, ("",), ""), Header("r", 1, 0, 0)]
)
def test_value_and_header_come_back(serializer, compress_above, header):
    """What was packed is unpacked, the header too."""
    data = packed(header=header, serializer=serializer, compress_above=compress_above)
    assert unpack(KEY, data, SERIALIZERS) == (header, VALUE)
    assert peek(data) == (header, len(data), serializer)


def test_every_kept_value_comes_back():
    """None and what is false are values like any other."""
    for value in [*PLAIN, *TAGGED]:
        _, found = unpack(KEY, packed(value), SERIALIZERS)
        assert same(found, value)


def test_first_bytes_tell_equal_values_apart():
    """Two writes of the same have different heads, so that a server can be told which one was of no use."""
    heads = {packed()[:HEAD] for _ in range(100)}
    assert len(heads) == 100
    assert packed(randbytes=bytes) == packed(randbytes=bytes)


def test_unstorable_value_is_refused_when_written():
    """The writer learns that the value cannot travel; the caller has it all the same."""
    with pytest.raises(UnstorableValueError):
        packed(object())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "foreign"),
        (b"a", "foreign"),
        (b"\x80\x05N.", "foreign"),
        (b'{"a": 1}', "foreign"),
        (b"afn", "version"),
        (b"afn\x00" + bytes(200), "version"),
        (b"afn\x02" + packed()[4:], "version"),
        (b"afn\x01", "checksum"),
        (packed()[:HEAD], "checksum"),
        (packed()[:-1], "checksum"),
        (packed() + b"\n", "checksum"),
        (signed(packed()[:HEAD]), "malformed"),
        (signed(packed()[:-1]), "payload"),
        (signed(packed(serializer="unsafe-pickle")[:-1]), "payload"),
        (signed(packed() + b"\n]"), "payload"),
        (signed(packed("a" * 999, compress_above=10)[:-9]), "compression"),
        (signed(packed("a" * 999, compress_above=10) + b"more"), "compression"),
    ],
    ids=lambda part: part if isinstance(part, str) else "data",  # each head is another one
)
def test_bytes_that_are_no_value_are_a_miss(data, reason):
    """Whatever is found in a server is a miss unless it is ours, whole and of this version; the reason is counted."""
    assert refusal(data) == reason


def test_value_under_another_key_is_a_miss():
    """A value that was copied, or is found under a key that another program uses as well, is not served."""
    assert refusal(packed(), key="user:43") == "key"


def test_value_of_an_unknown_serializer_is_a_miss():
    """A process reads only what it has a serializer for: pickle is never read because it is there."""
    assert refusal(packed(serializer="unsafe-pickle"), serializers={"json": Json()}) == "serializer"


def test_value_of_an_unknown_class_is_a_miss():
    """A class that this process has not imported cannot be made."""
    data = forged(b'~{"~record":["nowhere:Class",{}]}')
    assert refusal(data) == "class"


class Bytes:
    """A serializer that lets a test choose the payload."""

    name = "json"

    def dumps(self, value, key):
        return value

    def loads(self, data, key):
        return data


def forged(payload, compress_above=None):
    """Return an envelope that says that its payload is JSON."""
    return pack(KEY, payload, HEADER, Bytes(), compress_above)


@pytest.mark.parametrize("payload", [b"", b"~", b"~{", b"[" * 10**5, b"~" + b"[" * 10**5, b"\xff", b'~{"~set":[[]]}',
    b'~{"~fraction":[1,0]}', b'~{"~decimal":"x"}', b'~{"~record":1}', b'~{"~zone":"../../etc/passwd"}',
    b'~{"~deque":[[1],-1]}', b'~{"~set":1}', b'~{"~bytes":"a"}', b"1" * 5000])  # fmt: skip
def test_payload_that_cannot_be_read_is_a_miss(payload):
    """Whatever the payload makes the decoder raise."""
    assert refusal(forged(payload)) == "payload"


@pytest.mark.parametrize(
    "texts",
    [b"", b"1", b"[]", b'["json"]', b'["json","r",1]', b'["json",1,null]', b'[1,"r",null]', b'["json","r",null,null]', b"{}",
     b'["json","r",[]]', b'["json","r",0]', b'["json","r",null', b"\xff", b"[" * 10**5],
)  # fmt: skip
def test_texts_that_are_malformed_are_a_miss(texts):
    """The header is checked like the payload."""
    assert refusal(with_fixed(texts=texts)) == "malformed"


@pytest.mark.parametrize(
    ("fresh", "kept", "cost"),
    [(math.nan, 1, 1), (1, math.nan, 1), (1, 1, math.nan), (-1, 1, 1), (1, -math.inf, 1), (1, math.inf, 1)],
)
def test_durations_that_are_none_are_a_miss(fresh, kept, cost):
    """No value is fresh for ever because somebody wrote NaN."""
    assert refusal(with_fixed(fresh=fresh, kept=kept, cost=cost)) == "malformed"


def with_fixed(*, fresh=60.0, kept=300.0, cost=0.0, texts=b'["json","r",null]'):
    """Return an envelope of these parts, its checksum right."""
    digest = hashlib.blake2b(KEY.encode(), digest_size=16).digest()
    fixed = struct.pack(">B16sQdddI", 0, digest, 7, fresh, kept, cost, len(texts))
    return signed(b"afn\x01" + bytes(28) + fixed + texts + b"1")


def test_parts_of_the_fuzzer_are_right():
    """The envelopes that these tests forge are read when nothing is wrong with them."""
    assert unpack(KEY, with_fixed(), SERIALIZERS) == (Header("r", 7, 60.0, 300.0), 1)
    assert unpack(KEY, forged(b"[1]"), SERIALIZERS) == (HEADER, [1])
    assert signed(packed(randbytes=bytes)) == packed(randbytes=bytes)


# -- compression ------------------------------------------------------------------------------------------------------


def test_long_payload_is_compressed():
    """Above the size that was asked for, and only there."""
    value = ["the same again"] * 1000
    assert len(packed(value, compress_above=1000)) < len(packed(value)) / 10
    assert len(packed(value, compress_above=10**6)) == len(packed(value))


def test_payload_that_does_not_shrink_is_left_alone():
    """Random bytes are not made larger."""
    value = random.Random(1).randbytes(100)
    payload = forged(value, 10)
    assert len(payload) == len(forged(value))


def test_bomb_does_not_go_off(monkeypatch):
    """A payload that would inflate to more than the limit is a miss, at the cost of the limit."""
    monkeypatch.setattr(envelope, "INFLATE_LIMIT", 1000)
    bomb = zlib.compress(b" " * 10**6 + b"1")
    data = signed(packed(1)[:HEAD] + b"\x01" + forged(bomb)[HEAD + 1 :])
    assert refusal(data) == "compression"


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_what_is_written_can_be_read(monkeypatch, size):
    """No value is written that the limit keeps from being read: a larger one is stored as it is."""
    monkeypatch.setattr(envelope, "INFLATE_LIMIT", 1000)
    value = "a" * (size - 2)
    data = packed(value, compress_above=10)
    assert unpack(KEY, data, SERIALIZERS) == (HEADER, value)
    assert (len(data) > 1000) is (size > 1000)


# -- fuzz -------------------------------------------------------------------------------------------------------------

SEEDS = [
    packed(), packed(serializer="unsafe-pickle"), packed(["a"] * 99, compress_above=10), packed(None, Header("", 0, None, None)),
    *(packed(value) for value in TAGGED),
]  # fmt: skip


def test_no_fuzzed_payload_is_an_error():
    """Bytes flipped, cut and joined, with the checksum wrong or made right: each is a miss or a value, and no error (F25)."""
    chance = random.Random(3)
    refused, served = Counter(), 0
    for _ in range(FUZZED):
        data = mutated(chance, chance.choice(SEEDS))
        served += unpack(KEY, data, SERIALIZERS, refused) is not None
        peek(data)
    assert refused.total() + served == FUZZED
    assert {"foreign", "version", "checksum", "malformed", "key", "payload"} <= set(refused)


def mutated(chance, data):
    """Return some bytes near the given ones."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        match chance.randrange(4):
            case 0:
                del found[chance.randrange(len(found) + 1) :]
            case 1:
                found += chance.randbytes(chance.randrange(5))
            case 2 if found:
                start = chance.randrange(len(found))
                found[start : start + chance.randrange(8)] = chance.choice(SEEDS)[start : start + chance.randrange(8)]
            case _ if found:
                found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return signed(bytes(found)) if chance.random() < 0.7 else bytes(found)


@settings(max_examples=max(100, FUZZED // 20))
@given(st.binary(), st.booleans())
def test_no_random_bytes_are_an_error(data, ours):
    """Any bytes at all, behind nothing or behind what begins like ours."""
    refusal(signed(b"afn\x01" + bytes(28) + data) if ours else data)


TAGS = [
    "~record", "~enum", "~registered", "~dict", "~set", "~datetime", "~time", "~timezone", "~zone", "~uuid", "~decimal",
    "~fraction", "~deque", "~range", "~int", "~bytes", "~counter", "~ordered", "~IPv4Network", "~unset",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["UTC", "00", "os:system"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TAGS), inner, max_size=1),
)


@settings(max_examples=max(100, FUZZED // 20))
@given(JSON)
def test_no_forged_tags_are_an_error(value):
    """Every tag with anything at all behind it."""
    refused = Counter()
    found = unpack(KEY, forged(b"~" + json.dumps(value).encode()), SERIALIZERS, refused)
    assert (found is None) is bool(refused)


# -- lifetimes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fresh", "kept", "left", "remains"),
    [
        (60, 300, 300, (60, 300)),
        (60, 300, 290, (50, 290)),
        (60, 300, 240, (0, 240)),
        (60, 300, 1, (0, 1)),
        (60, 300, 0, (0, 0)),
        (60, 60, 20, (20, 20)),
        (90, 60, 20, (20, 20)),
        (60, 300, 999, (60, 300)),
        (60, 300, None, (0, 0)),
        (None, 300, 20, (20, 20)),
        (None, None, None, (None, None)),
        (None, None, 20, (20, 20)),
        (0, 10, 10, (0, 10)),
    ],
)
def test_remaining_times_are_the_servers(fresh, kept, left, remains):
    """Age is what the server has counted off, no two machines' clocks being the same; an unknown age is not served."""
    assert remaining(Header("r", 1, fresh, kept), left) == remains


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"fresh": -1, "kept": 1}, "Header(): fresh must be >= 0 seconds, got -1"),
        ({"fresh": 1, "kept": math.nan}, "Header(): kept must be >= 0 seconds, got nan"),
        ({"fresh": 1, "kept": None}, "Header(): a value that is fresh for 1 s must be kept for a time, got kept=None"),
        ({"fresh": 1, "kept": 1, "cost": -1}, "Header(): cost must be >= 0 seconds, got -1"),
    ],
)
def test_header_refuses_times_that_are_none(times, message):
    """A wrong duration fails where it is written."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Header("r", 1, **times)
    assert str(caught.value) == message


def test_header_cannot_be_changed():
    """A header is a record."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        HEADER.number = 8
