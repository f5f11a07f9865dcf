"""Equal texts mean the same type and an equal value: nothing can forge another value's key."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import itertools
import math
import pathlib
import re
import types
import uuid
import zoneinfo
from typing import NamedTuple

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncfan.caching import escape, key_text, register_key
from asyncfan.caching.call_keys import CallKeys
from asyncfan.caching.keys import LONG_TEXT, Unkeyable, is_atom, short_text, untyped
from asyncfan.caching.patterns import Pattern
from asyncfan.caching.tiering import is_shareable


class Colour(enum.Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796 - an alias
    BLUE = "blue"


class Size(enum.IntEnum):
    ONE = 1
    TWO = 2


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Word(enum.StrEnum):
    ONE = "1"


class Point(NamedTuple):
    x: object
    y: object


@dataclasses.dataclass
class Box:
    x: object
    y: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Crate:
    x: object
    y: object = None


class Model(pydantic.BaseModel):
    x: object
    y: object = None


class OpenModel(pydantic.BaseModel, extra="allow"):
    x: int


class Tagged(str):
    __slots__ = ()


class Number(int):
    """A subclass of int."""


class Metres(float):
    """A float with an attribute."""


class Slotted(float):
    __slots__ = ("unit",)


class Fields:
    """Stands in for a class of attrs, which it declares its fields like."""

    __attrs_attrs__ = (types.SimpleNamespace(name="x"), types.SimpleNamespace(name="y"))

    def __init__(self, x, y=None):
        self.x, self.y = x, y


class Struct:
    """Stands in for a class of msgspec, which it declares its fields like."""

    __struct_fields__ = ("x", "y")

    def __init__(self, x, y=None):
        self.x, self.y = x, y


FIELDED = (Box, Crate, Model, Fields, Struct)


def meaning(value):  # noqa: PLR0911, C901 - one a kind of value
    """What a value is, spelled independently of the code under test: hashable, equal for equal values of equal type."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return kind, value.name
    if kind in FIELDED:
        given = frozenset(getattr(value, "__pydantic_fields_set__", ()))  # model_dump(exclude_unset=True) tells them
        return kind, given, meaning(value.x), meaning(value.y)
    if isinstance(value, (list, tuple, collections.deque)):
        return kind, tuple(map(meaning, value))
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(map(meaning, value))
    if kind is collections.OrderedDict:
        return kind, tuple((meaning(k), meaning(v)) for k, v in value.items())
    if isinstance(value, dict):
        return kind, frozenset((meaning(k), meaning(v)) for k, v in value.items())
    if isinstance(value, float) and math.isnan(value):
        return kind, "nan"
    if kind is decimal.Decimal:
        return kind, str(value)
    if isinstance(value, (dt.datetime, dt.time)):
        return kind, value.replace(tzinfo=None), value.fold, value.utcoffset(), str(value.tzinfo)
    if kind is bytearray:
        return kind, bytes(value)
    if kind is slice:
        return kind, value.start, value.stop, value.step
    return kind, value


HOSTILE = [
    None, "None", "None~", "", "~s", ":", "*", "%", "%2A", "a:b", "a", "b", "a%3Ab", True, False, "True", "True~b", 0, 1, 1.0, "1",
    "1~s", "1.0", "1.0~f", b"1", b"", "31", bytearray(b"1"), -0.0, 0.0, math.nan, math.inf, -math.inf, 1e300, "(1)", "(1,2)", "1,2",
    (), [], {}, set(), frozenset(), (1,), [1], {1}, (1, 2), [1, 2], ["1", "2"], ["1,2"], [[1], 2], [[1, 2]], {"a": 1}, {"a=1": 1},
    {1: "a"}, "a=1", "@tenant=acme", "#1", "é", "\udc80", "\x00", "01", "-1", -1, "+1", 2**4096, -(2**5000), Colour.RED, Colour.BLUE,
    Size.ONE, Mode.READ, Mode.READ | Mode.WRITE, Mode(0), Word.ONE, Point(1, 2), Box(1), Crate(1), Model(x=1), Fields(1), Struct(1),
    Tagged("1"), Metres(1.0), 1j, complex(0, -1), dt.date(2024, 1, 1), "2024-01-01", dt.datetime(2024, 1, 1),  # noqa: DTZ001
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, fold=1), dt.time(1), dt.time(1, tzinfo=dt.UTC),  # noqa: DTZ001
    dt.timedelta(1), dt.timedelta(seconds=1), dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Seoul")),
    dt.timezone(dt.timedelta(hours=9), "X"), dt.timezone(dt.timedelta(hours=8), "X"), decimal.Decimal(1), decimal.Decimal("1.0"),
    fractions.Fraction(1), fractions.Fraction(1, 2), uuid.UUID(int=1), pathlib.PurePosixPath("1"), pathlib.PureWindowsPath("1"),
    ipaddress.ip_address("0.0.0.1"), ipaddress.ip_address("::1"), ipaddress.ip_network("0.0.0.1/32"),
    ipaddress.ip_interface("0.0.0.1/32"), range(1), range(2), slice(1), ..., int, bool, len, dt.date, Box,
    collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), collections.deque([1]), collections.deque((1, 2)),
]  # fmt: skip

leaves = st.one_of(
    st.sampled_from(HOSTILE),
    st.integers(-3, 3),
    st.text(alphabet="ab1~:*%(),=@#é", max_size=4),
    st.binary(max_size=2),
    st.floats(width=16),
)
hashable_leaves = leaves.filter(lambda value: type(value).__hash__ is not None and type(value) is not slice)


def containers(children):
    """Everything that holds other values."""
    few = st.lists(children, max_size=3)
    pairs = st.dictionaries(st.text(alphabet="ab=,", max_size=2), children, max_size=3)
    return st.one_of(
        few, few.map(tuple), few.map(collections.deque), pairs, pairs.map(collections.OrderedDict),
        st.builds(Point, children, children),
        *(st.builds(lambda x, y, kind=kind: kind(x=x, y=y), children, children) for kind in FIELDED),
    )  # fmt: skip


values = st.one_of(
    st.recursive(leaves, containers, max_leaves=6), st.frozensets(st.integers(-2, 2) | st.text("a1", max_size=1))
)


def look_alikes(value):
    """A value, and others that its text might be mistaken for."""
    text = key_text(value)
    yield from (
        value,
        [value],
        (value,),
        {"a": value},
        {text: 1},
        Box(value),
        Model(x=value),
        text,
        untyped(text),
        f"{text}~s",
    )
    yield from (
        f"({text})",
        [text],
        [f"{text},1"],
        [text, 1],
        {"a": text},
        Tagged(text),
        text.encode(),
        repr(value).encode("utf-8", "replace"),
    )


def test_equal_texts_are_equal_values_of_equal_type():
    """Among 10^6 pairs of hostile values, two texts are equal exactly if type and value are (F17)."""
    pairs = set()  # of every example: each is compared with all others

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(values, min_size=4, max_size=6))
    def look(found):
        seen = {(key_text(value), meaning(value)) for value in itertools.chain.from_iterable(map(look_alikes, found))}
        assert_one_to_one(seen)
        pairs.update(seen)

    look()
    assert len(pairs) ** 2 / 2 > 1e6
    assert_one_to_one(pairs)


def assert_one_to_one(pairs):
    """No first of a pair belongs to two seconds, no second to two firsts."""
    assert len({text for text, _ in pairs}) == len(pairs) == len({what for _, what in pairs})


def test_hostile_values_have_texts_of_their_own():
    """Of a hundred values made to be mistaken for one another, no two share a text but the equal ones."""
    texts = collections.defaultdict(set)
    for value in HOSTILE:
        texts[key_text(value)].add(meaning(value))
    assert [what for what in texts.values() if len(what) > 1] == []
    assert len(texts) == len({meaning(value) for value in HOSTILE})


@given(st.text())
def test_escaped_text_has_no_character_that_means_something(text):
    """An escaped text is ASCII without a delimiter, a wildcard or a tag, and percent signs only where they escape."""
    found = escape(text)
    assert re.fullmatch(r"(?:[^%:*~(),=\x00-\x20\x7f-\U0010ffff]|%[0-9A-F]{2})*", found)


@given(st.text(), st.text())
def test_escape_keeps_texts_apart(a, b):
    """Two texts are equal after escaping only if they were before."""
    assert (escape(a) == escape(b)) == (a == b)


@given(st.text())
def test_escaped_text_is_a_pattern_for_itself_only(text):
    """In a pattern an escaped text stands for the string it was made of."""
    if text:
        assert Pattern.parse(escape(text)).matches(untyped(key_text(text)))


@given(values)
def test_text_of_a_value_is_one_segment(value):
    """No value can bring a delimiter or a wildcard into a key."""
    assert not {":", "*"} & set(key_text(value))


@given(values)
def test_untyped_text_has_no_tag(value):
    """Patterns see texts without type tags."""
    assert "~" not in untyped(key_text(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"), ("42", "42~s"), ("user", "user"), ("a:b*", "a%3Ab%2A"), (None, "None~"), (True, "True~b"), (1.5, "1.5~f"),
        (b"ab", "6162~y"), ([1, "2"], "(1,2~s)~l"), ({"b": 1, "a": 2}, "(a=2,b=1)~d"), ({2, 1}, "(1,2)~S"), ("", "~s"),
        (uuid.UUID(int=1), "00000000000000000000000000000001~uuid.UUID"), (dt.date(2024, 1, 31), "2024-01-31~datetime.date"),
        (Colour.RED, "RED~tests.caching.test_keys.Colour"), (Box(1), "(x=1,y=None~)~tests.caching.test_keys.Box"),
    ],
)  # fmt: skip
def test_texts_are_these(value, text):
    """The texts are part of the contract: patterns and shared tiers are written for them."""
    assert key_text(value).replace(f"{__name__}.", "tests.caching.test_keys.") == text


def test_order_of_a_dict_or_set_is_no_matter():
    """Equal dicts and sets have one text, in whatever order they were filled."""
    assert key_text({"a": 1, "b": {3, 1}}) == key_text({"b": {1, 3}, "a": 1})


def test_order_of_an_ordered_dict_matters():
    """Ordered dicts are equal only in the same order."""
    one, other = collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)
    assert key_text(one) != key_text(other)


def test_alias_of_an_enum_is_its_member():
    """An alias names the same member."""
    assert key_text(Colour.CRIMSON) == key_text(Colour.RED)


def test_timezones_of_one_name_differ_by_offset():
    """A timezone is its offset, whatever it is called."""
    assert key_text(dt.timezone(dt.timedelta(hours=9), "X")) != key_text(dt.timezone(dt.timedelta(hours=8), "X"))


def test_timezone_without_a_text_cannot_be_keyed():
    """A tzinfo that prints as an address never gets into a key."""

    class Zone(dt.tzinfo):
        def utcoffset(self, when):
            return None

    with pytest.raises(Unkeyable, match="Zone has no value to key by"):
        key_text(dt.time(1, tzinfo=Zone()))


def test_fold_tells_the_two_hours_of_the_clock_change_apart():
    """An hour that comes twice has two keys."""
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    hours = [dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold) for fold in (0, 1)]
    assert key_text(hours[0]) != key_text(hours[1])


@pytest.mark.parametrize("value", [0.0, complex(0.0, 0.0)])
def test_zeros_of_both_signs_are_one_value(value):
    """Minus zero equals zero."""
    assert key_text(-value) == key_text(value)


@pytest.mark.parametrize("make", [int, Number, fractions.Fraction, range, decimal.Decimal])
def test_numbers_of_any_length_can_be_keyed(make):
    """A number that `str` refuses to print still has a key of its own."""
    assert key_text(make(10**6000)) != key_text(make(10**6000 + 1))


def test_subclass_of_a_builtin_is_keyed_with_its_attributes():
    """A float with a unit is neither the bare float nor one with another unit."""
    texts = set()
    for unit in ("m", "km", None):
        length = Metres(1.0)
        if unit:
            length.unit = unit
        texts.add(key_text(length))
    assert len(texts | {key_text(1.0)}) == 4


def test_subclass_of_a_builtin_is_keyed_with_its_slots():
    """A slot counts as an attribute does."""
    one, other = Slotted(1.0), Slotted(1.0)
    one.unit, other.unit = "m", "km"
    assert key_text(one) != key_text(other)


def test_model_that_lacks_a_field_can_be_keyed():
    """A pydantic model made without validation may lack a field, and differs from one that has it."""
    assert key_text(Model.model_construct(y=1)) != key_text(Model(x=None, y=1))


def test_extra_fields_of_a_model_are_in_its_key():
    """What a model took in beside its fields tells it apart."""
    assert key_text(OpenModel(x=1, z=2)) != key_text(OpenModel(x=1, z=3))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.int64(1), np.int32(1)), (np.float32(1), np.float64(1)), (np.float64(1), 1.0), (np.bool_(1), True), (np.str_("1"), "1"),
        (np.array([1, 2]), np.array([[1, 2]])), (np.array([1, 2]), np.array([1.0, 2.0])), (np.array([1]), [1]),
        (np.zeros(1000), np.concatenate([np.zeros(999), np.ones(1)])), (np.datetime64("2024-01-01"), np.datetime64("2024-01-01T00")),
        (np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]).T),
    ],
)  # fmt: skip
def test_numpy_values_differ_by_type_shape_and_content(a, b):
    """A numpy value is its bytes, element type and shape."""
    assert key_text(a) != key_text(b)


def test_equal_numpy_arrays_have_one_text_in_any_memory_layout():
    """How an array lies in memory is no matter."""
    a = np.arange(12).reshape(3, 4)
    assert key_text(a) == key_text(np.asfortranarray(a)) == key_text(np.arange(24).reshape(3, 8)[:, ::2] // 2)


@pytest.mark.parametrize("value", [np.array([object()]), np.ma.array([1, 2], mask=[0, 1]), np.add])
def test_numpy_value_that_is_more_than_bytes_cannot_be_keyed(value):
    """Arrays of Python objects, masked arrays and ufuncs have no bytes that say it all."""
    with pytest.raises(Unkeyable):
        key_text(value)


def test_array_class_with_a_unit_cannot_be_keyed_without_registration():
    """An array class of somebody else's may mean more than its bytes."""

    class Quantity(np.ndarray):
        pass

    with pytest.raises(Unkeyable, match="Quantity has no value to key by"):
        key_text(np.zeros(2).view(Quantity))


def make_local_class():
    """A new class of the same name at each call."""

    @dataclasses.dataclass
    class Local:
        x: int

    return Local


def test_local_classes_of_one_name_differ():
    """A function that defines a class makes another one at each call."""
    one, other = make_local_class(), make_local_class()
    assert key_text(one(1)) != key_text(other(1))
    assert key_text(one(1)) == key_text(one(1))


@pytest.mark.parametrize("size", [1, 100], ids=["short", "long"])
def test_keys_of_local_classes_are_of_this_process_only(size):
    """Another process numbers them in another order: its key of the same text would mean another class."""
    local = make_local_class()
    for value in (local(1), [local(1)] * size, {"a" * size: local("b" * 10 * size)}):
        assert not is_shareable(short_text(value))
    assert is_shareable(short_text(["a#b" * size, Colour.RED] * size))
    assert untyped(short_text([local(1)] * size)).count("#") == 0  # a pattern need not know the number


def test_made_up_classes_of_one_name_differ():
    """Two classes made at run time under one name are two classes, though nothing in their path says so."""
    one, other = (pydantic.create_model("Made", x=int) for _ in range(2))
    assert key_text(one(x=1)) != key_text(other(x=1))


def test_200_short_lived_objects_never_share_a_key():
    """An object without a value of its own is refused, however it prints: never keyed by its address (F18)."""
    for _ in range(200):
        with pytest.raises(Unkeyable):
            key_text(object())


@pytest.mark.parametrize(
    "value",
    [
        object(), lambda: None, make_local_class(), functools.partial(len), "abc".upper, iter([]), (x for x in ()), memoryview(b"a"),
        Exception("a"), re.compile("a"), [object()], {"a": object()}, (1, [lambda: None]), Box(object()), NotImplemented,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_value_without_a_value_is_refused(value):
    """What has no value to compare by, or holds such a thing, cannot be keyed."""
    with pytest.raises(Unkeyable):
        key_text(value)


def test_refusal_names_the_innermost_type():
    """The type to blame is the one inside, not the container."""
    with pytest.raises(Unkeyable, match=r"^generator has no value to key by$") as caught:
        key_text([1, {"a": (x for x in ())}])
    assert caught.value.type is types.GeneratorType


def test_deep_nesting_is_refused_not_crashed():
    """A list that contains itself is refused as unkeyable."""
    endless = []
    endless.append(endless)
    with pytest.raises(Unkeyable, match="list has no value to key by"):
        key_text(endless)


def test_nesting_of_100_levels_is_keyed():
    """What people really pass is far from the limit."""
    value = 1
    for _ in range(100):
        value = [value]
    assert key_text(value) == "(" * 100 + "1" + ")~l" * 100


class Account:
    def __init__(self, number):
        self.number = number


class SpecialAccount(Account):
    """A subclass of a registered class."""


@pytest.fixture
def _registered():
    from asyncfan.caching import keys

    register_key(Account, lambda account: account.number)
    yield
    del keys._BY_TYPE[Account]
    keys._WHOLE.discard(Account)


@pytest.mark.usefixtures("_registered")
def test_registered_class_is_keyed_by_what_it_was_registered_with():
    """Equal numbers are equal accounts."""
    assert key_text(Account(7)) == key_text(Account(7)) != key_text(Account(8))


@pytest.mark.usefixtures("_registered")
def test_subclass_of_a_registered_class_is_keyed_under_its_own_name():
    """A special account is no plain one."""
    assert key_text(SpecialAccount(7)) == key_text(SpecialAccount(7)) != key_text(Account(7))


def test_short_text_of_long_values_ends_in_a_192_bit_digest():
    """However long the value, its key stays short."""
    found = short_text("x" * 10_000)
    assert re.fullmatch(r"x{32}=[0-9a-f]{48}", found)


@given(st.text(min_size=LONG_TEXT, max_size=LONG_TEXT + 50), st.text(min_size=LONG_TEXT, max_size=LONG_TEXT + 50))
def test_short_texts_keep_long_values_apart(a, b):
    """Two long values have equal short texts only if they are equal."""
    assert (short_text(a) == short_text(b)) == (a == b)


def test_digest_cannot_be_forged_by_a_short_string():
    """A string that looks like a digested one is escaped into something else."""
    long = short_text("x" * 10_000)
    assert short_text(long) != long


@settings(max_examples=30, deadline=None)
@given(st.lists(values, min_size=20, max_size=20))
def test_atoms_are_their_own_key(found):
    """As dictionary keys, atoms with their classes are equal exactly if their texts are."""
    atoms = [value for value in found if is_atom(value)]
    for a in atoms:
        for b in atoms:
            assert ((a, type(a)) == (b, type(b))) == (key_text(a) == key_text(b))


@pytest.mark.parametrize("value", [0, -1, 10**18 - 1, -(10**18) + 1, 10**18, -(10**18), 10**30, 2**5000, True, 1.0])
def test_number_in_a_calls_key_is_spelled_as_anywhere(value):
    """The short way that the numbers of a call's key take to their text ends where the long one does."""
    keys = CallKeys("prefix", "function", ["n"])
    assert keys.text((value, type(value))) == f"prefix:{short_text(value)}"
