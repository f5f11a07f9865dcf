"""`batched`: callers ask for one key, the function is asked for many."""

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import typing
import weakref

import pytest

from asyncfan import Limiter, amap, batched
from asyncfan.batching import Answers
from asyncfan.context import deadline_scope, scope, time_left
from asyncfan.exceptions import BatchResultError, MissingKeyError, RecursiveLoadError
from asyncfan.testing import Gate, run


def loader(**options):
    """Return a loader that multiplies by 10 after a second, and the list of the keys of each call."""
    calls = []

    @batched(**options)
    async def load(keys):
        calls.append(keys)
        await asyncio.sleep(1)
        return [key * 10 for key in keys]

    return load, calls


async def test_callers_are_asked_for_together():
    """Each caller gets its own result, and all keys travel in one call, equal ones once."""
    load, calls = loader()
    assert await asyncio.gather(load(1), load(2), load(1)) == [10, 20, 10]
    assert calls == [[1, 2]]


async def test_bare_and_called_decorators_do_the_same():
    """`@batched` needs no parentheses."""

    @batched
    async def load(keys):
        return {key: -key for key in keys}

    assert await load(3) == -3
    assert load.__name__ == "load"
    assert load.__doc__ is None
    assert inspect.iscoroutinefunction(load.__wrapped__)
    assert list(inspect.signature(load).parameters) == ["key"]


async def test_a_mapping_is_told_apart_by_key():
    """The order of a mapping means nothing, and what nobody asked for is ignored."""

    @batched
    async def load(keys):
        return {key: f"user {key}" for key in [9, *reversed(keys)]}

    assert await asyncio.gather(load(1), load(2)) == ["user 1", "user 2"]


async def test_many_keeps_order_and_asks_once_for_equal_keys():
    """`many` returns one result a key, in order, duplicates too."""
    load, calls = loader(max_batch_size=2)
    assert await load.many([3, 1, 3, 2]) == [30, 10, 30, 20]
    assert await load.many([]) == []
    assert calls == [[3, 1], [2]]


async def test_many_raises_the_first_failure_in_order_when_all_have_ended():
    """A caller of many keys gets the error of the first that failed; the batches were not cut short."""
    ended = []

    @batched(max_batch_size=1)
    async def load(keys):
        await asyncio.sleep(4 - keys[0])
        ended.extend(keys)
        raise ValueError(keys[0])

    with pytest.raises(ValueError, match="1"):
        await load.many([1, 2, 3])
    assert ended == [3, 2, 1]


async def test_a_full_batch_is_sent_at_once():
    """`max_batch_size` keys need no dispatch rule."""
    load, calls = loader(max_batch_size=2, max_delay=5)
    assert await asyncio.gather(*map(load, range(5))) == [0, 10, 20, 30, 40]
    assert calls == [[0, 1], [2, 3], [4]]


async def test_weights_bound_a_batch():
    """A key for which there is no room begins the next batch."""
    load, calls = loader(weight=lambda key: key, max_batch_weight=10)
    await asyncio.gather(*map(load, [4, 5, 2, 10, 1]))
    assert calls == [[4, 5], [2], [10], [1]]


async def test_a_key_that_is_too_heavy_is_refused_alone():
    """The others of the batch get their results."""
    load, _ = loader(weight=lambda key: key, max_batch_weight=10)
    found = await asyncio.gather(load(1), load(11), load(2), return_exceptions=True)
    assert (found[0], found[2]) == (10, 20)
    assert str(found[1]) == "key 11 weighs 11, more than a whole batch may: max_batch_weight=10"


async def test_keys_are_grouped_by_batch_key():
    """Keys of different groups never travel together."""
    load, calls = loader(batch_key=lambda key: key % 2)
    await asyncio.gather(*map(load, range(4)))
    assert calls == [[0, 2], [1, 3]]


async def test_key_says_which_keys_are_equal():
    """The function gets the key as it came; a mapping's keys are what `key` returned."""
    calls = []

    @batched(key=lambda query: query["id"])
    async def load(queries):
        calls.append(queries)
        return {1: "one"}

    assert await asyncio.gather(load({"id": 1}), load({"id": 1, "more": 2})) == ["one", "one"]
    assert calls == [[{"id": 1}]]


async def test_a_load_that_runs_is_joined():
    """A caller who comes while an equal key is on its way waits for that."""
    load, calls = loader()
    first = asyncio.ensure_future(load(1))
    await asyncio.sleep(0.5)
    assert await load(1) == 10
    assert await first == 10
    assert calls == [[1]]
    await load(1)  # nothing is kept without a scope
    assert calls == [[1], [1]]


async def test_a_slow_batch_holds_up_no_other():
    """The next batch is sent while the first one runs (F48)."""
    load, calls = loader()
    first = asyncio.ensure_future(load(1))
    await asyncio.sleep(0.5)
    await load(2)
    assert asyncio.get_running_loop().time() == 1.5
    assert await first == 10
    assert calls == [[1], [2]]


async def test_a_limiter_bounds_the_calls():
    """With a limiter of one, batches take turns."""
    load, _ = loader(limiter=Limiter(max_concurrency=1), max_batch_size=1)
    await asyncio.gather(*map(load, range(3)))
    assert asyncio.get_running_loop().time() == 3


async def test_the_batch_acts_for_no_caller():
    """It sees neither the first caller's scope, deadline nor context variables."""

    @batched
    async def load(keys):
        from asyncfan import current_scope

        return [(dict(current_scope()), time_left()) for _ in keys]

    with scope(principal="ann"), deadline_scope(5):
        assert await load(1) == ({}, None)


class Users:
    """Have a loader for each instance."""

    def __init__(self, name):
        self.name = name
        self.calls = []

    @batched
    async def get(self, ids):
        """Return users."""
        self.calls.append(ids)
        return [f"{self.name} {i}" for i in ids]


async def test_instances_have_loaders_of_their_own():
    """Keys of two instances do not travel together, nor are they joined."""
    a, b = Users("a"), Users("b")
    assert await asyncio.gather(a.get(1), b.get(1), a.get(2)) == ["a 1", "b 1", "a 2"]
    assert (a.calls, b.calls) == ([[1, 2]], [[1]])
    assert await a.get.many([1, 2]) == ["a 1", "a 2"]
    assert await Users.get(a, 3) == "a 3"
    assert await amap(a.get, [5, 6]) == ["a 5", "a 6"]
    assert (a.get.__name__, a.get.__wrapped__) == ("get", Users.__dict__["get"].__wrapped__)
    assert [list(inspect.signature(f).parameters) for f in (a.get, Users.get)] == [["key"], ["self", "key"]]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])
def test_a_copy_is_the_same_function(again):
    """What is copied or sent along with an object that has it still loads in the same batches, as any function."""
    assert again(Users.get) is Users.get
    users = Users("a")
    assert again(vars(users) | {"get": users.get})["get"].__name__ == "get"


def test_no_annotations_but_those_of_its_own():
    """Whoever resolves annotations, as pydantic does, finds none of the function of many keys."""
    assert [typing.get_type_hints(f) for f in (Users.get, Users("a").get)] == [{}, {}]


async def test_an_instance_is_not_kept_alive():
    """When its calls have ended, nothing refers to it."""
    users = Users("a")
    seen = weakref.ref(users)
    await users.get(1)
    await asyncio.sleep(0)
    del users
    assert seen() is None


async def test_an_instance_lives_while_it_is_called():
    """A call is all that keeps a temporary alive."""
    assert await Users("a").get(1) == "a 1"


async def test_static_methods_are_functions():
    """Above or below `staticmethod`, the function takes the keys alone."""

    class Both:
        @staticmethod
        @batched
        async def above(keys):
            return keys

        @batched
        @staticmethod
        async def below(keys):
            return keys

    assert [await Both.above(1), await Both().below(2)] == [1, 2]


async def test_a_missing_key_is_that_keys_error():
    """A mapping without the key raises MissingKeyError, a KeyError, for its callers only."""

    @batched
    async def load(keys):
        return {1: "one"}

    found = await asyncio.gather(load(1), load(2), return_exceptions=True)
    assert found[0] == "one"
    assert isinstance(found[1], MissingKeyError)
    assert isinstance(found[1], KeyError)
    assert (str(found[1]), found[1].key) == (
        "load() returned no result for the key 2",
        2,
    )


async def test_an_exception_among_the_results_is_its_keys_own():
    """The other keys get their values."""

    @batched
    async def load(keys):
        return [KeyError(key) if key == 2 else key for key in keys]

    found = await asyncio.gather(*map(load, [1, 2, 3]), return_exceptions=True)
    assert (found[0], type(found[1]), found[2]) == (1, KeyError, 3)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (["a", "b"], "load() returned 2 results for 3 keys: ['a', 'b'] for [1, 2, 3]"),
        (
            "abc",
            "load() returned str, neither a mapping by key nor a sequence as long as the keys: 'abc' for [1, 2, 3]",
        ),
        (
            None,
            "load() returned NoneType, neither a mapping by key nor a sequence as long as the keys: None for [1, 2, 3]",
        ),
        (
            {1, 2},
            "load() returned set, neither a mapping by key nor a sequence as long as the keys: {1, 2} for [1, 2, 3]",
        ),
    ],
)
async def test_a_result_that_does_not_answer_is_everybodys_error(result, message):
    """Who the results belong to is unknown: both sides are quoted to all callers of the batch."""

    @batched
    async def load(keys):
        return result

    found = await asyncio.gather(*map(load, [1, 2, 3]), return_exceptions=True)
    assert [type(e) for e in found] == [BatchResultError] * 3
    assert str(found[0]) == message


async def test_a_generator_or_coroutine_as_result_is_refused_quietly():
    """It is closed, so that it does not warn, and everybody gets the error."""

    async def fetch(keys):
        return keys

    @batched
    async def forgot_await(keys):
        return fetch(keys)

    @batched
    async def generates(keys):
        return (key for key in keys)

    with pytest.raises(BatchResultError, match=r"forgot_await\(\) returned coroutine, neither"):
        await forgot_await(1)
    with pytest.raises(BatchResultError, match=r"generates\(\) returned generator, neither"):
        await generates(1)


async def test_a_failed_batch_fails_all_its_callers_and_nobody_later():
    """All get the function's own exception; the next call asks anew."""
    fail = [True]

    @batched
    async def load(keys):
        if fail:
            raise ConnectionError("down")
        return keys

    found = await asyncio.gather(load(1), load(2), return_exceptions=True)
    assert [type(e) for e in found] == [ConnectionError] * 2
    fail.clear()
    assert await load(1) == 1


async def test_an_exception_for_a_thousand_callers_grows_no_longer():
    """Its traceback has the same depth for the last caller as for the first, and it is freed with the last reference."""
    depths = []

    class NoError(Exception):
        pass

    @batched
    async def load(keys):
        raise NoError

    async def call(key):
        try:
            await load(key)
        except NoError as error:
            trace, depth = error.__traceback__, 0
            while trace is not None:
                trace, depth = trace.tb_next, depth + 1
            depths.append(depth)
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        seen = await asyncio.gather(*(call(i % 50) for i in range(1000)))
        await asyncio.sleep(0)
        assert seen[0]() is None
    finally:
        gc.enable()
    assert set(depths) == {depths[0]}


async def test_an_error_is_freed_whichever_way_it_came():
    """Through `many`, a method, a scope or `on_error="bisect"` too, nothing refers to it afterwards."""

    class NoError(Exception):
        pass

    class Users:
        @batched
        async def get(self, keys):
            raise NoError

    @batched(dispatch="scope", on_error="bisect")
    async def load(keys):
        raise NoError

    async def call(function, key):
        try:
            await function(key)
        except NoError as error:
            return weakref.ref(error)

    async def calls():
        users = Users()
        singly = [await call(users.get, 1), await call(load, 1)]
        several = [await call(users.get.many, [1, 2]), await call(load.many, [1, 2])]
        return [*singly, *several]

    gc.collect()
    gc.disable()
    try:
        seen = await calls()
        async with scope():
            seen += await calls()
        await asyncio.sleep(0)
        assert [error() for error in seen] == [None] * 8
    finally:
        gc.enable()


async def test_bisect_isolates_the_key_that_fails():
    """One bad key of 64 costs at most 12 further calls, and only its caller gets the error."""
    calls = []

    @batched(on_error="bisect")
    async def load(keys):
        calls.append(len(keys))
        if 37 in keys:
            raise ValueError("poison")
        return {key: key for key in keys}

    found = await asyncio.gather(*map(load, range(64)), return_exceptions=True)
    assert [i for i, e in enumerate(found) if e != i] == [37]
    assert str(found[37]) == "poison"
    assert len(calls) <= 1 + 12


async def test_bisect_isolates_several_keys():
    """Every key gets its own result, whichever fail, if any call succeeds early enough."""

    @batched(on_error="bisect", max_batch_size=None)
    async def load(keys):
        if bad := bad_keys.intersection(keys):
            raise ValueError(min(bad))
        return list(keys)

    for bad_keys in ({0}, {99}, {3, 50}, {0, 1, 2}, {17, 18, 64, 65, 98}):
        found = await asyncio.gather(*map(load, range(100)), return_exceptions=True)
        assert {i for i, e in enumerate(found) if e != i} == bad_keys
        assert all(found[i].args == (i,) for i in bad_keys)


@pytest.mark.parametrize(("error", "most"), [(ConnectionError, 1), (TimeoutError, 1), (RuntimeError, 17)])
async def test_bisect_spares_a_backend_that_is_down(error, most):
    """What concerns the backend is not asked again; what may do so only until no call has succeeded for a while."""
    calls = []

    @batched(on_error="bisect")
    async def load(keys):
        calls.append(keys)
        raise error

    found = await asyncio.gather(*map(load, range(100)), return_exceptions=True)
    assert [type(e) for e in found] == [error] * 100
    assert len(calls) <= most


async def test_prime_answers_those_who_wait():
    """Their key is not asked for any more, or the call goes on for the others."""
    load, calls = loader()
    waiting = [asyncio.ensure_future(load(key)) for key in (1, 2)]
    await asyncio.sleep(0)
    load.prime(1, "known")
    assert await waiting[0] == "known"
    await asyncio.sleep(0.5)
    assert calls == [[2]]
    load.prime(2, "known too")
    assert await waiting[1] == "known too"
    await asyncio.sleep(1)
    assert load.stats().running == 0


async def test_prime_without_anybody_waiting_is_nothing():
    """There is no cache: who asks later asks."""
    load, calls = loader()
    load.prime(1, "known")
    assert await load(1) == 10
    assert calls == [[1]]


async def test_clear_lets_nobody_join_what_began_before():
    """Who waits already gets the old load's result; who comes later asks anew."""
    load, calls = loader()
    before = asyncio.ensure_future(load(1))
    await asyncio.sleep(0.5)
    load.clear(1)
    after = asyncio.ensure_future(load(1))
    await asyncio.sleep(0)
    load.clear()  # it has not begun: it stays as it is
    assert await asyncio.gather(before, after, load(1)) == [10, 10, 10]
    assert calls == [[1], [1]]


async def test_an_old_loads_end_does_not_detach_the_new_one():
    """After `clear`, the load that began before takes nothing from the one that replaced it when it ends."""
    load, calls = loader()
    before = asyncio.ensure_future(load(1))
    await asyncio.sleep(0.5)
    load.clear(1)
    after = asyncio.ensure_future(load(1))
    await before
    assert await asyncio.gather(after, load(1)) == [10, 10]
    assert calls == [[1], [1]]


async def test_a_batch_that_ends_takes_nothing_from_the_open_one():
    """Keys that come while one batch ends and another is open travel with the latter."""
    gate, calls = Gate(), []

    @batched
    async def load(keys):
        calls.append(keys)
        if keys == [1]:
            await gate.enter()
        return keys

    first = asyncio.ensure_future(load(1))
    await gate.reached()
    gate.open()
    await asyncio.sleep(0)
    second = asyncio.ensure_future(load(2))
    await first
    assert await asyncio.gather(second, load(3)) == [2, 3]
    assert calls == [[1], [2, 3]]


async def test_a_load_that_waits_for_itself_is_an_error():
    """A key that its own batch waits for raises at once, directly or through another loader, and shows the chain."""

    @batched
    async def direct(keys):
        return [await direct(key) for key in keys]

    @batched
    async def there(keys):
        return [await back(key) for key in keys]

    @batched
    async def back(keys):
        return await there.many(keys)

    with pytest.raises(
        RecursiveLoadError, match=r"^a batched call waits for itself: direct\(\[1\]\) -> direct\(\[1\]\)$"
    ):
        await direct(1)
    with pytest.raises(
        RecursiveLoadError, match=r"^a batched call waits for itself: back\(\[1\]\) -> there\(\[1\]\) -> back\(\[1\]\)$"
    ):
        await there(1)
    assert asyncio.get_running_loop().time() == 0


async def test_a_load_may_use_other_loaders():
    """A function that asks another loader, or its own for other keys, gets results."""

    @batched
    async def fact(keys):
        return [key * await fact(key - 1) if key else 1 for key in keys]

    assert await fact(5) == 120


def test_a_loader_works_from_one_loop_after_the_other():
    """`asyncio.run` twice is no problem."""
    load, calls = loader()
    assert [run(load(1)), run(load(2))] == [10, 20]
    assert calls == [[1], [2]]


def test_a_loop_that_dies_leaves_nothing_behind():
    """A key that was on its way when its loop was closed is asked for by the next loop."""
    gate = []

    @batched
    async def load(keys):
        while gate:
            await asyncio.sleep(1)
        return keys

    gate.append("closed")
    loop = asyncio.new_event_loop()
    task = loop.create_task(load(1))
    loop.run_until_complete(asyncio.sleep(0.01))
    for left in asyncio.all_tasks(loop):
        left._log_destroy_pending = False
    loop.close()
    gate.clear()
    assert run(load(1)) == 1
    assert load.stats().running == 0
    task.get_coro().close()
    del task, left
    gc.collect()


@pytest.mark.real_time
def test_threads_have_loads_of_their_own():
    """Eight threads with a loop each use one loader; each gets its own results."""

    @batched
    async def load(keys):
        await asyncio.sleep(0.001)
        return {key: key for key in keys}

    found = {}

    def work(number):
        found[number] = asyncio.run(load.many(range(1000)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: list(range(1000)) for i in range(8)}
    assert load.loader.queues == {}


@pytest.mark.real_time
async def test_clear_reaches_other_threads():
    """A load that runs in another thread's loop is not joined after `clear` there either."""
    calls = []
    begun, go = threading.Event(), threading.Event()

    @batched
    async def load(keys):
        calls.append(keys)
        begun.set()
        while not go.is_set():
            await asyncio.sleep(0.001)
        return keys

    async def twice():
        first = asyncio.ensure_future(load(1))
        while not cleared.is_set():
            await asyncio.sleep(0.001)
        second = asyncio.ensure_future(load(1))
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(first, second)

    cleared = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(twice(),))
    thread.start()
    await asyncio.to_thread(begun.wait)
    load.clear(1)
    cleared.set()
    await asyncio.to_thread(thread.join)
    assert calls == [[1], [1]]


async def test_stats_count_what_was_done():
    """Batches, keys, failures and joined callers are counted, and `repr` shows what is going on."""
    load, _ = loader()
    first = asyncio.gather(load(1), load(2), load(1))
    await asyncio.sleep(0)
    assert repr(load) == "<batched loader.<locals>.load 2 keys waiting, 0 batches running>".replace(
        "loader.<locals>.", ""
    )
    await asyncio.sleep(0.5)
    assert repr(load.loader) == "<Loader load 0 keys waiting, 1 batches running>"
    await first
    stats = load.stats()
    assert (stats.batches, stats.keys, stats.joined, stats.failed, stats.fill) == (1, 2, 1, 0, 2.0)
    assert stats.run_time.count == 1
    assert str(stats).startswith("1 batches of 2.0 keys, 0 failed, 1 joined, 0 remembered, 0 waiting, 0 running; ran")


async def test_the_seam_asks_for_exactly_these_keys_now():
    """`load_batch` joins nothing, gives one outcome a key, and hands over what was returned besides."""
    gate, calls = Gate(), []

    @batched(max_batch_size=3, weight=lambda key: key, max_batch_weight=9)
    async def load(keys):
        calls.append(keys)
        if 3 in keys:
            raise ValueError("no")
        await gate.enter()
        return {key: key * 10 for key in [*keys, 77] if key != 2}

    other = asyncio.ensure_future(load(1))
    await gate.reached()
    gate.open()
    found = await load.load_batch([1, 2, 10, 5, 6, 3])
    assert isinstance(found, Answers)
    assert [x if isinstance(x, int) else type(x) for x in found] == [
        10,
        MissingKeyError,
        ValueError,
        50,
        ValueError,
        ValueError,
    ]
    assert calls == [[1], [1, 2, 5], [6, 3]]
    assert found.extra == {77: 770}
    assert await other == 10
    assert await load.load_batch([]) == []
    assert await Users("a").get.load_batch([1]) == ["a 1"]
