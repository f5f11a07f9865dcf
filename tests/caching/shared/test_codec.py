"""What is read is what was written: equal, and of the same types."""

import collections
import dataclasses
import datetime as dt
import enum
import functools
import json
import math
import sys
import types
import zoneinfo
from typing import ClassVar

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfan.caching.shared.codec.as_json import Json
from asyncfan.caching.shared.codec.classes import UnknownClassError
from asyncfan.caching.shared.codec.register import register_codec
from asyncfan.exceptions import UnstorableValueError

from .samples import PLAIN, TAGGED, Box, Crate, Frozen, Leaf, Mode, Model, Pair, Struct, Wide, same, shown


def by_the_standard_library():
    """Return a serializer as it is where msgspec is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        return Json()


ENGINES = {"msgspec": Json(), "standard": by_the_standard_library()}


@pytest.fixture(params=ENGINES)
def codec(request):
    """Return the serializer, on each engine."""
    return ENGINES[request.param]


def travel(codec, value):
    """Return what another process makes of a value."""
    return codec.loads(codec.dumps(value))


def forged(value):
    """Return bytes that somebody else has written."""
    return b"~" + json.dumps(value).encode()


@pytest.mark.parametrize("value", PLAIN, ids=shown)
def test_plain_value_is_kept_as_json(codec, value):
    """What JSON can say is JSON that anyone reads, and comes back the same."""
    assert same(travel(codec, value), value)
    assert same(json.loads(codec.dumps(value)), value)


@pytest.mark.parametrize("value", TAGGED, ids=shown)
def test_value_of_another_type_is_kept(codec, value):
    """Nothing turns into its nearest relative in JSON."""
    assert codec.dumps(value).startswith(b"~")
    assert same(travel(codec, value), value)
    assert same(travel(codec, {"a": [value, {"b": value}]}), {"a": [value, {"b": value}]})


@pytest.mark.parametrize("value", [*PLAIN, *TAGGED], ids=shown)
def test_either_engine_reads_the_other(value):
    """A process without msgspec reads what one with it has written, and the other way round."""
    one, other = ENGINES.values()
    assert same(other.loads(one.dumps(value)), value)
    assert same(one.loads(other.dumps(value)), value)


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["~set", "~dict", "~", "\ud83d\ude00"])
)
KEYS = ATOMS | st.binary() | st.dates() | st.tuples(ATOMS, ATOMS) | st.frozensets(st.integers() | st.text())
VALUES = st.recursive(
    ATOMS | st.binary() | st.decimals() | st.uuids() | st.fractions() | st.complex_numbers() | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=False) | st.times() | st.sets(KEYS),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(KEYS, inner) | st.tuples(inner)
        | st.builds(Pair, inner, inner) | st.builds(Crate, inner)
    ),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_any_value_is_kept(value):
    """There is no nesting of kept types that is not kept, whoever writes and whoever reads."""
    one, other = ENGINES.values()
    assert same(other.loads(one.dumps(value)), value)
    assert same(one.loads(other.dumps(value)), value)


def test_repr_says_which_engine_does_the_work():
    """Whether msgspec is found is seen at once."""
    assert list(map(repr, ENGINES.values())) == ["<Json by msgspec>", "<Json by the standard library>"]


# -- instances --------------------------------------------------------------------------------------------------------


def test_no_constructor_runs_again(codec):
    """A dataclass comes back as it was, not as ``__post_init__`` would make it."""
    box = Box(1)
    assert (travel(codec, box).made, travel(codec, travel(codec, box)).made) == (1, 1)


def test_struct_comes_back_as_it_was(codec):
    """Whatever a Struct's own ``__post_init__`` does, the fields are the stored ones."""
    frozen = Frozen(x=1)
    frozen.__dict__["more"] = 2
    found = travel(codec, frozen)
    assert (found.x, found.more) == ([1], 2)


def test_hash_of_another_process_is_not_kept(codec):
    """An instance that remembers its hash finds it anew: strings hash differently in the other process."""
    leaf = Leaf("a")
    hash(leaf)
    assert travel(codec, leaf)._attrs_cached_hash is None
    assert hash(travel(codec, leaf)) == hash(leaf)


def test_field_that_is_not_set_stays_so(codec):
    """A slot without a value has none afterwards."""
    assert not hasattr(travel(codec, Wide(1)), "late")
    wide = Wide(1)
    wide.late = 5
    assert travel(codec, wide).late == 5


def test_lists_that_are_one_become_two(codec):
    """Two places that share a list no longer do: only equality is kept."""
    shared = [1]
    found = travel(codec, [shared, (shared,)])
    assert found == [[1], ([1],)]
    assert found[0] is not found[1][0]


def test_flags_that_no_name_covers_are_kept(codec):
    """A combination of flags is its number."""
    assert travel(codec, Mode(11)) is Mode(11)


# -- what cannot be stored --------------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Array(list):
    pass


class Table(dict):
    pass


class Row(tuple):
    __slots__ = ()


class Day(dt.date):
    pass


class Bag(Crate):
    """A subclass that is no dataclass itself."""


class Slim(Box):
    """A subclass that is no dataclass itself."""


@dataclasses.dataclass
class Mixed(dict):
    x: int


@dataclasses.dataclass
class FailureError(Exception):
    x: int


def local():
    """Return an instance of a class that has no place in a module."""

    @dataclasses.dataclass
    class Local:
        x: int

    return Local(1)


REFUSED = [
    Text("a"), Whole(1), Real(1), Array(), Table(), Row(), Day(2020, 1, 1), collections.defaultdict(list),
    types.MappingProxyType({}), Bag(1), Slim(1), Mixed(1), FailureError(1), local(), object(), len, int, iter(()), ...,
    memoryview(b""), functools.partial(int), ValueError("a"), types.SimpleNamespace(a=1),
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "place", [lambda v: v, lambda v: [v], lambda v: {"a": v}, lambda v: (v,), Box, lambda v: Model(x=v)]
)
def test_value_that_would_come_back_as_another_is_refused(codec, value, place):
    """Neither a subclass nor an unknown type ever turns into something near it; the error names the type."""
    with pytest.raises(UnstorableValueError) as caught:
        codec.dumps(place(value))
    assert caught.value.type is type(value)


@pytest.mark.parametrize("key", [Text("a"), Whole(1), (Text("a"),)])
def test_key_of_a_subclass_is_refused(codec, key):
    """Keys of a dict are as strict as its values."""
    with pytest.raises(UnstorableValueError):
        codec.dumps({key: 1})


def test_refusal_names_the_type_and_the_ways_out(codec):
    """The message says what to do."""
    with pytest.raises(UnstorableValueError) as caught:
        codec.dumps([Array()])
    name = f"{__name__}.Array"
    assert str(caught.value) == (
        f"a value of type {name} cannot be stored for other processes: its type is not one of those that are kept. Do one "
        "of: register_codec(Array, dumps=..., loads=...) to say what it is made of; return a value that is made of plain "
        "types, dataclasses or the like; use another serializer, such as UnsafePickle(secret=...)"
    )


def test_class_that_no_name_leads_to_is_refused(codec):
    """A class made in a function, or one hidden by a later one of its name, could not be read."""
    with pytest.raises(UnstorableValueError, match="its class is not found by its name in its module"):
        codec.dumps(local())
    other = dataclasses.make_dataclass("Crate", ["x"], namespace={"__module__": Crate.__module__})
    with pytest.raises(UnstorableValueError, match="its class is not found by its name in its module"):
        codec.dumps(other(1))


def test_zone_without_a_name_is_refused(codec):
    """A time zone that was read from a file of the user's is in that file only."""
    zone = zoneinfo.ZoneInfo.from_file(_zone_file())
    with pytest.raises(UnstorableValueError, match="it was read from a file and has no key"):
        codec.dumps(dt.datetime(2020, 1, 1, tzinfo=zone))


def _zone_file():
    import io

    return io.BytesIO(b"TZif" + b"\0" * 16 + b"\0\0\0\0" * 3 + b"\0\0\0\0\0\0\0\1\0\0\0\4" + b"\0" * 6 + b"UTC\0")


def cycle(make, add):
    """Return a value that holds itself."""
    value = make()
    add(value, value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        cycle(list, list.append),
        cycle(dict, lambda d, v: d.update(a=v)),
        cycle(dict, lambda d, v: d.update({1: v})),
        cycle(lambda: Box(1), lambda box, v: setattr(box, "x", v)),
        cycle(list, lambda outer, v: outer.append((v,))),
    ],
    ids=["list", "dict", "pairs", "dataclass", "tuple"],
)
def test_cycle_is_refused(codec, value):
    """What holds itself is an error of its own, not a RecursionError."""
    with pytest.raises(UnstorableValueError, match="it holds itself, or is nested too deep"):
        codec.dumps(value)


class Grade(enum.Enum):
    A = 1

    @classmethod
    def _missing_(cls, value):
        made = object.__new__(cls)
        made._name_, made._value_ = f"grade {value}", value
        return made


def test_member_that_is_none_is_refused(codec):
    """What an enum makes up for a value that it does not have is not found in it by others."""
    with pytest.raises(UnstorableValueError, match="it is none of its enum's members"):
        codec.dumps(Grade(2))


# -- codecs of the user's ---------------------------------------------------------------------------------------------


class Account:
    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return type(other) is type(self) and other.number == self.number

    __hash__ = None


class Savings(Account):
    pass


@pytest.fixture
def registered(monkeypatch):
    """Let this test alone know what was registered in it."""
    monkeypatch.setattr("asyncfan.caching.shared.codec.register._by_path", {})
    return register_codec


def test_registered_type_is_kept(codec, registered):
    """A codec's own result may be any value that is kept, another registered one too."""
    registered(Account, dumps=lambda account: (account.number,), loads=lambda body: Account(*body))
    value = {"a": Account(Account({1}))}
    assert travel(codec, value) == value


def test_codec_says_more_than_the_fields(codec, registered):
    """What the user says of a dataclass goes before what its fields say."""
    registered(Crate, dumps=lambda crate: crate.x, loads=lambda x: Crate(x + 1))
    assert travel(codec, Crate(1)) == Crate(2)


def test_subclass_of_a_registered_type_needs_its_own(codec, registered):
    """A codec is for exactly one class: it would make instances of the base."""
    registered(Account, dumps=lambda account: account.number, loads=Account)
    with pytest.raises(UnstorableValueError):
        codec.dumps(Savings(1))


def test_class_whose_name_another_one_has_taken_is_refused(codec, registered):
    """Of two classes of one name, the later registration is the one that readers go by."""
    first, later = (type("Account", (), {}) for _ in range(2))
    registered(first, dumps=id, loads=lambda _: first())
    registered(later, dumps=id, loads=lambda _: later())
    assert type(travel(codec, later())) is later
    with pytest.raises(UnstorableValueError):
        codec.dumps(first())


def test_codec_that_makes_another_type_is_not_believed(codec, registered):
    """A value whose codec gives something else is a miss, not a value of another type."""
    registered(Account, dumps=lambda account: account.number, loads=lambda number: number)
    with pytest.raises(UnknownClassError, match="makes values of another type"):
        travel(codec, Account(1))


def test_registered_type_is_unknown_where_it_is_not_registered(codec, registered, monkeypatch):
    """A process that has not said how does not guess."""
    registered(Account, dumps=lambda account: account.number, loads=Account)
    data = codec.dumps(Account(1))
    monkeypatch.setattr("asyncfan.caching.shared.codec.register._by_path", {})
    with pytest.raises(UnknownClassError, match=r"register_codec\(\) was not called for .*:Account here"):
        codec.loads(data)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5, int, int), TypeError, "register_codec(type_, dumps=, loads=): type_ must be a class, got 5"),
        ((Account, 5, int), TypeError, "register_codec(type_, dumps=, loads=): dumps must be callable, got 5"),
        ((Account, int, 5), TypeError, "register_codec(type_, dumps=, loads=): loads must be callable, got 5"),
        ((dict, int, int), ValueError, "register_codec(): values of type dict are stored as they are, always"),
    ],
)
def test_register_codec_refuses_what_is_no_codec(registered, arguments, error, message):
    """Misuse fails where it is written."""
    type_, dumps, loads = arguments
    with pytest.raises(error) as caught:
        registered(type_, dumps=dumps, loads=loads)
    assert str(caught.value) == message


# -- bytes that somebody else has written -----------------------------------------------------------------------------

HERE = __name__
SAMPLES = Box.__module__


class Canary:
    """A class whose own code tells that it ran."""

    ran: ClassVar = []

    def __new__(cls, *args, **kwargs):
        cls.ran.append("new")
        return object.__new__(cls)

    def __init__(self, *args, **kwargs):
        self.ran.append("init")


class CanaryMeta(type):
    def __getattr__(cls, name):
        Canary.ran.append(name)
        raise AttributeError(name)


class Strange(metaclass=CanaryMeta):
    pass


@dataclasses.dataclass
class Guarded:
    x: int

    def __post_init__(self):
        Canary.ran.append("post_init")

    def __setattr__(self, name, value):
        Canary.ran.append("setattr")

    def __getattribute__(self, name):
        Canary.ran.append("getattribute")
        return object.__getattribute__(self, name)

    def __setstate__(self, state):
        Canary.ran.append("setstate")

    @property
    def danger(self):
        Canary.ran.append("get")

    @danger.setter
    def danger(self, value):
        Canary.ran.append("set")


def __getattr__(name):
    Canary.ran.append(name)
    raise AttributeError(name)


@pytest.mark.parametrize(
    "value",
    [
        {"~record": [f"{HERE}:Canary", {}]},
        {"~record": [f"{HERE}:Canary", {"x": 1}, {"y": 2}]},
        {"~enum": [f"{HERE}:Canary", "RED"]},
        {"~enum": [f"{HERE}:Strange", "RED"]},
        {"~record": [f"{HERE}:Strange.inner", {}]},
        {"~registered": [f"{HERE}:Canary", 1]},
        {"~record": [f"{HERE}:not_there", {}]},
        {"~record": ["os:system", {"command": "true"}]},
        {"~record": ["builtins:eval", {"source": "1"}]},
        {"~record": ["builtins:tuple", {}]},
        {"~record": ["builtins:dict", {}]},
        {"~record": ["subprocess:Popen", {"args": ["true"]}]},
        {"~record": ["", {}]},
        {"~record": [f"{HERE}", {}]},
        {"~record": [f"{SAMPLES}:Box", {}]},
        {"~record": [f"{SAMPLES}:Box", {"x": 1}]},
        {"~record": [f"{SAMPLES}:Box", {"x": 1, "made": 1, "y": 1}]},
        {"~record": [f"{SAMPLES}:Colour", {}]},
        {"~enum": [f"{SAMPLES}:Box", "x"]},
        {"~enum": [f"{SAMPLES}:Colour", "GREEN"]},
        {"~enum": [f"{SAMPLES}:Colour", "__class__"]},
        {"~enum": [f"{SAMPLES}:Colour", 1]},
        {"~import": "os"},
        {"~": 1},
    ],
    ids=repr,
)
def test_hostile_names_call_nothing(codec, value):
    """Only what is a record, an enum or registered is made, and nothing else is called on the way to finding out."""
    Canary.ran.clear()
    with pytest.raises(UnknownClassError):
        codec.loads(forged(value))
    assert Canary.ran == []


@pytest.mark.parametrize("others", [{"danger": 1}, {"__setstate__": 1}, {"y": 1}, {"__doc__": 1}])
def test_instance_is_filled_without_its_own_code(codec, others):
    """Attributes go into the instance itself: no setter, no hook, no constructor runs."""
    data = forged({"~record": [f"{HERE}:Guarded", {"x": 1}, others]})
    Canary.ran.clear()
    found = codec.loads(data)
    assert Canary.ran == []
    assert object.__getattribute__(found, "__dict__") == {"x": 1, **others}


def test_class_of_an_instance_cannot_be_forged(codec):
    """``__class__`` and the like are attributes of that name at most."""
    found = codec.loads(forged({"~record": [f"{SAMPLES}:Box", {"x": 1, "made": 1}, {"__class__": 1, "__dict__": 1}]}))
    assert type(found) is Box
    with pytest.raises(Exception, match="__dict__"):
        codec.loads(forged({"~record": [f"{SAMPLES}:Crate", {"x": 1, "_hidden": 1}, {"__class__": 1}]}))


def test_nothing_is_imported_for_a_name(codec):
    """A class is looked for among the modules that are there already."""
    module = "antigravity"
    assert module not in sys.modules
    with pytest.raises(UnknownClassError, match="there is no class antigravity:Class here"):
        codec.loads(forged({"~record": [f"{module}:Class", {}]}))
    assert module not in sys.modules


def test_lazy_module_stays_asleep(codec, monkeypatch):
    """Looking for a name does not wake a module that loads at its first use."""
    woken = []

    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            woken.append(name)
            return super().__getattribute__(name)

    monkeypatch.setitem(sys.modules, "lazy_module", Lazy("lazy_module"))
    with pytest.raises(UnknownClassError):
        codec.loads(forged({"~record": ["lazy_module:Class", {}]}))
    assert woken == []


@pytest.mark.parametrize("before", ["dataclass", "attrs", "pydantic", "msgspec", "tuple"])
def test_class_that_has_changed_is_unknown(codec, monkeypatch, before):
    """A release whose class has got another field loads anew instead of serving an instance without it."""
    made = {
        "dataclass": lambda names: dataclasses.make_dataclass("Changing", names),
        "attrs": lambda names: attrs.make_class("Changing", names),
        "pydantic": lambda names: pydantic.create_model("Changing", **dict.fromkeys(names, (int, 0))),
        "msgspec": lambda names: msgspec.defstruct("Changing", names),
        "tuple": lambda names: collections.namedtuple("Changing", names),  # noqa: PYI024
    }[before]
    old, new = made(["x", "y"]), made(["x", "z"])
    for kind in (old, new):
        kind.__module__ = HERE
    monkeypatch.setattr(sys.modules[HERE], "Changing", old, raising=False)
    data = codec.dumps(old(x=1, y=2))
    assert type(codec.loads(data)) is old
    monkeypatch.setattr(sys.modules[HERE], "Changing", new)
    with pytest.raises(UnknownClassError, match="has other fields than when it was stored"):
        codec.loads(data)


def test_infinity_is_no_json(codec):
    """What is called plain is what every reader of JSON reads."""
    assert codec.dumps(math.inf) == b"~Infinity"


def test_struct_needs_no_constructor_arguments_in_order(codec):
    """Fields travel by name."""
    assert json.loads(codec.dumps(Struct(1, 2))[1:]) == {"~record": [f"{SAMPLES}:Struct", {"x": 1, "y": 2}]}
