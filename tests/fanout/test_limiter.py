"""`Limiter`: order, weight, rate, cancellation, several loops."""

import asyncio
import random
import threading

import pytest

from asyncfan.fanout import Limiter, ParallelProcessor
from asyncfan.testing import Gate, VirtualTimeLoop


async def peak_of(limiter, n):
    """Send ``n`` callers at once; return how many were inside at the most."""
    live = peak = 0

    async def call():
        nonlocal live, peak
        async with limiter:
            live += 1
            peak = max(peak, live)
            await asyncio.sleep(1)
            live -= 1

    await asyncio.gather(*(call() for _ in range(n)))
    return peak


async def test_at_most_max_concurrency_are_inside():
    """The peak is the limit, and 10 callers at 3 a second long take 4 seconds."""
    assert await peak_of(Limiter(max_concurrency=3), 10) == 3
    assert asyncio.get_running_loop().time() == 4


async def test_first_come_first_served():
    """Waiters enter in the order of their coming; a light one does not overtake a heavy one."""
    limiter = Limiter(max_concurrency=2)
    order = []

    async def call(name, weight):
        async with limiter.slot(weight):
            order.append(name)
            await asyncio.sleep(1)

    await asyncio.gather(call("a", 1), call("heavy", 2), call("b", 1), call("c", 1))
    assert order == ["a", "heavy", "b", "c"]
    assert asyncio.get_running_loop().time() == 3


async def test_the_rate_is_smooth_by_default():
    """At 10 a second one enters each 0.1 s, the first at once."""
    limiter = Limiter(rate=10)
    times = []
    for _ in range(5):
        await limiter.acquire()
        times.append(asyncio.get_running_loop().time())
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


async def test_a_burst_enters_at_once_and_is_earned_anew():
    """After a pause `burst` callers enter together, then the rate holds."""
    limiter = Limiter(rate=10, burst=3)
    times = []

    async def call():
        await limiter.acquire()
        times.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(call() for _ in range(5)))
    await asyncio.sleep(10)
    await asyncio.gather(*(call() for _ in range(4)))
    assert times == pytest.approx([0, 0, 0, 0.1, 0.2, 10.2, 10.2, 10.2, 10.3])


async def test_a_heavy_caller_uses_up_the_rate_of_its_weight():
    """Who weighs 5 at 10 a second holds up the next one for 0.5 s."""
    limiter = Limiter(rate=10)
    await limiter.acquire(5)
    await limiter.acquire()
    assert asyncio.get_running_loop().time() == pytest.approx(0.5)


async def test_resizing_lets_waiters_in():
    """A higher limit admits waiters at once, a lower one throws nobody out."""
    limiter = Limiter("db", max_concurrency=1)
    gate = Gate()

    async def call():
        async with limiter:
            await gate.enter()

    calls = asyncio.gather(*(call() for _ in range(5)))
    await gate.reached()
    assert repr(limiter) == "<Limiter 'db' 1/1 running, 4 waiting>"
    limiter.resize(max_concurrency=4)
    await asyncio.sleep(1)
    assert repr(limiter) == "<Limiter 'db' 4/4 running, 1 waiting>"
    limiter.resize(max_concurrency=2)
    assert repr(limiter) == "<Limiter 'db' 4/2 running, 1 waiting>"
    gate.open()
    await calls
    assert repr(limiter) == "<Limiter 'db' 0/2 running, 0 waiting>"


async def test_resizing_the_rate_wakes_waiters():
    """Who waits a long time under a slow rate enters as soon as the new one allows."""
    limiter = Limiter(rate=0.001)
    await limiter.acquire()
    task = asyncio.ensure_future(limiter.acquire())
    await asyncio.sleep(1)
    limiter.resize(rate=10)
    await task
    assert asyncio.get_running_loop().time() < 2


async def test_a_waiter_heavier_than_the_new_limit_is_refused():
    """Lowering the limit below a waiter's weight ends its wait with a ValueError, not a hang."""
    limiter = Limiter(max_concurrency=3)
    await limiter.acquire(3)
    task = asyncio.ensure_future(limiter.acquire(3))
    await asyncio.sleep(1)
    limiter.resize(max_concurrency=2)
    with pytest.raises(ValueError, match="weight must be <= max_concurrency=2"):
        await task


async def test_the_slot_of_a_cancelled_waiter_goes_on():
    """A waiter cancelled in the moment of its grant passes it to the next one."""
    limiter = Limiter(max_concurrency=1)
    await limiter.acquire()
    first, second = asyncio.ensure_future(limiter.acquire()), asyncio.ensure_future(limiter.acquire())
    await asyncio.sleep(1)
    limiter.release()  # granted to the first
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert limiter.running == 1


async def test_the_token_of_a_cancelled_waiter_is_not_used_up():
    """Under a rate, a waiter cancelled in the moment of its grant costs the next one no time."""
    limiter = Limiter(max_concurrency=1, rate=0.1)
    await limiter.acquire()
    await asyncio.sleep(10)
    first, second = asyncio.ensure_future(limiter.acquire()), asyncio.ensure_future(limiter.acquire())
    await asyncio.sleep(0)
    limiter.release()  # granted to the first
    first.cancel()
    await second
    assert asyncio.get_running_loop().time() == 10


async def test_a_cancelled_heavy_head_unblocks_the_light_ones():
    """Who waited behind a heavy waiter enters when that one is cancelled."""
    limiter = Limiter(max_concurrency=2)
    await limiter.acquire()
    heavy, light = asyncio.ensure_future(limiter.acquire(2)), asyncio.ensure_future(limiter.acquire())
    await asyncio.sleep(1)
    heavy.cancel()
    await asyncio.wait_for(light, 1)


@pytest.mark.parametrize("rate", [None, 1000])
async def test_no_slot_is_lost_by_cancellation(rate):
    """After 10,000 random cancellations, of first and last callers, a fresh burst still reaches the limit."""
    rng = random.Random(7)
    limiter = Limiter(max_concurrency=10, rate=rate, burst=10 if rate else None)

    async def call(weight):
        async with limiter.slot(weight, last=rng.random() < 0.3):
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)

    for _ in range(200):
        tasks = [asyncio.ensure_future(call(rng.randint(1, 4))) for _ in range(50)]
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert (limiter.running, limiter.waiting) == (0, 0)
    limiter.resize(rate=None)
    assert await peak_of(limiter, 40) == 10


@pytest.mark.real_time
def test_threads_with_their_own_loops_share_a_limit():
    """Four loops in four threads keep one limit together, and all come through."""
    limiter = Limiter(max_concurrency=3)
    live, peak, lock = 0, 0, threading.Lock()

    async def call(*, last):
        nonlocal live, peak
        async with limiter.slot(last=last):
            with lock:
                live += 1
                peak = max(peak, live)
            await asyncio.sleep(0.0005)
            with lock:
                live -= 1

    async def main():
        await asyncio.gather(*(call(last=i % 4 == 0) for i in range(100)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert peak == 3
    assert (limiter.running, limiter.waiting) == (0, 0)


@pytest.mark.parametrize("rate", [None, 10])
def test_a_closed_loop_with_waiters_blocks_nobody(rate):
    """Waiters whose loop was closed without ending them are passed over."""
    limiter = Limiter(max_concurrency=1, rate=rate)
    dead = VirtualTimeLoop()
    dead.run_until_complete(limiter.acquire())
    waiters = [dead.create_task(limiter.acquire(last=last)) for last in (False, True, False)]
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()

    async def main():
        waiting = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0)
        limiter.release()
        await asyncio.wait_for(waiting, 1)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    for waiter in waiters:
        waiter._log_destroy_pending = False
        waiter.get_coro().close()


async def entered(limiter, *callers):
    """Send callers ``(name, weight, last)`` in this order to a full limiter, then release it; return who came when."""
    order = []
    await limiter.acquire(limiter.max_concurrency)

    async def call(name, weight, last):
        async with limiter.slot(weight, last=last):
            order.append(name)
            await asyncio.sleep(1)

    tasks = [asyncio.ensure_future(call(*caller)) for caller in callers]
    await asyncio.sleep(1)
    limiter.release(limiter.max_concurrency)
    await asyncio.gather(*tasks)
    return order


async def test_the_last_enter_when_nobody_else_waits():
    """Callers that are last let all others in first, and keep their own order."""
    callers = [("last 1", 1, True), ("a", 1, False), ("last 2", 1, True), ("b", 1, False)]
    assert await entered(Limiter(max_concurrency=1), *callers) == ["a", "b", "last 1", "last 2"]


async def test_the_last_stand_back_for_who_comes_later():
    """A caller that comes while one waits to be last enters before it."""
    limiter = Limiter(max_concurrency=1)
    order = []

    async def refresh():
        async with limiter.slot(last=True):
            order.append("refresh")

    async def miss(name):
        async with limiter:
            order.append(name)
            await asyncio.sleep(10)

    async with asyncio.TaskGroup() as group:
        group.create_task(miss("first"))
        await asyncio.sleep(1)
        group.create_task(refresh())
        await asyncio.sleep(1)
        group.create_task(miss("second"))
    assert order == ["first", "second", "refresh"]


async def test_no_room_is_kept_for_a_heavy_caller_that_is_last():
    """A light caller enters although a heavy one that is last waits for the same room; a light last one does not."""
    limiter = Limiter("db", max_concurrency=2)
    await limiter.acquire()
    heavy = asyncio.ensure_future(limiter.acquire(2, last=True))
    light = asyncio.ensure_future(limiter.acquire(last=True))
    await asyncio.sleep(1)
    await limiter.acquire()
    assert repr(limiter) == "<Limiter 'db' 2/2 running, 2 waiting (2 last)>"
    limiter.release(2)
    await heavy
    assert not light.done()
    limiter.release(2)
    await light


async def test_the_last_wait_while_a_heavy_one_waits():
    """Who is last does not slip in beside a heavy waiter, though there is room for it."""
    callers = [("a", 1, False), ("heavy", 2, False), ("last", 1, True)]
    assert await entered(Limiter(max_concurrency=2), *callers) == ["a", "heavy", "last"]


async def test_a_cancelled_waiter_lets_the_last_in():
    """When the only other waiter leaves, who is last enters at once where there is room."""
    limiter = Limiter(max_concurrency=2)
    await limiter.acquire()
    heavy, last = asyncio.ensure_future(limiter.acquire(2)), asyncio.ensure_future(limiter.acquire(last=True))
    await asyncio.sleep(1)
    heavy.cancel()
    await asyncio.wait_for(last, 1)


async def test_the_last_keep_to_the_rate():
    """Under a rate the others take the next turns, and who is last the one after."""
    limiter = Limiter(rate=10)
    times = {}

    async def call(name, *, last):
        await limiter.acquire(last=last)
        times[name] = asyncio.get_running_loop().time()

    await asyncio.gather(
        call("first", last=False), call("last", last=True), call("a", last=False), call("b", last=False)
    )
    assert times == pytest.approx({"first": 0, "a": 0.1, "b": 0.2, "last": 0.3})


async def test_a_last_waiter_heavier_than_the_new_limit_is_refused():
    """Lowering the limit ends the wait of the last as it does that of others."""
    limiter = Limiter(max_concurrency=3)
    await limiter.acquire(3)
    task = asyncio.ensure_future(limiter.acquire(3, last=True))
    await asyncio.sleep(1)
    limiter.resize(max_concurrency=2)
    with pytest.raises(ValueError, match="weight must be <= max_concurrency=2"):
        await task
    assert limiter.waiting == 0


async def test_processors_share_a_limiter():
    """Two processors with one limiter are together within it."""
    limiter = Limiter(max_concurrency=2)
    one, two = ParallelProcessor(limiter=limiter), ParallelProcessor(limiter=limiter)
    await asyncio.gather(one.map(asyncio.sleep, [1] * 4), two.map(asyncio.sleep, [1] * 4))
    assert asyncio.get_running_loop().time() == 4


async def entries(limiter, n):
    """Let ``n`` callers in; return the times at which they entered."""
    times = []

    async def call():
        async with limiter:
            times.append(round(asyncio.get_running_loop().time(), 6))

    await asyncio.gather(*(call() for _ in range(n)))
    return times


async def test_resizing_gives_no_rate_away():
    """However often the limits are changed, no more enter than the rate allows."""
    limiter = Limiter(rate=1)
    waiting = asyncio.ensure_future(entries(limiter, 4))
    for _ in range(5):
        await asyncio.sleep(0.1)
        limiter.resize(max_concurrency=5, rate=1)
    assert await waiting == [0, 1, 2, 3]


async def test_a_new_rate_holds_for_all_who_wait():
    """Nobody waits for the time at which the old rate would have let somebody in."""
    limiter = Limiter(rate=0.001)
    waiting = asyncio.ensure_future(entries(limiter, 4))
    await asyncio.sleep(0.05)
    limiter.resize(rate=10)
    assert await waiting == [0, 0.1, 0.2, 0.3]
