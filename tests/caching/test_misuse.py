"""What is wrong fails where it is written, in words that say the rule, the value and the way out."""

import functools
import re
from dataclasses import make_dataclass
from datetime import timedelta
from typing import NamedTuple

import pytest

from asyncfan import Limiter, UnkeyableArgumentError, escape
from asyncfan.caching import Cache, CacheLevel, register_key
from asyncfan.context import scope


def raises(kind, message):
    """Expect exactly this message."""
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def f(a=1, b=2):
    """A function to decorate."""
    return a, b


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"maxsize": 0}, ValueError, "maxsize must be a whole number >= 1, or None for no limit, got 0"),
        ({"maxsize": True}, ValueError, "maxsize must be a whole number >= 1, or None for no limit, got True"),
        ({"maxsize": 1.5}, ValueError, "maxsize must be a whole number >= 1, or None for no limit, got 1.5"),
        ({"max_bytes": -1}, ValueError, "max_bytes must be a whole number >= 1, or None for no limit, got -1"),
        (
            {"policy": "fifo"},
            ValueError,
            "policy must be 'lru', 'lfu', 's3fifo' or a mutable mapping with bounds of its own, got 'fifo'",
        ),
        (
            {"policy": [1]},
            TypeError,
            "policy must be 'lru', 'lfu', 's3fifo' or a mutable mapping with bounds of its own, got [1]",
        ),
        (
            {"policy": {}, "max_bytes": 10_000},
            ValueError,
            "max_bytes cannot bound a mapping given as policy: bound the mapping itself",
        ),
        (
            {"max_bytes": 10_000, "weigher": 8},
            TypeError,
            "weigher must be a function of a value that returns its bytes, got 8",
        ),
        ({"weigher": len}, TypeError, "weigher needs max_bytes: weigher=len, max_bytes=100_000_000"),
    ],
)
def test_cache_refuses_what_it_cannot_be(options, kind, message):
    """Bounds, policy and weigher are checked when the cache is made."""
    with raises(kind, message):
        Cache(**options)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"expire": 0}, ValueError, "expire must be > 0 seconds and finite, or None for good, got 0"),
        ({"expire": -1}, ValueError, "expire must be > 0 seconds and finite, or None for good, got -1"),
        ({"expire": float("nan")}, ValueError, "expire must be > 0 seconds and finite, or None for good, got nan"),
        ({"expire": float("inf")}, ValueError, "expire must be > 0 seconds and finite, or None for good, got inf"),
        (
            {"expire": timedelta(0)},
            ValueError,
            "expire must be > 0 seconds and finite, or None for good, got datetime.timedelta(0)",
        ),
        ({"expire": "60"}, TypeError, "expire must be a number of seconds or a timedelta, or None for good, got '60'"),
        ({"expire": True}, TypeError, "expire must be a number of seconds or a timedelta, or None for good, got True"),
        ({"key_prefix": 5}, TypeError, 'key_prefix must be a string such as "user:profile", got 5'),
        ({"key_prefix": ""}, ValueError, 'key_prefix must be a text without "*" such as "user:profile", got \'\''),
        ({"key_prefix": "a*"}, ValueError, 'key_prefix must be a text without "*" such as "user:profile", got \'a*\''),
        ({"cache_level": "low"}, TypeError, "cache_level must be a CacheLevel, got 'low'"),
        ({"copy": True}, ValueError, "copy must be one of 'none', 'shallow', 'deep', got True"),
        ({"key": "a"}, TypeError, "key must be a function of the call's arguments, got 'a'"),
        (
            {"key": lambda a: a},
            TypeError,
            "key is called with all arguments of f(a=1, b=2), but takes (a)",
        ),
        (
            {"key": lambda *, a, b: a},
            TypeError,
            "key is called with all arguments of f(a=1, b=2), but takes (*, a, b)",
        ),
        ({"max_items": 0}, ValueError, "max_items must be >= 1 or None, got 0"),
        ({"max_items": "9"}, TypeError, "max_items must be an int >= 1 or None, got '9'"),
        ({"ignore": "a"}, TypeError, "ignore takes a tuple of parameter names, got the string 'a': write ('a',)"),
        ({"ignore": None}, TypeError, "ignore takes a tuple of parameter names, got None"),
        ({"ignore": ("c",)}, ValueError, "ignore names 'c', but f() has the parameters a, b"),
    ],
)
def test_decorator_refuses_wrong_options(cache, options, kind, message):
    """Options are checked at the decoration, not at the first call."""
    with raises(kind, message):
        cache.cache_function(**options)(f)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"stale_while_revalidate": -1}, ValueError, "stale_while_revalidate must be seconds >= 0, got -1"),
        ({"stale_if_error": float("inf")}, ValueError, "stale_if_error must be seconds >= 0, got inf"),
        ({"stale_if_error": float("nan")}, ValueError, "stale_if_error must be seconds >= 0, got nan"),
        ({"stale_if_error": "5"}, TypeError, "stale_if_error must be a number, got '5'"),
        ({"refresh_ahead": "yes"}, TypeError, "refresh_ahead must be a number, got 'yes'"),
        ({"refresh_ahead": -0.5}, ValueError, "refresh_ahead must be >= 0, got -0.5"),
        ({"jitter": 1.5}, ValueError, "jitter must be >= 0 and <= 1, got 1.5"),
        ({"negative_expire": 0}, ValueError, "negative_expire must be > 0 seconds and finite, got 0"),
        ({"negative_expire": "5"}, TypeError, "negative_expire must be a number of seconds or a timedelta, got '5'"),
        ({"soft_timeout": 0}, ValueError, "soft_timeout must be > 0 seconds and finite, got 0"),
        ({"hard_timeout": 5}, TypeError, "hard_timeout needs an 'async def': a plain function in a thread cannot be stopped or held back"),
        ({"limiter": Limiter("x")}, TypeError, "limiter needs an 'async def': a plain function in a thread cannot be stopped or held back"),
        ({"cache_exceptions": ["x"]}, TypeError, "cache_exceptions takes exception classes such as (NotFound,), got ['x']"),
        ({"cache_exceptions": KeyboardInterrupt}, TypeError, "cache_exceptions takes exception classes such as (NotFound,), got <class 'KeyboardInterrupt'>"),
        ({"cache_if": 5}, TypeError, "cache_if must be a function of the loaded value, got 5"),
        ({"tags": "user:{c}"}, ValueError, "tags name 'c', but the function has the parameters a, b"),
        ({"tags": 5}, TypeError, 'tags must be texts such as "user:{user_id}", or a function of the arguments, got 5'),
        ({"tags": [5]}, TypeError, 'a tag must be a string such as "user:42", got 5'),
        ({"tags": [""]}, ValueError, 'a tag must not be empty: write what the value is about, such as "user:42"'),
    ],
)  # fmt: skip
def test_decorator_refuses_wrong_freshness(cache, options, kind, message):
    """How long and on what conditions a value is served is checked at the decoration too."""
    with raises(kind, message):
        cache.cache_function(expire=1, **options)(f)


def test_decorator_refuses_a_limiter_that_is_none(cache):
    """What is no Limiter is refused, for a function that could use one."""

    async def g():
        return 1

    with raises(TypeError, 'limiter must be a Limiter such as Limiter("db", max_concurrency=20), got 5'):
        cache.cache_function(limiter=5)(g)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clock": 5}, "clock must be a function that returns the time in seconds, got 5"),
        ({"random": 0.5}, "random must be a function that returns a number from [0, 1), got 0.5"),
        ({"namespace": None}, 'namespace must be a string such as "shop", got None'),
        ({"memory_expire": "60"}, "memory_expire must be a number of seconds or a timedelta, got '60'"),
    ],
)
def test_cache_refuses_options_of_the_wrong_type(options, message):
    """They are checked where the cache is made, not at the first call."""
    with raises(TypeError, message):
        Cache(**options)


def test_escape_takes_a_string():
    """A number is told how to become one."""
    with raises(TypeError, "escape() takes a string, got 42: write escape(str(...))"):
        escape(42)


def test_decorator_refuses_an_option_that_does_not_exist(cache):
    """A misspelled option is named, with those that exist."""
    with pytest.raises(TypeError, match=r"^cache_function\(\) has no option 'ttl'; it has stale_"):
        cache.cache_function(ttl=5)


def test_key_may_take_arguments_in_any_way(cache):
    """By place, by name where the function takes them so, as many as there are, or in C."""

    def named(a, *, b):
        return a

    def many(*a):
        return a

    for key in (lambda a, *, b: a, lambda *a, **b: a, lambda x, b, c=1: x):
        assert cache.cache_function(key=key)(named)(1, b=2) == 1
    assert (cache.cache_function(key=str)(lambda a: a)(1), cache.cache_function(key=max)(many)(1, 2)) == (1, (1, 2))


@pytest.mark.parametrize("kind", [property, functools.cached_property, functools.partialmethod])
def test_decorator_refuses_what_stands_between(cache, kind):
    """A property of a cached method is one; above a property there is no function to be seen."""
    above = kind(lambda self: 1)
    with raises(TypeError, f"cache_function takes a function, got {above!r}: write it directly above the function"):
        cache.cache_function(above)


async def test_decorator_refuses_a_coroutine(cache):
    """A call in place of the function is told how to do it right."""

    async def load():
        return 1

    with raises(TypeError, "cache_function takes the function itself, not a call of it: cache_function(f), not f(...)"):
        cache.cache_function(load())


def test_decorator_refuses_what_cannot_be_called(cache):
    """Something that is no function is shown."""
    with raises(TypeError, "cache_function takes a function, got 'f'"):
        cache.cache_function(60)("f")


def test_decorator_refuses_what_is_not_for_async_generators(cache):
    """What is for single values is no option of a generator."""

    async def rows():
        yield 1

    with raises(TypeError, "an async generator takes no soft_timeout: its items come one by one, from one run"):
        cache.cache_function(soft_timeout=1)(rows)


def test_decorator_refuses_generators(cache):
    """A plain generator can be read only once, so it cannot be cached."""

    def lines():
        yield 1

    name = "test_decorator_refuses_generators.<locals>.lines"
    with raises(
        TypeError,
        f"{name}() is a generator, which can be read only once: cache a function that returns a list, as in list(...), "
        "or make it an async generator",
    ):
        cache.cache_function(lines)


def test_decorator_refuses_a_function_without_visible_parameters(cache):
    """A builtin that does not tell its parameters must be wrapped."""
    with raises(
        TypeError,
        "cache_function cannot see the parameters of bytes: wrap it, as in cache_function(lambda value: bytes(value))",
    ):
        cache.cache_function(bytes)


def test_plain_function_that_returns_an_awaitable_is_refused(cache):
    """A forgotten ``async`` is found at the first call, and nothing is left unawaited."""

    async def inner():
        return 1

    load = cache.cache_function(lambda: inner())  # noqa: PLW0108
    with raises(
        TypeError,
        f"{load.__module__}.{load.__qualname__}() is a plain def but returned an awaitable, which can be awaited only once: "
        "declare it with 'async def'",
    ):
        load()


@pytest.mark.parametrize(
    "spelled", ["f(SESSION)", "f(a=SESSION)", "f([SESSION])", "f.peek(SESSION)", "f.invalidate(SESSION)"]
)
def test_unkeyable_argument_names_function_parameter_and_the_ways_out(cache, spelled):
    """An argument without a value is refused at the call."""

    class Session:
        pass

    cached = cache.cache_function(f)
    name = f"{__name__}.test_unkeyable_argument_names_function_parameter_and_the_ways_out.<locals>.Session"
    with raises(
        UnkeyableArgumentError,
        f"{__name__}.f(): argument 'a' of type {name} cannot be keyed by value. Do one of: ignore=('a',) if the result does "
        "not depend on it; key=lambda ...: ... to build the key from what it does depend on; register_key(Session, lambda "
        "value: ...) to say what its value is",
    ) as caught:
        eval(spelled, {"f": cached, "SESSION": Session()})
    assert (caught.value.function, caught.value.parameter, caught.value.type) == (f"{__name__}.f", "a", Session)


def test_unkeyable_result_of_key_is_refused(cache):
    """What ``key`` returns must be keyable as well."""
    cached = cache.cache_function(key=lambda *_: object())(f)
    with pytest.raises(UnkeyableArgumentError, match=r"f\(\): argument 'key' of type object cannot be keyed by value"):
        cached()


def test_unkeyable_scope_value_is_named(cache):
    """A scope value without a value of its own is an error that names it."""
    cached = cache.cache_function(cache_level=CacheLevel.HIGH)(f)
    with (
        scope(principal=object()),
        raises(
            TypeError,
            "scope(principal=...) of type object has no value to key by: declare what identifies it, such as its id, or use "
            "register_key(object, lambda value: ...)",
        ),
    ):
        cached()


class Slotted:
    """Has no place for weak references."""

    __slots__ = ()

    def get(self):
        return 1


class Pair(NamedTuple):
    left: int
    right: int


@pytest.mark.parametrize(
    ("instance", "way"),
    [
        (Slotted(), "add '__weakref__' to Slotted.__slots__, or "),
        (Pair(1, 2), ""),
        (make_dataclass("Point", ["x"], slots=True)(1), "write @dataclass(slots=True, weakref_slot=True), or "),
    ],
    ids=["slots", "named tuple", "dataclass"],
)
def test_instance_that_cannot_be_told_apart_is_refused(cache, instance, way):
    """Its class has to have a place for weak references, or it is keyed by its value."""
    get = cache.cache_function(Slotted.get)
    message = (
        f"a cached method of {type(instance).__name__} cannot tell its instances apart: {way}build the key yourself, as "
        "in key=lambda self, ...: (self, ...)"
    )
    with raises(TypeError, message):
        get(instance)


@pytest.mark.parametrize("pattern", ["", "*", "***"])
def test_clear_of_everything_is_refused(cache, pattern):
    """Dropping everything has a name of its own."""
    with raises(ValueError, f"clear({pattern!r}) would drop everything: call clear_all() if that is meant"):
        cache.clear(pattern)


def test_clear_of_no_string_is_refused(cache):
    """A pattern is a string."""
    with raises(TypeError, 'clear(pattern) takes a string such as "user:42*", got 42'):
        cache.clear(42)


def test_clear_prefix_of_nothing_is_refused(cache):
    """Without a part there is no prefix."""
    with raises(ValueError, "clear_prefix() would drop everything: call clear_all() if that is meant"):
        cache.clear_prefix()


def test_register_key_refuses_what_is_no_class():
    """The first argument is a class, the second a function."""
    with raises(TypeError, "register_key(type_, value_of): type_ must be a class, got 5"):
        register_key(5, str)
    with raises(TypeError, "register_key(type_, value_of): value_of must be callable, got 5"):
        register_key(int, 5)
