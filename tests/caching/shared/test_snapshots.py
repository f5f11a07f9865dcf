"""What release 0.1 has written is read by every later one: these bytes are never made anew, only added to."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import sys
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import pytest

from asyncfan.caching.shared.codec.as_json import Json
from asyncfan.caching.shared.codec.as_pickle import UnsafePickle
from asyncfan.caching.shared.codec.register import register_codec
from asyncfan.caching.shared.envelope import Header, pack, unpack

from .samples import same


@dataclasses.dataclass
class User:
    name: str
    more: Any = None


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Account:
    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return self.number == other.number

    __hash__ = None


MODELS = types.ModuleType("asyncfan_snapshot_models")
for kind in (User, Point, Colour, Mode, Account):
    kind.__module__ = MODELS.__name__
    setattr(MODELS, kind.__name__, kind)


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """Make the classes what they were called when the bytes were written."""
    monkeypatch.setitem(sys.modules, MODELS.__name__, MODELS)
    monkeypatch.setattr("asyncfan.caching.shared.codec.register._by_path", {})
    register_codec(Account, dumps=lambda account: account.number, loads=Account)


KEY = "user:42"
FULL = Header("r", 7, 60.0, 300.0, ("a", "b:1"), 'W/"1"', 0.25)
EVER = Header("", 0, None, None)
SECRET = b"0123456789abcdef"
SERIALIZERS = {"json": Json(), "unsafe-pickle": UnsafePickle(secret=SECRET)}
NOON = dt.datetime(2020, 1, 1, 12, 30, 0, 5)  # noqa: DTZ001

# By name: the header, the value, what writes it, and above what size it is compressed
WRITTEN = {
    "none": (EVER, None, "json", None),
    "plain": (FULL, {"name": "Ann 한", "tags": ["a", None, True, 1, 2.5]}, "json", None),
    "compressed": (FULL, ["the same again"] * 20, "json", 10),
    "unplain": (EVER, [float("inf"), 2**2100, "\ud800", {"~set": 1}, {1: 2}, b"a", bytearray(b"b"), 1j, range(3)], "json", None),
    "collections": (
        EVER,
        [(1,), {1}, frozenset({1}), collections.deque([1], 2), collections.OrderedDict(b=1), collections.Counter("a")],
        "json",
        None,
    ),
    "times": (
        EVER,
        [
            NOON, NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=zoneinfo.ZoneInfo("Asia/Seoul"), fold=1),
            NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=-3), "Here")), dt.date(2020, 2, 29), dt.time(1, 2, fold=1),
            dt.timedelta(-1, 2, 3),
        ],
        "json",
        None,
    ),
    "values": (
        EVER,
        [
            decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("a/b"),
            pathlib.PureWindowsPath("C:/a"), ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8"),
        ],
        "json",
        None,
    ),
    "classes": (
        EVER, [User("Ann", Point(1, 2)), Colour.RED, Mode.READ, Mode.READ | Mode.WRITE, Account(5)], "json", None
    ),
    "pickle": (FULL, {1: {2}}, "unsafe-pickle", None),
}  # fmt: skip

VERSION_1 = {
    "none": (
        "61666e012186b83d5084a1c2f204cbb5d0b34cedc05b76b7000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "00000000007ff00000000000007ff00000000000000000000000000000000000105b226a736f6e222c22222c6e756c6c5d6e756c"
        "6c"
    ),
    "plain": (
        "61666e011b7f597f47315bd3da6ba68cac555dfec46f25dc000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "0000000007404e0000000000004072c000000000003fd0000000000000000000205b226a736f6e222c2272222c22572f5c22315c"
        "22222c2261222c22623a31225d7b226e616d65223a22416e6e20ed959c222c2274616773223a5b2261222c6e756c6c2c74727565"
        "2c312c322e355d7d"
    ),
    "compressed": (
        "61666e013131a873b342cc3271bc6d46f3c321d3516c8bcb000000000000000001fdd48118d77004ffecb66c1b1e69dc3c000000"
        "0000000007404e0000000000004072c000000000003fd0000000000000000000205b226a736f6e222c2272222c22572f5c22315c"
        "22222c2261222c22623a31225d78018b562ac94855284ecc4d55484c4fcccc53d21915a0343c62010b3c7059"
    ),
    "unplain": (
        "61666e01d461e754b32697733342c32742448431cc343307000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "00000000007ff00000000000007ff00000000000000000000000000000000000105b226a736f6e222c22222c6e756c6c5d7e5b49"
        "6e66696e6974792c7b227e696e74223a223130303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "30303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030"
        "3030303030303030303030303030303030303030303030227d2c22eda080222c7b227e64696374223a5b5b227e736574222c315d"
        "5d7d2c7b227e64696374223a5b5b312c325d5d7d2c7b227e6279746573223a2259513d3d227d2c7b227e62797465617272617922"
        "3a2259673d3d227d2c7b227e636f6d706c6578223a5b302e302c312e305d7d2c7b227e72616e6765223a5b302c332c315d7d5d"
    ),
    "collections": (
        "61666e01106ab8cefbb573dbb3af1b650fa9965b2245d79b000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "00000000007ff00000000000007ff00000000000000000000000000000000000105b226a736f6e222c22222c6e756c6c5d7e5b7b"
        "227e7475706c65223a5b315d7d2c7b227e736574223a5b315d7d2c7b227e66726f7a656e736574223a5b315d7d2c7b227e646571"
        "7565223a5b5b315d2c325d7d2c7b227e6f726465726564223a5b5b2262222c315d5d7d2c7b227e636f756e746572223a5b5b2261"
        "222c315d5d7d5d"
    ),
    "times": (
        "61666e01bc31c3673c1ec58e8d405bff33cd04b2307719a1000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "00000000007ff00000000000007ff00000000000000000000000000000000000105b226a736f6e222c22222c6e756c6c5d7e5b7b"
        "227e6461746574696d65223a5b22323032302d30312d30315431323a33303a30302e303030303035222c302c6e756c6c5d7d2c7b"
        "227e6461746574696d65223a5b22323032302d30312d30315431323a33303a30302e303030303035222c302c7b227e74696d657a"
        "6f6e65223a5b5b302c302c305d5d7d5d7d2c7b227e6461746574696d65223a5b22323032302d30312d30315431323a33303a3030"
        "2e303030303035222c312c7b227e7a6f6e65223a22417369612f53656f756c227d5d7d2c7b227e6461746574696d65223a5b2232"
        "3032302d30312d30315431323a33303a30302e303030303035222c302c7b227e74696d657a6f6e65223a5b5b2d312c3735363030"
        "2c305d2c2248657265225d7d5d7d2c7b227e64617465223a22323032302d30322d3239227d2c7b227e74696d65223a5b2230313a"
        "30323a3030222c312c6e756c6c5d7d2c7b227e74696d6564656c7461223a5b2d312c322c335d7d5d"
    ),
    "values": (
        "61666e01e4af31b9437c0a8255058274f257da8feea2f7bd000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "00000000007ff00000000000007ff00000000000000000000000000000000000105b226a736f6e222c22222c6e756c6c5d7e5b7b"
        "227e646563696d616c223a22312e3130227d2c7b227e6672616374696f6e223a5b312c335d7d2c7b227e75756964223a22303030"
        "3030303030303030303030303030303030303030303030303030303035227d2c7b227e50757265506f73697850617468223a2261"
        "2f62227d2c7b227e5075726557696e646f777350617468223a22433a5c5c61227d2c7b227e4950763641646472657373223a223a"
        "3a31227d2c7b227e495076344e6574776f726b223a2231302e302e302e302f38227d5d"
    ),
    "classes": (
        "61666e01031c50166cc71096ee0491b62c9ea0e108eeede3000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "00000000007ff00000000000007ff00000000000000000000000000000000000105b226a736f6e222c22222c6e756c6c5d7e5b7b"
        "227e7265636f7264223a5b226173796e6366616e5f736e617073686f745f6d6f64656c733a55736572222c7b226e616d65223a22"
        "416e6e222c226d6f7265223a7b227e7265636f7264223a5b226173796e6366616e5f736e617073686f745f6d6f64656c733a506f"
        "696e74222c7b2278223a312c2279223a327d5d7d7d5d7d2c7b227e656e756d223a5b226173796e6366616e5f736e617073686f74"
        "5f6d6f64656c733a436f6c6f7572222c22524544225d7d2c7b227e656e756d223a5b226173796e6366616e5f736e617073686f74"
        "5f6d6f64656c733a4d6f6465222c2252454144225d7d2c7b227e656e756d223a5b226173796e6366616e5f736e617073686f745f"
        "6d6f64656c733a4d6f6465222c335d7d2c7b227e72656769737465726564223a5b226173796e6366616e5f736e617073686f745f"
        "6d6f64656c733a4163636f756e74222c355d7d5d"
    ),
    "pickle": (
        "61666e010ad46e73c201c2aa02782aeb04447fbddebcbe88000000000000000000fdd48118d77004ffecb66c1b1e69dc3c000000"
        "0000000007404e0000000000004072c000000000003fd0000000000000000000295b22756e736166652d7069636b6c65222c2272"
        "222c22572f5c22315c22222c2261222c22623a31225d4d50cf77844bc27e23a3cd972b659ad8148df4ba9f97b138ba297bf42c1c"
        "252c8005950c000000000000007d944b018f94284b0290732e"
    ),
}  # fmt: skip


def written(name):
    """Return what this release writes."""
    header, value, serializer, compress_above = WRITTEN[name]
    return pack(KEY, value, header, SERIALIZERS[serializer], compress_above, randbytes=bytes)


@pytest.mark.parametrize("name", WRITTEN)
def test_bytes_of_version_1_are_read(name):
    """A new release does not lose what is in the server."""
    header, found = unpack(KEY, bytes.fromhex(VERSION_1[name]), SERIALIZERS)
    assert header == WRITTEN[name][0]
    assert same(found, WRITTEN[name][1])


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "compressed"])  # zlib's builds differ
def test_version_1_is_still_what_is_written(name):
    """An older release that runs beside this one reads what this one writes; whoever changes that raises the version."""
    assert written(name).hex() == VERSION_1[name]
