"""What a cached function is, and what its wrapper offers."""

import asyncio
import copy
import dataclasses
import enum
import functools
import gc
import inspect
import pickle
import re
import threading
import types
import weakref
from typing import Protocol

import pydantic
import pytest

from asyncfan import cache_function
from asyncfan.caching import MISSING, Cache
from asyncfan.testing import Gate


def twin(cache, **options):
    """A cached function, and the list of the arguments of its loads."""
    loads = []

    @cache.cache_function(key_prefix="f", **options)
    async def f(a):
        loads.append(a)
        return [a]

    return f, loads


# -- what the decorator keeps -------------------------------------------------------------------------------------------


def test_bare_and_called_decorators_are_one(cache):
    """The decorator is used with or without parentheses."""

    def f(a):
        return a

    assert [
        decorate(f)(1) for decorate in (cache.cache_function, cache.cache_function(), cache.cache_function(60))
    ] == [1, 1, 1]


def test_options_stand_in_the_seeds_order(cache):
    """Expiry, prefix and level may be given by position."""
    from asyncfan import CacheLevel

    f = cache.cache_function(60, "f", CacheLevel.LOW)(lambda a: a)
    assert f.cache_key(1) == "f:1"


async def test_function_keeps_its_face(cache):
    """Name, docstring, signature, annotations and module stay; the function as it was is ``__wrapped__``."""

    async def f(a: int, *, b: str = "b") -> str:
        """Say it."""
        return f"{a}{b}"

    cached = cache.cache_function(f)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(cached, name) == getattr(f, name)
    assert inspect.signature(cached) == inspect.signature(f)
    assert cached.__wrapped__ is f


def test_kind_of_function_stays(cache):
    """``async def`` stays ``async def``, ``def`` stays ``def``, and both are functions."""

    async def f():
        return 1

    def g():
        return 1

    kinds = [
        (inspect.iscoroutinefunction(cached), inspect.isfunction(cached))
        for cached in map(cache.cache_function, (f, g))
    ]
    assert kinds == [(True, True), (False, True)]


def test_default_prefix_is_module_and_name(cache):
    """Without ``key_prefix`` a key begins with where the function is found."""

    def f(a):
        return a

    module = __name__.replace("<", "")
    assert (
        cache.cache_function(f)
        .cache_key(1)
        .startswith(f"{module}.test_default_prefix_is_module_and_name.%3Clocals%3E.f:1")
    )


def test_two_functions_of_one_name_share_nothing(cache):
    """Closures made by one factory have entries of their own, though their texts are equal (F19)."""

    def make(n):
        @cache.cache_function
        def f(a):
            return a + n

        return f

    one, other = make(1), make(2)
    assert (one(1), other(1), one(1)) == (2, 3, 2)
    assert one.cache_key(1) == other.cache_key(1)


def test_functions_of_two_caches_share_nothing():
    """One function cached twice is loaded twice."""
    calls = []
    one, other = (Cache().cache_function(calls.append) for _ in range(2))
    one(1)
    other(1)
    assert calls == [1, 1]


def test_default_cache_is_behind_the_root_decorator():
    """``asyncfan.cache_function`` belongs to ``asyncfan.cache``."""
    from asyncfan import cache as default

    @cache_function(key_prefix="test_functions:root")
    def f(a):
        return a

    f(1)
    assert default.clear_prefix("test_functions:root").count == 1


async def test_namespace_is_put_before_the_key(clock):
    """A namespace is escaped as one segment."""
    f = Cache(clock=clock, namespace="app:1").cache_function(key_prefix="f")(lambda a: a)
    assert f.cache_key(2) == "app%3A1:f:2"


# -- what is cached -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, False, "", [], ValueError("as a value")])
async def test_any_value_is_cached(cache, value):
    """Nothing that a function returns means "not there": the same object comes back, of the same type (F20)."""
    calls = []

    @cache.cache_function
    async def f():
        calls.append(1)
        return value

    assert (await f() is value, await f() is value, len(calls)) == (True, True, 1)


async def test_exception_is_not_cached(cache):
    """A call that failed is made again."""
    answers = [ValueError("first"), "second"]

    @cache.cache_function
    async def f():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ValueError, match="first"):
        await f()
    assert await f() == "second"


def test_exception_of_a_plain_function_is_not_cached(cache):
    """A ``def`` that failed is called again, and its error passes through unchanged."""
    errors = [KeyError("a"), KeyError("b")]

    @cache.cache_function
    def f():
        raise errors.pop(0)

    for name in "ab":
        with pytest.raises(KeyError, match=name):
            f()


async def test_uncalled_coroutine_makes_no_load(cache):
    """Nothing runs, and nothing is counted, before the call is awaited."""
    f, loads = twin(cache)
    f(1).close()
    assert (loads, f.cache_info()[:2]) == ([], (0, 0))


# -- copies -----------------------------------------------------------------------------------------------------------------


async def test_same_object_is_handed_out_by_default(cache):
    """Without ``copy`` all callers share one object."""
    f, _ = twin(cache)
    assert await f(1) is await f(1)


@pytest.mark.parametrize("copy", ["shallow", "deep"])
async def test_copies_keep_callers_apart(cache, copy):
    """The first caller, the later ones, one that peeks and one that refreshes: nobody's changes reach another (F21)."""
    f, _ = twin(cache, copy=copy)
    for get in (f, f, f.refresh):
        found = await get(1)
        assert found == [1]
        found.append("mine")
    f.peek(1).append("mine")
    assert await f(1) == [1]


async def test_deep_copies_go_all_the_way(cache):
    """A shallow copy shares what is inside, a deep one nothing."""
    shallow, deep = (cache.cache_function(copy=copy)(lambda: [[1]]) for copy in ("shallow", "deep"))
    assert shallow()[0] is shallow()[0]
    assert deep()[0] is not deep()[0]


async def test_joined_callers_get_copies_of_their_own(cache):
    """Callers of one load are kept apart as well."""
    gate = Gate()

    @cache.cache_function(copy="shallow")
    async def f():
        await gate.enter()
        return []

    calls = [asyncio.create_task(f()) for _ in range(3)]
    await gate.reached()
    gate.open()
    found = await asyncio.gather(*calls)
    assert len({id(value) for value in found}) == 3


async def test_put_leaves_every_name_to_the_function(cache):
    """A parameter may have the name of one of its own."""

    @cache.cache_function
    async def f(value, self=0):
        return value

    f.put("put", value=1, self=2)
    assert f.peek(1, 2) == "put"


async def test_put_stores_a_copy(cache):
    """What was put is not changed by whoever put it."""
    f, _ = twin(cache, copy="shallow")
    value = [1]
    f.put(value, 1)
    value.append("mine")
    assert await f(1) == [1]


# -- the wrapper's methods ----------------------------------------------------------------------------------------------------


async def test_peek_neither_loads_nor_counts(cache):
    """Peeking shows what is stored and leaves no trace."""
    f, loads = twin(cache)
    assert f.peek(1) is MISSING
    await f(1)
    assert f.peek(a=1) == [1]
    assert (loads, f.cache_info()[:2]) == ([1], (0, 1))


def test_missing_is_false_and_prints_its_name():
    """The absence of a value reads well."""
    assert (bool(MISSING), repr(MISSING)) == (False, "MISSING")


async def test_peek_does_not_reorder(clock):
    """An entry that was only peeked at is still the one used longest ago."""
    cache = Cache(maxsize=2, clock=clock)
    f, _ = twin(cache)
    await f(1)
    await f(2)
    f.peek(1)
    await f(3)
    assert f.peek(1) is MISSING


async def test_put_is_found_by_the_call(cache):
    """A put value is served like a loaded one, for as long."""
    f, loads = twin(cache)
    f.put("put", a=1)
    assert (await f(1), loads) == ("put", [])


async def test_put_replaces(cache):
    """A put value takes the stored one's place, which counts as replaced."""
    f, _ = twin(cache)
    await f(1)
    f.put("put", 1)
    assert await f(1) == "put"
    assert cache.stats().functions[0].removed["replaced"] == 1


async def test_put_during_a_load_wins(cache):
    """A load in flight neither replaces what was put nor is joined; its own callers get what it gives."""
    gate = Gate()

    @cache.cache_function
    async def f():
        await gate.enter()
        return "loaded"

    call = asyncio.create_task(f())
    await gate.reached()
    f.put("put")
    assert await f() == "put"
    gate.open()
    assert (await call, await f()) == ("loaded", "put")


async def test_refresh_loads_anew_and_serves_the_old_value_meanwhile(cache):
    """During a refresh everybody else gets the old value, afterwards the new one."""
    gate, loads = Gate(), []

    @cache.cache_function
    async def f():
        loads.append(len(loads))
        if len(loads) > 1:
            await gate.enter()
        return loads[-1]

    await f()
    refresh = asyncio.create_task(f.refresh())
    await gate.reached()
    assert await f() == 0
    gate.open()
    assert (await refresh, await f()) == (1, 1)


async def test_failed_refresh_keeps_the_old_value(cache):
    """The error goes to who refreshed, the old value stays."""
    answers = [1]

    @cache.cache_function
    async def f():
        return answers.pop()

    await f()
    with pytest.raises(IndexError):
        await f.refresh()
    assert await f() == 1


async def test_refresh_does_not_join_an_older_load(cache):
    """What was asked for anew is loaded anew, and is what stays, whichever load ends last."""
    gates = [Gate(), Gate()]
    loads = []

    @cache.cache_function
    async def f():
        number = len(loads)
        loads.append(number)
        await gates[number].enter()
        return number

    old = asyncio.create_task(f())
    await gates[0].reached()
    new = asyncio.create_task(f.refresh())
    await gates[1].reached()
    gates[1].open()
    assert await new == 1
    gates[0].open()
    assert (await old, await f()) == (0, 1)


def test_refresh_of_a_plain_function_loads_anew(cache):
    """A ``def`` is refreshed as an ``async def`` is."""
    answers = iter(range(9))
    f = cache.cache_function(lambda: next(answers))
    assert (f(), f.refresh(), f()) == (0, 1, 1)


async def test_refresh_does_not_count_as_a_call(cache):
    """The figures are those of calls."""
    f, _ = twin(cache)
    await f.refresh(1)
    assert f.cache_info()[:2] == (0, 0)


async def test_invalidate_drops_one_call_only(cache):
    """However it is spelled, the call's entry goes and no other."""
    f, _ = twin(cache)
    await f(1)
    await f(10)
    assert f.invalidate(a=1).count == 1
    assert (f.peek(1), f.peek(10)) == (MISSING, [10])


async def test_invalidate_of_nothing_counts_nothing(cache):
    """What is not there is not counted."""
    f, _ = twin(cache)
    assert (int(f.invalidate(1)), await f.invalidate(1)) == (0, 0)


async def test_cache_clear_drops_the_function_only(cache):
    """Clearing one function leaves the others."""
    f, _ = twin(cache)
    g, _ = twin(cache)
    for n in range(3):
        await f(n)
        await g(n)
    assert f.cache_clear().count == 3
    assert (f.cache_info().currsize, g.cache_info().currsize) == (0, 3)


async def test_cache_info_is_the_standard_librarys_and_joined(cache):
    """Hits, misses, maxsize, currsize, joined."""
    f, _ = twin(cache)
    await f(1)
    await f(1)
    assert f.cache_info() == (1, 1, 100_000, 1, 0)
    assert f.cache_info()._fields == ("hits", "misses", "maxsize", "currsize", "joined")


# -- methods -------------------------------------------------------------------------------------------------------------------


def service(cache):
    """A class with cached methods of every kind."""

    class Service:
        def __init__(self, name="s"):
            self.name = name

        @cache.cache_function
        async def get(self, a):
            """Get it."""
            return self.name, a, object()

        @cache.cache_function(key_prefix="plain")
        def plain(self, a):
            return self.name, a, object()

        @cache.cache_function
        @classmethod
        def of_class(cls, a):
            return cls.__name__, a, object()

        @classmethod
        @cache.cache_function
        def of_class_inside(cls, a):
            return cls.__name__, a, object()

        @cache.cache_function
        @staticmethod
        def static(a):
            return a, object()

        @staticmethod
        @cache.cache_function
        def static_inside(a):
            return a, object()

    return Service


async def test_method_is_cached_for_each_instance(cache):
    """Two instances share nothing, however alike."""
    one, other = service(cache)(), service(cache)()
    assert await one.get(1) is await one.get(a=1)
    assert await one.get(1) is not await other.get(1)
    assert one.plain(1) is one.plain(1) is not other.plain(1)


async def test_equal_unhashable_instances_are_kept_apart(cache):
    """An instance is itself, whatever its ``__eq__`` says and though it has no hash."""

    class Same:
        __hash__ = None

        def __eq__(self, other):
            return True

        @cache.cache_function
        def get(self):
            return object()

    one, other = Same(), Same()
    assert one.get() is one.get() is not other.get()


@pytest.mark.parametrize("name", ["get", "plain"])
async def test_instance_is_freed_at_its_last_reference(cache, name):
    """The cache keeps no instance alive, not even until the garbage collector runs (F22)."""
    instance = service(cache)()
    value = getattr(instance, name)(1)
    if inspect.isawaitable(value):
        await value
    getattr(instance, name).invalidate(2)
    gone = weakref.ref(instance)
    gc.collect()
    gc.disable()
    try:
        del instance, value
        assert gone() is None
    finally:
        gc.enable()


async def test_new_instance_never_gets_a_dead_ones_values(cache):
    """An address that is used again is another instance."""
    make = service(cache)
    values = set()
    for n in range(200):
        values.add((await make(n).get(1))[0])
    assert len(values) == 200


def test_instances_are_forgotten(cache):
    """Nothing is kept for an instance that is gone."""
    make = service(cache)
    bind = make.plain.cache_key.__self__.bind
    instances = next(
        cell.cell_contents for cell in bind.__closure__ if type(cell.cell_contents).__name__ == "Instances"
    )
    for n in range(10):
        make(n).plain(1)
    assert instances._tokens == {}


@pytest.mark.parametrize("name", ["static", "static_inside"])
def test_static_method_is_shared(cache, name):
    """A static method has one set of entries, in either order of the decorators."""
    make = service(cache)
    assert getattr(make(), name)(1) is getattr(make(), name)(1) is getattr(make, name)(1)


@pytest.mark.parametrize("name", ["of_class", "of_class_inside"])
def test_class_method_is_cached_for_each_class(cache, name):
    """A class method has entries by class, in either order of the decorators."""
    make = service(cache)
    sub = type("Sub", (make,), {})
    assert getattr(make(), name)(1) is getattr(make, name)(1)
    assert getattr(sub, name)(1)[0] == "Sub"


async def test_bound_method_offers_the_wrappers_methods(cache):
    """On an instance, each takes the arguments without ``self``."""
    make = service(cache)
    one, other = make(), make()
    one.plain.put("put", 1)
    assert (one.plain(1), one.plain.peek(1), other.plain.peek(1)) == ("put", "put", MISSING)
    assert one.plain.refresh(1) == ("s", 1, one.plain(1)[2])
    assert re.fullmatch(r"plain:#\d+:1", one.plain.cache_key(1))
    assert one.plain.invalidate(1).count == 1
    assert one.plain.peek(1) is MISSING


def test_class_methods_wrapper_methods_have_the_class_filled_in(cache):
    """With the cache decorator outermost, a class method is invalidated by its own arguments."""
    make = service(cache)
    make.of_class(1)
    assert make.of_class.invalidate(1).count == 1


async def test_bound_method_keeps_its_face(cache):
    """A cached method looks like the method: its signature has no ``self``, and it is an ``async def``."""
    one = service(cache)()
    assert str(inspect.signature(one.get)) == "(a)"
    assert inspect.iscoroutinefunction(one.get)
    assert inspect.iscoroutinefunction(type(one).get)


def test_bound_method_is_one_to_whoever_looks(cache):
    """What it is bound to, what it says of itself and what it is equal to are a method's."""
    make = service(cache)
    one = make()
    assert (inspect.ismethod(one.get), one.get.__self__, one.get.__func__) == (True, one, make.get)
    assert (one.get.__doc__, one.get, len({one.get, one.get})) == ("Get it.", weakref.WeakMethod(one.get)(), 1)
    assert one.get not in (make().get, one.plain)


Pickled = service(Cache())
Pickled.__qualname__ = "Pickled"


@pytest.mark.parametrize("name", ["get", "plain", "of_class", "of_class_inside"])
@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy])
def test_bound_method_is_copied_as_a_method(name, copied):
    """A copy is the method of a copied instance, or of the same class."""
    found = copied(getattr(Pickled(), name))
    assert found == getattr(found.__self__, name)
    assert found.__self__ is Pickled or type(found.__self__) is Pickled


def classes():
    """Makers of instances whose class looks at what stands in it, or is made anew of that: ``kind(method)``."""

    def model(method):
        return type("Model", (pydantic.BaseModel,), {"__module__": __name__, "get": method})()

    def private(method):
        namespace = {"__module__": __name__, "_get": method, "get": property(lambda self: self._get)}
        return type("Model", (pydantic.BaseModel,), namespace)()

    def slotted(method):
        return dataclasses.make_dataclass("Data", [], namespace={"get": method}, slots=True, weakref_slot=True)()

    def member(method):
        return enum.Enum("Member", {"ONE": 1, "get": method}).ONE

    def protocol(method):
        return type("Made", (types.new_class("Shape", (Protocol,), exec_body=lambda x: x.update(get=method)),), {})()

    return [model, private, slotted, member, protocol]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_method_may_stand_in_any_class(cache, kind):
    """Whatever makes the class takes a cached method for a method."""

    class Body:
        @cache.cache_function
        def get(self, n):
            return [n]

    one = kind(vars(Body)["get"])
    assert (one.get(1), one.get(1) is one.get(1)) == ([1], True)


def test_method_called_through_its_class_is_the_instances(cache):
    """``Class.method(instance)`` is ``instance.method()``."""
    make = service(cache)
    one = make()
    assert make.plain(one, 1) is one.plain(1)


def test_overriding_method_may_call_the_cached_one(cache):
    """``super()`` reaches the parent's cached method, for the same instance."""
    make = service(cache)

    class Sub(make):
        def plain(self, a):
            return super().plain(a)

    one = Sub()
    assert one.plain(1) is one.plain(1)


def test_first_parameter_of_another_name_is_an_argument(cache):
    """Only ``self`` and ``cls`` are instances: a plain function's first argument is keyed by value."""

    @cache.cache_function
    def f(self):
        return self

    assert f.cache_key(1).endswith(":1")


# -- plain functions and threads ------------------------------------------------------------------------------------------------


def test_plain_function_is_loaded_once_by_many_threads(cache):
    """Threads that call at the same time wait for one load."""
    started, go = threading.Event(), threading.Event()
    loads, found = [], []

    @cache.cache_function
    def f(a):
        loads.append(a)
        started.set()
        assert go.wait(10)
        return object()

    threads = [threading.Thread(target=lambda: found.append(f(1))) for _ in range(16)]
    threads[0].start()
    assert started.wait(10)
    for thread in threads[1:]:
        thread.start()
    while f.cache_info().joined < 15:
        pass
    go.set()
    for thread in threads:
        thread.join(10)
    assert (len(set(map(id, found))), len(found), loads) == (1, 16, [1])


def test_stacked_decorators_work(cache):
    """A cached function may itself be decorated, and a decorated one cached."""

    def twice(function):
        @functools.wraps(function)
        def doubled(*args, **kwargs):
            return 2 * function(*args, **kwargs)

        return doubled

    f = cache.cache_function(twice(cache.cache_function(lambda a: a)))
    assert (f(1), f(a=1), f.cache_info()[:2]) == (2, 2, (1, 1))


@pytest.mark.parametrize("where", ["weigher", "cache_if", "key", "tags", "function"])
def test_what_the_user_gives_a_cache_may_use_it(where):
    """Whatever is called while a value is looked for, loaded or stored may call, put and clear others meanwhile."""
    used = []

    def using(result):
        def use(_):
            if not used:
                used.append(where)
                assert (other(1), other.put(7, 2), f.peek(99)) == (1, None, MISSING)
                cache.clear("other:1*")
            return result

        return use

    given = {where: using({"weigher": 10, "cache_if": True, "key": 1, "tags": "tag", "function": 5}[where])}
    weigher, function = given.pop("weigher", lambda _: 10), given.pop("function", lambda _: 5)
    cache = Cache(max_bytes=10_000, weigher=weigher)
    other = cache.cache_function(key_prefix="other")(lambda n: n)
    f = cache.cache_function(key_prefix="f", **given)(function)
    assert (f(1), f(1), f.cache_info().hits) == (5, 5, 1)
    assert used == [where]
    assert (other.peek(1), other.peek(2)) == (MISSING, 7)
