"""What was cleared is never served again, and no load that began before can bring it back: F11, F12, F15, F16."""

import asyncio
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfan.caching import MISSING, Cache, CacheLevel, escape, key_text
from asyncfan.caching.calls.keys import untyped
from asyncfan.caching.clears import cleared
from asyncfan.caching.clears.patterns import MAX_FENCES, Fences, Pattern
from asyncfan.context import scope
from asyncfan.testing import Gate, ManualClock


@pytest.fixture(params=["scan", "fence"])
def path(request, monkeypatch):
    """Both ways of clearing: looking at every entry at once, and leaving a fence."""
    if request.param == "fence":
        monkeypatch.setattr(cleared, "SCAN_LIMIT", 0)
    return request.param


CLEARS = {
    "by pattern": lambda cache, _: cache.clear("p:1*"),
    "by exact pattern": lambda cache, _: cache.clear("p:1"),
    "by inner wildcard": lambda cache, _: cache.clear("*:1"),
    "by prefix": lambda cache, _: cache.clear_prefix("p", 1),
    "by first segment": lambda cache, _: cache.clear_prefix("p"),
    "all": lambda cache, _: cache.clear_all(),
    "by call": lambda _, f: f.invalidate(1),
    "by function": lambda _, f: f.cache_clear(),
}
every_clear = pytest.mark.parametrize("clear", CLEARS.values(), ids=CLEARS)


@every_clear
async def test_clear_before_the_first_use_clears_nothing(cache, clear):
    """Nothing need have been called before."""
    f = cache.cache_function(key_prefix="p", tags="n:{n}")(lambda n: n)
    for first in (cache.clear_tags("n:1"), clear(cache, f)):
        assert await first == 0


# -- no stale value -------------------------------------------------------------------------------------------------


@every_clear
async def test_cleared_entry_is_gone_when_clear_returns(cache, path, clear):
    """Without any await, the next call loads anew."""
    loads = []

    @cache.cache_function(key_prefix="p")
    async def f(a):
        loads.append(a)
        return len(loads)

    await f(1)
    clear(cache, f)
    assert await f(1) == 2


@every_clear
def test_cleared_entry_cannot_be_peeked_at(cache, path, clear):
    """What is no longer served is no longer shown."""
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    f(1)
    clear(cache, f)
    assert f.peek(1) is MISSING


@every_clear
async def test_load_that_began_before_a_clear_is_not_stored(cache, path, clear):
    """The load's own callers get what it gives, but nobody after them (F11)."""
    gates, loads = [Gate(), Gate()], []

    @cache.cache_function(key_prefix="p")
    async def f(a):
        number = len(loads)
        loads.append(a)
        await gates[number].enter()
        return number

    old = asyncio.create_task(f(1))
    await gates[0].reached()
    clear(cache, f)
    gates[0].open()
    assert await old == 0
    gates[1].open()
    assert await f(1) == 1


@every_clear
async def test_load_that_began_before_a_clear_is_not_joined(cache, path, clear):
    """Who comes after a clear gets a load of his own, though the old one still runs (F11)."""
    gates, loads = [Gate(), Gate()], []

    @cache.cache_function(key_prefix="p")
    async def f(a):
        number = len(loads)
        loads.append(a)
        await gates[number].enter()
        return number

    old = asyncio.create_task(f(1))
    await gates[0].reached()
    clear(cache, f)
    new = asyncio.create_task(f(1))
    await gates[1].reached()
    gates[1].open()
    assert (await new, old.done()) == (1, False)
    gates[0].open()
    assert (await old, await f(1)) == (0, 1)


@pytest.mark.parametrize("ending", ["returns", "fails", "is cancelled"])
async def test_old_load_takes_nothing_from_the_new_entry(cache, path, ending):
    """However a load from before a clear ends, the newer entry and the newer load stay (F12)."""
    gates, loads = [Gate() for _ in range(3)], []

    @cache.cache_function(key_prefix="p")
    async def f(a):
        number = len(loads)
        loads.append(a)
        await gates[number].enter()
        if number == 0 and ending == "fails":
            raise ValueError("old")
        return number

    old = asyncio.create_task(f(1))
    await gates[0].reached()
    cache.clear("p:*")
    new = asyncio.create_task(f(1))
    await gates[1].reached()
    if ending == "is cancelled":
        old.cancel()
    gates[0].open()
    await asyncio.wait([old])
    joined = asyncio.create_task(f(1))
    await asyncio.sleep(0)
    gates[1].open()
    assert (await new, await joined, await f(1), len(loads)) == (1, 1, 1, 2)
    assert old.cancelled() or old.exception() or old.result() == 0


async def test_clear_leaves_what_it_does_not_mean(cache, path):
    """Entries and loads beside the pattern stay."""
    gate = Gate()

    @cache.cache_function(key_prefix="p")
    async def f(a):
        if a == 2:
            await gate.enter()
        return object()

    stored = await f(3)
    loading = asyncio.create_task(f(2))
    await gate.reached()
    await cache.clear("p:1*")
    gate.open()
    assert await f(3) is stored
    assert await f(2) is await loading


@every_clear
async def test_value_put_after_a_clear_stays(cache, path, clear):
    """A clear means what was before it only."""
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    f(1)
    clear(cache, f)
    f.put("new", 1)
    await cache.clear("p:other*")
    assert f(1) == "new"


# -- counts ---------------------------------------------------------------------------------------------------------


@every_clear
async def test_awaited_clear_says_how_many_went(cache, path, clear):
    """The count is that of all that was named, and they are gone from memory."""
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    for n in (1, 10, 2):
        f(n)
    alive = {n for n in (1, 10, 2) if f.peek(n) is not MISSING}
    cleared = clear(cache, f)
    gone = {n for n in alive if f.peek(n) is MISSING}
    assert await cleared == await cleared == cleared.count == len(gone)
    assert len(cache) == 3 - len(gone)


async def test_count_is_right_when_fenced_entries_were_not_looked_at():
    """Awaiting sweeps to the end, and counts each entry once."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    for n in range(5_000):
        f(n)
    cleared = cache.clear("p:1*")
    assert cleared.count == 0
    assert await cleared == 1 + 10 + 100 + 1_000
    assert len(cache) == sum(len(op.table) for op in cache.operations) == 5_000 - 1_111


async def test_count_is_right_when_a_sweep_was_under_way():
    """What an unfinished round had already passed by is looked at again."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    for n in range(5_000):
        f(n)
    with cache.store.lock:
        assert not cache.store.sweep(4_000)
    assert await cache.clear("p:1*") == 1_111
    assert sum(len(op.table) for op in cache.operations) == 5_000 - 1_111


async def test_clear_all_counts_at_once():
    """Clearing everything knows its count without looking."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    for n in range(5_000):
        f(n)
    assert (cache.clear_all().count, len(cache)) == (5_000, 0)


def test_cleared_reads_well(cache):
    """What a clear returns prints its count, and is that number."""
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    f(1)
    cleared = cache.clear("p*")
    assert (repr(cleared), int(cleared)) == ("<Cleared 1 entries>", 1)


# -- the pattern language ---------------------------------------------------------------------------------------------


def keys_left(cache, pattern, texts):
    """Which of the keys ``user:profile:text`` a clear leaves."""
    f = cache.cache_function(key_prefix="user:profile")(lambda a: a)
    for text in texts:
        f(text)
    cache.clear(pattern)
    return [text for text in texts if f.peek(text) is not MISSING]


def test_lines_of_the_guide_work(cache):
    """``cache.clear(f"user:profile:{user_id}*")`` and ``cache.clear("dashboard:summary*")``, without await."""
    user_id = 42
    profile = cache.cache_function(expire=60, key_prefix="user:profile")(lambda a: a)
    summary = cache.cache_function(key_prefix="dashboard:summary")(lambda: 1)
    other = cache.cache_function(key_prefix="dashboard:sum")(lambda: 1)
    profile(42), profile(43), summary(), other()
    cache.clear(f"user:profile:{user_id}*")
    cache.clear("dashboard:summary*")
    assert [f.cache_info().currsize for f in (profile, summary, other)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("user:profile:42", [420, "4", "a42"]), ("user:profile:42*", ["4", "a42"]), ("user:profile:4*", ["a42"]), ("user:*", []),
        ("user:profile:*2", [420, "4"]), ("*42", [420, "4"]), ("*:4*", ["a42"]), ("user*:*4*2", [420, "4"]), ("user*", []),
        ("**4**", []), ("user:profile", [42, "42", 420, "4", "a42"]), ("User*", [42, "42", 420, "4", "a42"]), ("*profile*0", [42, "42", "4", "a42"]),
    ],
)  # fmt: skip
def test_star_stands_for_anything(cache, path, pattern, left):
    """A ``*`` is any number of any characters, colons too; nothing else is special; 42 and "42" look alike."""
    assert keys_left(cache, pattern, [42, "42", 420, "4", "a42"]) == left


@pytest.mark.parametrize(
    "hostile", ["?", "[a]", ".", "a.c", "a\\b", "^a$", "a+", "(a)", "a|b", "é", " ", "a=b", "~s", "\n", "%", "100%"]
)
def test_other_characters_stand_for_themselves(cache, path, hostile):
    """No character of another pattern language means anything: it names the value that has it."""
    assert keys_left(cache, f"user:profile:{hostile}", ["abc", hostile, "x"]) == ["abc", "x"]


def test_argument_with_a_star_is_only_an_argument(cache, path):
    """A stored value with wildcards in it is cleared by its escaped text, which is nobody else's."""
    texts = ["*", "a*", "a:b", "ab", "a"]
    assert keys_left(cache, f"user:profile:{escape('a*')}", texts) == ["*", "a:b", "ab", "a"]


def test_colon_in_an_argument_is_no_delimiter(cache, path):
    """``a:b`` in a pattern is two segments, escaped it is one value."""
    assert keys_left(cache, "user:profile:a:b", ["a:b"]) == ["a:b"]
    assert keys_left(cache, f"user:profile:{escape('a:b')}", ["a:b"]) == []


def test_clear_reaches_every_function_of_a_prefix(cache):
    """Functions that share a prefix, or have a longer one, are cleared together."""
    functions = [
        cache.cache_function(key_prefix=prefix)(lambda a: a) for prefix in ("user", "user", "user:profile", "users")
    ]
    for f in functions:
        f(1)
    assert cache.clear("user:*").count == 3
    assert [f.cache_info().currsize for f in functions] == [0, 0, 0, 1]


async def test_tenant_is_cleared_across_functions(cache, path):
    """A pattern may name a tenant, of all functions."""
    functions = [cache.cache_function(key_prefix=prefix, cache_level=CacheLevel.HIGH)(lambda a: a) for prefix in "fg"]
    for tenant in ("acme", "acme2", "globex"):
        with scope(tenant=tenant, principal="ann"):
            for f in functions:
                f(1)
    assert await cache.clear("*:@tenant/acme:*") == 2


# -- clear_prefix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        (("user:profile", 42), [420, "4", "a:b"]), (("user", "profile", 42), [420, "4", "a:b"]), (("user:profile", "4"), [42, "42", 420, "a:b"]),
        (("user",), []), (("user:prof",), [42, "42", 420, "4", "a:b"]), (("user:profile", "a:b"), [42, "42", 420, "4"]),
        (("user:profile", "a"), [42, "42", 420, "4", "a:b"]), (("user:profile", "*"), [42, "42", 420, "4", "a:b"]),
    ],
)  # fmt: skip
def test_clear_prefix_is_exact_by_segment(cache, path, parts, left):
    """42 is not 420, and what is in a segment never reaches into the next."""
    f = cache.cache_function(key_prefix="user:profile")(lambda a: a)
    texts = [42, "42", 420, "4", "a:b"]
    for text in texts:
        f(text)
    cache.clear_prefix(*parts)
    assert [text for text in texts if f.peek(text) is not MISSING] == left


def test_clear_prefix_drops_all_below(cache, path):
    """The key itself and every longer one go."""
    f = cache.cache_function(key_prefix="p")(lambda a, b: (a, b))
    for a in (1, 10):
        for b in (1, 2):
            f(a, b)
    cache.clear_prefix("p", 1)
    assert [f.peek(a, b) is MISSING for a in (1, 10) for b in (1, 2)] == [True, True, False, False]


@pytest.mark.parametrize("long", ["x" * 500, list(range(200)), {"a": "b" * 300}])
def test_clear_prefix_finds_long_values(cache, path, long):
    """A value that stands in the key by its digest is cleared all the same, and only it."""
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    other = [*long, "y"] if not isinstance(long, str) else long + "y"
    f(long)
    f(other)
    cache.clear_prefix("p", long)
    assert (f.peek(long) is MISSING, f.peek(other) is MISSING) == (True, False)


@pytest.mark.parametrize("prefix", ["user/v1", "a b", "é", "50%", "x=y", "a~b"])
def test_clear_prefix_takes_the_prefix_as_it_was_given(cache, path, prefix):
    """The first part is the text that stood at the decoration, whatever is in it."""
    f = cache.cache_function(key_prefix=prefix)(lambda a: a)
    f(1)
    cache.clear_prefix(prefix)
    assert f.peek(1) is MISSING


# -- laws -----------------------------------------------------------------------------------------------------------------

texts = st.text(alphabet="ab:*%.[~é", max_size=6)


def means(pattern, text):
    """A reference matcher: by hand, without regular expressions."""

    @functools.cache
    def at(i, j):
        if i == len(pattern):
            return j == len(text)
        if pattern[i] == "*":
            return at(i + 1, j) or (j < len(text) and at(i, j + 1))
        return j < len(text) and pattern[i] == text[j] and at(i + 1, j + 1)

    return at(0, 0)


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), st.lists(texts, min_size=1, max_size=3))
def test_patterns_mean_what_the_reference_means(pieces, values):
    """Over hostile texts, a pattern of escaped pieces and stars agrees with the matcher by hand."""
    pattern = "*".join(map(escape, pieces))
    text = ":".join(untyped(key_text(value)) for value in values)
    if pattern.strip("*"):
        assert Pattern.parse(pattern).matches(text) == means(pattern, text)


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=3))
def test_scan_and_fence_agree(pieces, values):
    """An entry and a load that a fence was put up against are cleared exactly if the pattern means them."""
    pattern_text = "*".join(map(escape, pieces))
    if not pattern_text.strip("*"):
        return
    pattern, text = Pattern.parse(pattern_text), ":".join(untyped(key_text(value)) for value in values)
    fences = Fences()
    fences.add(1, pattern)
    assert fences.cleared_since(0, lambda: text) == pattern.matches(text)
    assert not fences.cleared_since(1, lambda: text)
    if pattern.matches(text):
        assert pattern.touches(text)
    if pattern.covers(text):
        assert pattern.matches(text)
        assert pattern.matches(text + ":more")


def test_too_many_fences_clear_too_much_never_too_little():
    """The memory for fences is bounded: beyond, everything older counts as cleared."""
    fences = Fences()
    for n in range(1, MAX_FENCES + 2):
        fences.add(n, Pattern.parse(f"p:{n}"))
    assert len(fences) <= MAX_FENCES
    assert fences.cleared_since(0, lambda: "p:1")
    assert not fences.cleared_since(MAX_FENCES + 1, lambda: "p:1")


async def test_fences_are_forgotten_after_a_sweep(monkeypatch):
    """Once every entry was looked at, nothing is remembered, and what survived still does."""
    monkeypatch.setattr(cleared, "SCAN_LIMIT", 0)
    cache = Cache(clock=ManualClock())
    f = cache.cache_function(key_prefix="p")(lambda a: a)
    for n in range(100):
        f(n)
    await cache.clear("p:1*")
    await cache.clear("p:2*")
    await cache.clear("p:3*")
    (op,) = cache.operations
    assert len(op.fences) <= 2
    assert {n for n in range(100) if f.peek(n) is not MISSING} == {n for n in range(100) if str(n)[0] not in "123"}


async def test_invalidating_calls_of_a_large_cache_leaves_no_fence():
    """Where no scope is declared, ``invalidate`` drops one entry and nothing else has to be looked at."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(key_prefix="p", cache_level=CacheLevel.LOW)(lambda a: a)
    for n in range(cleared.SCAN_LIMIT + 10):
        f(n)
    (op,) = cache.operations
    before = op.seal
    for n in range(10):
        assert f.invalidate(n).count == 1
    assert op.seal is before


# -- cost -----------------------------------------------------------------------------------------------------------------


class Counting(dict):
    """A table that counts how often an entry of it is looked at by walking it."""

    walked = 0

    def items(self):
        for pair in super().items():
            self.walked += 1
            yield pair


@pytest.fixture
def large():
    """A cache of 10^5 entries, its operation and its function."""
    cache = Cache(maxsize=None, clock=ManualClock())
    f = cache.cache_function(key_prefix="p", expire=None)(lambda a: a)
    for n in range(100_000):
        f.put(n, n)
    (op,) = cache.operations
    return cache, op, f


@pytest.mark.parametrize(
    "clear", [CLEARS[name] for name in ("by pattern", "by inner wildcard", "by prefix", "all", "by function")]
)
def test_clear_looks_at_no_more_than_the_limit(large, clear, monkeypatch):
    """Over 10^5 entries a clear spells not one key (F16)."""
    cache, op, f = large
    spelled = []
    text = op.text
    monkeypatch.setattr(op, "text", lambda key: spelled.append(key) or text(key))
    clear(cache, f)
    assert len(spelled) <= cleared.SCAN_LIMIT


async def test_sweep_after_a_clear_goes_in_slices(large, monkeypatch):
    """Between two turns of the loop at most so many entries are looked at as take 1 ms (F16)."""
    from asyncfan.caching.memory.store import WORK_SLICE

    cache, _, _ = large
    slices = []
    work = cache.store.work
    monkeypatch.setattr(cache.store, "work", lambda steps: slices.append(steps) or work(steps))
    assert await cache.clear("p:9*") == 11_111
    assert max(slices) <= 2 * WORK_SLICE
    assert len(slices) >= 100_000 / WORK_SLICE


def test_pattern_of_many_stars_is_matched_in_one_pass():
    """No pattern makes the matcher try all the ways in which it might fit."""
    pattern = Pattern.parse("a*" * 40 + "b")
    assert not pattern.matches("a" * 200)
    assert pattern.matches("a" * 200 + "b")


@pytest.mark.parametrize("argument", ["1", 1, [1, "2"], "a~b (c)", None])
async def test_text_of_a_key_clears_that_key(argument):
    """What ``cache_key`` returns can be handed to ``clear`` as it is."""
    cache = Cache()

    @cache.cache_function(key_prefix="f")
    async def f(x):
        return x

    await f(argument)
    cache.clear(f.cache_key(argument))
    assert f.peek(argument) is MISSING


def test_many_fences_cost_no_entry_that_they_do_not_mean(monkeypatch):
    """Ten thousand clears of single parts leave all other entries alone, however large the cache is."""
    monkeypatch.setattr("asyncfan.caching.clears.cleared.SCAN_LIMIT", 100)
    cache = Cache()

    @cache.cache_function(key_prefix="f")
    def f(x):
        return x

    for x in range(3_000):
        f.put(x, x)
    for x in range(12_000):
        cache.clear_prefix("f", -x - 1)
    assert sum(f.peek(x) == x for x in range(3_000)) == 3_000


def test_use_noted_late_does_not_hide_an_entry_from_the_sweep(monkeypatch):
    """An entry used before a clear, and moved by that use in the middle of a round, is not forgotten with the fence."""
    monkeypatch.setattr("asyncfan.caching.clears.cleared.SCAN_LIMIT", 0)
    monkeypatch.setattr("asyncfan.caching.memory.store.STORE_STEPS", 0)
    cache = Cache()

    @cache.cache_function(key_prefix="f")
    def f(x):
        return x

    for x in "abc":
        f.put(x, x)
    cache.store.sweep(2)  # a round: a and b have been looked at
    f("b")
    cache.clear("f:z*")
    while not cache.store.sweep(1):
        pass
    cache.store.sweep(1)  # the next round: a has been looked at
    f.put("d", "d")  # and only now b's use moves it behind the end of the round
    while not cache.store.sweep(1):
        pass
    assert f.peek("b") == "b"
