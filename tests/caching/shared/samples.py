"""Values of every kind that is kept, the classes of some, and what it means that two are the same."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import math
import pathlib
import uuid
import zoneinfo
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic

from asyncfan.caching import key_text

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796 - an alias
    BLUE = ("blue", 1)


class Size(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    ONE = "1"


class Mode(enum.IntFlag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    x: Any
    y: Any = None


class Named(Pair):
    """A NamedTuple with attributes beside its fields."""


@dataclasses.dataclass
class Box(Generic[T]):
    x: T
    made: int = dataclasses.field(default=0, init=False)

    def __post_init__(self):
        self.made += 1
        self.note = "not a field"


@dataclasses.dataclass(frozen=True, slots=True)
class Crate:
    x: Any
    _hidden: Any = None


@dataclasses.dataclass(slots=True)
class Tray:
    x: Any


@dataclasses.dataclass(slots=True)
class Wide(Tray):
    y: Any = None
    late: Any = dataclasses.field(init=False, compare=False, repr=False)


class Outer:
    @dataclasses.dataclass
    class Inner:
        """A class in a class."""

        x: Any


class Model(pydantic.BaseModel):
    x: Any
    y: int = 1
    _private: Any = pydantic.PrivateAttr(default=5)


class Open(pydantic.BaseModel, extra="allow", frozen=True):
    x: int


class Root(pydantic.RootModel[list[int]]):
    pass


class Many(pydantic.BaseModel, Generic[T]):
    items: list[T]


ManyInts = Many[int]


@attrs.define
class Sheet:
    x: Any
    y: Any = 0


@attrs.frozen(cache_hash=True)
class Leaf:
    x: Any


@attrs.define(slots=False)
class Loose:
    x: Any


class Struct(msgspec.Struct):
    x: Any
    y: int = 1


class Frozen(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    x: Any

    def __post_init__(self):
        msgspec.structs.force_setattr(self, "x", [self.x])


def boxed():
    """Return a box whose state no constructor would give it."""
    box = Box[int](1)
    box.made, box.note = 7, ("changed",)
    return box


def named():
    """Return a NamedTuple that carries an attribute."""
    pair = Named(1, [2])
    pair.unit = "m"
    return pair


def model():
    """Return a model that validation would refuse."""
    found = Model.model_construct(x=(1,), y="not a number")
    found._private = {1}
    return found


SEOUL = zoneinfo.ZoneInfo("Asia/Seoul")
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NAMED_ZONE = dt.timezone(dt.timedelta(hours=-3, seconds=1, microseconds=5), "Here")

PLAIN = [
    None, True, False, 0, -1, 2**63, -(2**64), 2**70, 10**600, 1.0, -0.0, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 0.1,
    "", "text", "한글 🎉", '\x00\x7f\u2028"\\/', "~set", "NaN", [], [[]], [1, 1.0, True, "1", None], {}, {"": 0},
    {"a": {"b": [1, {"c": None}]}, "~b": 2}, {"a": 1, "~set": [1]}, {"~set": [1]}, {"~": 1},
]  # fmt: skip
TAGGED = [
    math.inf, -math.inf, math.nan, [math.nan], 2**20_000, -(2**20_000), "\ud800", "\ud83d\ude00", {"\udfff": "\ud800"},
    ({"~set": [1]},), [(), {"~": 1}], ({"~dict": {"~dict": []}}, {"~x": None, "~y": None}),
    b"", b"\x00\xff", bytearray(b"ab"), (), (1,), [(1, [2, (3,)])], (True, 1, 1.0), set(), {1, "a", None}, {(1, 2)},
    frozenset({1}), {frozenset({1})},
    {1: "a", "1": "b"}, {True: 1}, {None: 1}, {(1, "a"): {2.5: b"c"}}, {1.0: 1}, {math.inf: 1}, {b"a": 1},
    complex(1, -0.0), complex(math.nan, math.inf), range(1, 10, 3), collections.deque([1, 2], 5), collections.deque(),
    collections.OrderedDict(b=1, a=2), collections.Counter("aab"),
    dt.date(2020, 2, 29), dt.date.min, dt.datetime(2020, 1, 1, 12, 30), dt.datetime.max,  # noqa: DTZ001, DTZ901
    dt.datetime(2020, 1, 1, 0, 0, 0, 7, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, tzinfo=NAMED_ZONE),
    dt.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN), dt.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    dt.datetime(2020, 1, 1, fold=1), dt.time(1, 2, 3, 4),  # noqa: DTZ001
    dt.time(1, tzinfo=NAMED_ZONE, fold=1), dt.time(1, tzinfo=SEOUL),
    dt.timedelta(days=-1, microseconds=1), dt.timedelta.max, dt.UTC, NAMED_ZONE, SEOUL,
    decimal.Decimal("1.10"), decimal.Decimal("-0"), decimal.Decimal("NaN12"), decimal.Decimal("1E+9999"),
    fractions.Fraction(-1, 3), fractions.Fraction(10**700, 7), uuid.UUID(int=5),
    pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("C:\\a"), pathlib.Path("/tmp/x"),
    ipaddress.ip_address("::1%eth0"), ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_interface("10.0.0.1/8"),
    Colour.RED, Colour.CRIMSON, Colour.BLUE, Size.ONE, Word.ONE, Mode.READ, Mode.READ | Mode.WRITE, Mode(0), Mode(8),
    {Colour.RED: Size.ONE}, [Word.ONE], {Word.ONE: 1},
    Pair(1, 2), Pair([Pair(1)], {2}), named(), Box(1), boxed(), Box(Box([Crate(1, {2})])), Crate((1,), 2), Wide(1, 2),
    Outer.Inner(1), {Crate(1): Crate(2)}, {Crate(1)},
    Model(x={1: 2}), Model(x=1, y=1), model(), Open(x=1, more=(2,)), Root([1]), ManyInts(items=[1]),
    Sheet((1,)), Leaf("a"), {Leaf("a")}, Loose({1}), Struct((1,)), Struct([Struct(1)], 2), Frozen(x={1}),
]  # fmt: skip


def shown(value):
    """Return how a test that is run with a value is called: the same in every process."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} of {sorted(map(ascii, value))}"[:40]
    try:
        return ascii(value)[:40]
    except ValueError:
        return "a long number"


def same(one, other):  # noqa: PLR0911 - one a kind of value
    """Say whether nothing tells two values apart, except that they are two."""
    if type(one) is not type(other):
        return False
    match one:
        case float() | complex() | decimal.Decimal():
            return repr(one) == repr(other)
        case list() | tuple() | collections.deque():
            return len(one) == len(other) and all(map(same, one, other)) and state(one) == state(other)
        case dict():
            return same(list(one.items()), list(other.items()))
        case set() | frozenset():
            return sorted(map(key_text, one)) == sorted(map(key_text, other))
        case dt.datetime() | dt.time():
            return one == other and one.fold == other.fold and same(one.tzinfo, other.tzinfo)
        case dt.timezone():
            return repr(one) == repr(other)
        case zoneinfo.ZoneInfo():
            return one is other
    if isinstance(one, Crate):  # it may hold what does not equal itself
        return same([one.x, one._hidden], [other.x, other._hidden])
    return one == other and shown(one) == shown(other) and state(one) == state(other)


def state(value):
    """Return what an instance carries beside its fields."""
    found = dict(getattr(value, "__dict__", {}))
    found.pop("__orig_class__", None)
    return found | {"maxlen": getattr(value, "maxlen", None), "private": getattr(value, "__pydantic_private__", None)}
