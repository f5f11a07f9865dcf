"""However a call is spelled, the same arguments are the same call, and different ones are different."""

import functools
import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.caching import MISSING, Cache


def everything(a, /, b=2, *args, c, d=4, **rest):
    """Return all that it was given."""
    return a, b, args, c, d, rest


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1,), {}), ((), {"a": 1}), ((1, 2), {}), ((1,), {"b": 2}), ((), {"b": 2, "a": 1})]
)
def test_spellings_of_one_call_are_one_key(cache, args, kwargs):
    """Positions, names and defaults are no part of a key."""

    @cache.cache_function(key_prefix="f")
    def f(a, b=2):
        return a, b

    assert f.cache_key(*args, **kwargs) == "f:1:2"


def test_five_spellings_make_one_load(cache):
    """What peers load five times is loaded once."""
    calls = []

    @cache.cache_function
    def f(a, b=2):
        calls.append((a, b))

    f(1)
    f(a=1)
    f(1, 2)
    f(1, b=2)
    f(b=2, a=1)
    assert calls == [(1, 2)]


@pytest.mark.parametrize("spelled", [1, 1.0, True, "1", b"1", None, "None", "", (1,), [1]])
def test_equal_values_of_other_types_are_other_calls(cache, spelled):
    """A value is never given the result of one that only looks like it."""

    @cache.cache_function
    def f(a):
        return type(a)

    for value in (1, 1.0, True, "1", b"1", None, "None", "", (1,), [1]):
        f(value)
    assert f(spelled) is type(spelled)
    assert f.cache_info()[:2] == (1, 10)


def test_arguments_cannot_forge_a_delimiter(cache):
    """A colon in an argument does not make it two."""

    @cache.cache_function
    def f(a, b):
        return a, b

    assert f("x:b:y", "z") != f("x", "y:b:z")


def test_every_kind_of_parameter_reaches_the_function(cache):
    """Positional-only, variable, keyword-only and any other keyword arguments arrive as they were given."""
    cached = cache.cache_function(everything)
    assert cached(1, 2, 3, c=4, e=5) == (1, 2, (3,), 4, 4, {"e": 5})
    assert cached.cache_key(1, c=3).endswith("everything:1:2:()~t:3:4:()~d")


def test_order_of_keyword_arguments_is_no_matter(cache):
    """``**kwargs`` are keyed sorted."""

    @cache.cache_function
    def f(**kwargs):
        return kwargs

    assert f.cache_key(a=1, b=2) == f.cache_key(b=2, a=1)


def test_positional_only_name_may_come_again_as_keyword(cache):
    """A keyword named as a positional-only parameter goes to ``**rest``."""

    @cache.cache_function
    def f(a, /, **rest):
        return a, rest

    assert f(1, a=2) == (1, {"a": 2})


ODD_NAMES = [
    "_key", "_op", "_table", "_entry", "_Error", "_miss", "__key", "___", "key", "op", "table", "entry", "Exception", "factory",
    "bind", "clock", "value", "hits", "self_", "args", "kwargs", "function", "anew", "expire", "_default_x", "x", "f", "await_", "é",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_parameter_name_works(cache, name):
    """No name of a parameter gets in the way of the wrapper's own."""
    scope = {}
    exec(f"def f(x_, {name}=2, *, x__=3): return x_, {name}, x__", scope)
    f = cache.cache_function(scope["f"])
    assert f(1, **{name: 5}) == (1, 5, 3)
    assert f(1, 5) == (1, 5, 3)
    assert f.cache_info()[:2] == (1, 1)


@pytest.mark.parametrize("name", [*ODD_NAMES, "class", "None", "<lambda>", "a.b", "_default_a"])
def test_any_function_name_works(cache, name):
    """No name of a function gets in the way of the wrapper's own."""

    def f(a=1):
        return a

    f.__name__ = name
    assert cache.cache_function(f)(7) == 7


def test_lambda_can_be_cached(cache):
    """A lambda is a function."""
    double = cache.cache_function(lambda n: 2 * n)
    assert (double(2), double(n=2), double.cache_info().hits) == (4, 4, 1)


async def test_partial_can_be_cached(cache):
    """A partial of an ``async def`` is cached as one, and may still be given what it fixed."""

    async def f(a, b, c=3):
        return a, b, c

    cached = cache.cache_function(functools.partial(f, 1, b=2))
    assert inspect.iscoroutinefunction(cached)
    assert (await cached(), await cached(b=9)) == ((1, 2, 3), (1, 9, 3))


def test_callable_object_can_be_cached(cache):
    """An object with ``__call__`` is a function."""

    class Adder:
        def __call__(self, a, b=1):
            return a + b

    cached = cache.cache_function(Adder())
    assert (cached(1), cached(1, b=1), cached.cache_info().hits) == (2, 2, 1)


async def test_callable_object_with_async_call_can_be_cached(cache):
    """An object with ``async def __call__`` is an async function."""

    class Adder:
        async def __call__(self, a, b=1):
            return a + b

    cached = cache.cache_function(Adder())
    assert inspect.iscoroutinefunction(cached)
    assert (await cached(1), await cached(1, b=1), cached.cache_info().hits) == (2, 2, 1)


def test_wrong_arguments_fail_as_without_cache(cache):
    """A call that does not fit is a TypeError that names the function and the parameter."""

    @cache.cache_function
    def f(a):
        return a

    with pytest.raises(TypeError, match=r"f\(\) missing 1 required positional argument: 'a'"):
        f()
    with pytest.raises(TypeError, match=r"f\(\) got an unexpected keyword argument 'b'"):
        f(1, b=2)


def test_ignored_parameter_is_passed_but_not_keyed(cache):
    """What the result does not depend on need not be keyable."""

    @cache.cache_function(ignore=("session",), key_prefix="f")
    def f(a, session):
        return a, session

    one, other = object(), object()
    assert f(1, one) == f(1, session=other) == (1, one)
    assert f.cache_key(1, other) == "f:1"


def test_key_function_decides_what_is_one_call(cache):
    """The value that ``key`` gives stands in place of the arguments."""

    @cache.cache_function(key=lambda user, **_: user["id"], key_prefix="f")
    def f(user, *, trace=None):
        return user["id"], trace

    assert f({"id": 1, "x": object()}, trace=object()) is f({"id": 1})
    assert f.cache_key({"id": 1}) == "f:1"


async def test_key_of_a_function_is_cleared_as_any(cache):
    """Patterns, prefixes and calls mean what ``key`` gave; the rest of the function stays."""
    f = cache.cache_function(key=lambda user: user["id"], key_prefix="f")(lambda user: user["id"])
    users = [{"id": n, "x": object()} for n in range(4)]
    for user in users:
        f(user)
    assert await f.invalidate({"id": 0}) == 1
    assert await cache.clear("f:1*") == 1
    assert await cache.clear_prefix("f", 2) == 1
    assert [f.peek(user) for user in users] == [MISSING] * 3 + [3]


def test_mutable_argument_is_keyed_by_its_value_at_the_call(cache):
    """A list that has changed is another argument."""
    numbers = [1]

    @cache.cache_function
    def total(of):
        return sum(of)

    first = total(numbers)
    numbers.append(2)
    assert (first, total(numbers), total([1, 2])) == (1, 3, 3)


KINDS = list(inspect._ParameterKind)


@st.composite
def signatures(draw):
    """A valid signature of up to six parameters, some with defaults."""
    kinds = sorted(draw(st.lists(st.sampled_from(KINDS), max_size=6)))
    found, has_default, once = [], False, {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    for i, kind in enumerate(kinds):
        if kind in once and any(p.kind is kind for p in found):
            continue
        default = inspect.Parameter.empty
        if kind not in once and ((has_default and kind <= KINDS[1]) or draw(st.booleans())):
            default, has_default = f"default {i}", has_default or kind <= KINDS[1]
        found.append(inspect.Parameter(f"p{i}", kind, default=default))
    return inspect.Signature(found)


def function_of(signature):
    """A function of the signature, that returns what each parameter got."""
    returned = ", ".join(f"{name!r}: {name}" for name in signature.parameters)
    scope = {}
    exec(f"def f{signature}: return {{{returned}}}", scope)
    return scope["f"]


@settings(max_examples=300, deadline=None)
@given(
    signatures(),
    st.lists(st.integers(), max_size=5),
    st.dictionaries(st.sampled_from([f"p{i}" for i in range(8)]), st.integers()),
)
def test_calls_are_bound_as_the_function_binds_them(signature, args, kwargs):
    """For any signature and call, the wrapper accepts what the function accepts, and passes on the same."""
    function = function_of(signature)
    cached = Cache().cache_function(function)
    assert inspect.signature(cached) == inspect.signature(function)
    try:
        expected = function(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            cached(*args, **kwargs)
    else:
        assert [cached(*args, **kwargs), cached(*args, **kwargs)] == [expected] * 2
        assert cached.cache_info()[:2] == (1, 1)


@settings(max_examples=200, deadline=None)
@given(signatures(), st.data())
def test_keys_are_equal_exactly_if_the_bound_arguments_are(signature, data):
    """Two calls share a key if and only if every parameter got the same."""
    function = function_of(signature)
    key = Cache().cache_function(function).cache_key
    seen = {}
    calls = st.tuples(
        st.lists(st.integers(0, 1), max_size=4),
        st.dictionaries(st.sampled_from([f"p{i}" for i in range(7)]), st.integers(0, 1)),
    )
    for args, kwargs in data.draw(st.lists(calls, max_size=8)):
        try:
            bound = function(*args, **kwargs)
        except TypeError:
            continue
        assert seen.setdefault(key(*args, **kwargs), bound) == bound
    assert all(a is b or a != b for a in seen.values() for b in seen.values())
