"""`get_or_set` and `get_or_set_many`: values by keys of the user's own, as well kept as those of functions."""

import asyncio
import threading

import pytest

from asyncfan.caching import MISSING, Cache
from asyncfan.exceptions import BatchResultError, MissingKeyError
from asyncfan.testing import Gate


class LoadFailedError(Exception):
    """What a source raises."""


class Loader:
    """Counts its calls, and may wait at a gate."""

    def __init__(self, gate=None):
        self.calls = []
        self.gate = gate

    async def one(self):
        self.calls.append(None)
        if self.gate:
            await self.gate.enter()
        return f"value {len(self.calls)}"

    async def many(self, keys):
        self.calls.append(keys)
        if self.gate:
            await self.gate.enter()
        return {key: f"value of {key}" for key in keys}


async def test_value_is_loaded_once(cache):
    """The second call finds what the first one loaded."""
    loader = Loader()
    assert [await cache.get_or_set("user:42", loader.one) for _ in range(2)] == ["value 1"] * 2
    stats = cache.stats().functions[0]
    assert (stats.name, stats.hits, stats.misses) == ("get_or_set", 1, 1)


async def test_callers_of_one_key_share_a_load(cache):
    """However many ask at once, with one call or with many keys, it is loaded once."""
    loader = Loader(Gate())
    calls = [asyncio.create_task(cache.get_or_set("user:42", loader.one)) for _ in range(100)]
    calls.append(asyncio.create_task(cache.get_or_set_many(["user:42"], loader.many)))
    await loader.gate.reached()
    calls[0].cancel()
    loader.gate.open()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert found[1:] == ["value 1"] * 99 + [{"user:42": "value 1"}]
    assert loader.calls == [None]


@pytest.mark.parametrize(
    ("clear", "left"),
    [
        (lambda cache: cache.clear("user:profile:42*"), {"user:profile:7", "page"}),
        (lambda cache: cache.clear("user:profile:42"), {"user:profile:7", "user:profile:420", "page"}),
        (lambda cache: cache.clear_prefix("user:profile", 42), {"user:profile:7", "user:profile:420", "page"}),
        (lambda cache: cache.clear_prefix("user"), {"page"}),
        (lambda cache: cache.clear("*:7"), {"user:profile:42", "user:profile:420", "page"}),
        (lambda cache: cache.invalidate(("user:profile", 42)), {"user:profile:7", "user:profile:420", "page"}),
        (lambda cache: cache.clear_tags("tag of page"), {"user:profile:42", "user:profile:420", "user:profile:7"}),
        (lambda cache: cache.clear_all(), set()),
    ],
)
@pytest.mark.parametrize("fences", [False, True])
async def test_clears_find_keys_by_their_segments(cache, monkeypatch, clear, left, fences):
    """Patterns, prefixes and keys drop what they name, and nothing else."""
    if fences:
        monkeypatch.setattr("asyncfan.caching.clears.cleared.SCAN_LIMIT", 0)
    keys = ["user:profile:42", "user:profile:420", "user:profile:7", "page"]
    await cache.get_or_set_many(keys, Loader().many, tags=lambda key: f"tag of {key}")
    clear(cache)
    assert {key for key in keys if cache.peek(key) is not MISSING} == left


async def test_pattern_of_a_function_leaves_other_keys_alone(cache):
    """A clear that names a function's keys only does not touch others that begin otherwise."""

    @cache.cache_function(key_prefix="f")
    async def f(n):
        return n

    await f(1)
    cache.put("f2", "mine")
    cache.clear("f:*")
    assert (f.peek(1), cache.peek("f2")) == (MISSING, "mine")


async def test_load_that_a_clear_meant_is_not_stored(cache):
    """What began before a clear is given out, and not stored."""
    loader = Loader(Gate())
    call = asyncio.create_task(cache.get_or_set("user:42", loader.one))
    await loader.gate.reached()
    cache.clear("user:*")
    loader.gate.open()
    assert await call == "value 1"
    assert cache.peek("user:42") is MISSING


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user:profile:42", ("user:profile", 42)),
        ("user:profile:42", ("user", "profile", 42)),
        ("a b:*", "a b:*"),
    ],
)
def test_same_key_in_another_form(cache, one, other):
    """A tuple of values is the text of its segments."""
    cache.put(one, "value")
    assert cache.peek(other) == "value"


def test_different_keys_do_not_collide(cache):
    """What differs in type or in a delimiter is another key, also where it is long."""
    keys = [
        ("user", 42), ("user", "42"), ("user", 42.0), ("user", True), ("user", "a:b"), ("user", "a", "b"),
        ("user", ""), ("user", None), ("user", "None"), "user:*", "user:%2A", "user", "user:", "user::", ("user", [1]),
        "x" * 2000, "x" * 2001, ("x" * 2000, 1), "user:" + "y" * 500, "user:" + "y" * 501, "user:42~s", "é", "%C3%A9",
    ]  # fmt: skip
    for number, key in enumerate(keys):
        cache.put(key, number)
    assert [cache.peek(key) for key in keys] == list(range(len(keys)))


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (42, TypeError, 'a key must be a text such as "user:42" or a tuple such as ("user", 42), got 42'),
        ("", ValueError, "a key must not be empty: write what the value is about, such as \"user:42\", got ''"),
        ((), ValueError, 'a key must not be empty: write what the value is about, such as "user:42", got ()'),
        (
            ("user", object()),
            TypeError,
            (
                "a part of the key has the type object, which has no value to key by: use what identifies it, such as its "
                "id, or register_key(object, lambda value: ...)"
            ),
        ),
    ],
)
async def test_wrong_key_is_refused_in_words(cache, key, error, message):
    """What is no key is an error that says what is one."""
    with pytest.raises(error) as caught:
        await cache.get_or_set(key, Loader().one)
    assert str(caught.value) == message


@pytest.mark.parametrize("options", [{"expire": 0}, {"jitter": 2}, {"key": str}, {"tags": ("",)}, {"tags": (1,)}])
async def test_wrong_options_are_refused(cache, options):
    """Options are checked as those of `cache_function`; there are fewer."""
    with pytest.raises((TypeError, ValueError)):
        await cache.get_or_set("key", Loader().one, **options)
    with pytest.raises((TypeError, ValueError)):
        await cache.get_or_set_many(["key"], Loader().many, **options)
    assert cache.peek("key") is MISSING


async def test_each_call_says_how_long_its_value_lives(cache, clock):
    """``expire`` and what goes with it hold for what the call loads; 300 s if not given."""
    loader = Loader()
    await cache.get_or_set("short", loader.one, expire=10)
    await cache.get_or_set("default", loader.one)
    await cache.get_or_set_many(["many"], loader.many, expire=20)
    await cache.get_or_set("good", loader.one, expire=None)
    await cache.get_or_set("stale", loader.one, 10, stale_while_revalidate=50)
    await cache.get_or_set("none", lambda: None, negative_expire=5)
    seen = {}
    for moment in (4, 9, 19, 299, 1000):
        clock.advance(moment - clock())
        seen[moment] = {k for k in ("short", "default", "many", "good", "none") if cache.peek(k) is not MISSING}
    assert seen == {
        4: {"short", "default", "many", "good", "none"},
        9: {"short", "default", "many", "good"},
        19: {"default", "many", "good"},
        299: {"default", "good"},
        1000: {"good"},
    }


async def test_stale_value_is_served_while_it_is_loaded_anew(cache, clock):
    """``stale_while_revalidate`` serves the old value at once, and loads in the background."""
    loader = Loader()
    options = {"expire": 10, "stale_while_revalidate": 50}
    await cache.get_or_set("key", loader.one, **options)
    clock.advance(20)
    assert await cache.get_or_set("key", loader.one, **options) == "value 1"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await cache.get_or_set("key", loader.one, **options) == "value 2"


async def test_failing_load_serves_the_expired_value(cache, clock):
    """``stale_if_error`` serves the old value where the load fails; without it the error is raised."""
    await cache.get_or_set("key", Loader().one, 10, stale_if_error=50)
    await cache.get_or_set("other", Loader().one, 10)
    clock.advance(20)
    assert await cache.get_or_set("key", lambda: 1 / 0, 10, stale_if_error=50) == "value 1"
    with pytest.raises(ZeroDivisionError):
        await cache.get_or_set("other", lambda: 1 / 0, 10)


async def test_kept_exception_is_raised_by_hits(cache):
    """``cache_exceptions`` makes an error an answer."""
    calls = []

    def fail():
        calls.append(1)
        raise LoadFailedError

    for _ in range(2):
        with pytest.raises(LoadFailedError):
            await cache.get_or_set("key", fail, cache_exceptions=LoadFailedError)
    assert calls == [1]


async def test_plain_loader_does_not_block_the_loop(cache):
    """A plain ``def`` runs in a thread, a lambda on the loop."""

    def where():
        return threading.current_thread()

    assert await cache.get_or_set("def", where) is not threading.current_thread()
    here = lambda: threading.current_thread()  # noqa: E731, PLW0108 - a plain function would go to a thread
    assert await cache.get_or_set("lambda", here) is threading.current_thread()


async def test_last_caller_that_leaves_cancels_the_load(cache):
    """A load that nobody waits for any more is cancelled, and the next caller loads."""
    loader = Loader(Gate())
    for call in (cache.get_or_set("a", loader.one), cache.get_or_set_many(["a", "b"], loader.many)):
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    loader.gate.open()
    await asyncio.sleep(0)
    assert cache.tasks == set()
    assert await cache.get_or_set_many(["a", "b"], loader.many) == {"a": "value of a", "b": "value of b"}


# -- many -----------------------------------------------------------------------------------------------------------


async def test_missing_keys_are_loaded_in_one_call(cache):
    """The loader is given what is missing, as it was written, each key once; the result has all keys in their order."""
    loader = Loader()
    cache.put("b", "stored")
    keys = [("user", 1), "b", "c", ("user", 1), "c"]
    assert await cache.get_or_set_many(keys, loader.many) == {
        ("user", 1): "value of ('user', 1)",
        "b": "stored",
        "c": "value of c",
    }
    assert loader.calls == [[("user", 1), "c"]]
    assert await cache.get_or_set_many(keys, loader.many) == await cache.get_or_set_many(keys, loader.many)
    assert len(loader.calls) == 1
    assert await cache.get_or_set_many([], loader.many) == {}


async def test_same_key_in_two_forms_is_loaded_once(cache):
    """Both forms are in the result, with the one value."""
    loader = Loader()
    found = await cache.get_or_set_many(["user:1", ("user", 1)], loader.many)
    assert found == {"user:1": "value of user:1", ("user", 1): "value of user:1"}
    assert loader.calls == [["user:1"]]


async def test_sequence_answers_in_order(cache):
    """A loader may return one result a key, in their order."""
    assert await cache.get_or_set_many(["a", "b"], lambda keys: [key.upper() for key in keys]) == {"a": "A", "b": "B"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["one"], "{}() returned 1 results for 2 keys: return one a key, in their order, or a mapping {{key: value}}"),
        ("ab", "{}() must return a mapping {{key: value}} or a sequence with a value for each key, got 'ab'"),
        (None, "{}() must return a mapping {{key: value}} or a sequence with a value for each key, got None"),
    ],
)
async def test_answer_that_does_not_fit_fails_all_its_keys(cache, given, message):
    """Where no result can be told from another nothing is stored, and the error says what came."""

    def loader(_):
        return given

    with pytest.raises(BatchResultError) as caught:
        await cache.get_or_set_many(["a", "b"], loader)
    assert str(caught.value) == message.format(loader.__qualname__)
    assert (cache.peek("a"), cache.peek("b")) == (MISSING, MISSING)


async def test_key_without_result_fails_alone(cache):
    """A key that the mapping lacks, or whose result is an exception, fails by itself; the others are stored."""
    problem = LoadFailedError("b")

    async def loader(keys):
        return {"a": 1, "b": problem}

    found = await cache.get_or_set_many(["a", "b", "c"], loader, on_error="collect")
    assert [(o.key, o.status, o.value) for o in found.values()] == [
        ("a", "ok", 1), ("b", "error", None), ("c", "error", None)
    ]  # fmt: skip
    assert found["b"].exception is problem
    assert str(found["c"].exception) == f"{loader.__qualname__}() returned no result for the key 'c'"
    with pytest.raises(MissingKeyError):
        await cache.get_or_set_many(["a", "c"], loader)
    assert [cache.peek(key) for key in "abc"] == [1, MISSING, MISSING]


async def test_each_key_has_tags_of_its_own(cache):
    """``tags`` may be a function of the key."""
    await cache.get_or_set_many(["a", "b"], Loader().many, tags=lambda key: f"tag:{key}")
    await cache.get_or_set("c", Loader().one, tags=("x", "{y}"))
    cache.put("d", 1, tags="x")
    assert [cache.explain(key).tags for key in "abcd"] == [("tag:a",), ("tag:b",), ("x", "{y}"), ("x",)]


@pytest.mark.parametrize(
    ("keys", "options", "error", "message"),
    [
        ("abc", {}, TypeError, "get_or_set_many() takes an iterable of keys, got one: ['abc']?"),
        (["a"], {"on_error": "group"}, ValueError, "on_error must be 'raise' or 'collect', got 'group'"),
    ],
)
async def test_misuse_of_many_is_said_in_words(cache, keys, options, error, message):
    """What cannot be meant is refused."""
    with pytest.raises(error) as caught:
        await cache.get_or_set_many(keys, Loader().many, **options)
    assert str(caught.value) == message


def test_cache_without_such_keys_shows_none():
    """The figures name `get_or_set` only where it was used."""
    cache = Cache()
    assert cache.stats().functions == ()
    cache.put("a", 1)
    assert [stats.name for stats in cache.stats().functions] == ["get_or_set"]
