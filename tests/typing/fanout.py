"""What type checkers see of fan-out and batching: checked by mypy and pyright, never run."""

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypedDict, assert_type

from asyncfan import (
    AdaptiveBatchSize,
    AdaptiveLimit,
    AsyncQueryBatcher,
    DataBatcher,
    Hedge,
    Limiter,
    Outcome,
    ParallelProcessor,
    Retry,
    RetryBudget,
    amap,
    astream,
    gather,
    gather_into,
    in_thread,
    on_loop,
)
from asyncfan.adapters.ray import RayExecutor
from asyncfan.fanout import Stream
from asyncfan.fanout.signatures import OnError


async def price(item: str) -> int:
    """Be async."""
    return len(item)


async def padded(item: str, width: int = 3) -> str:
    """Have a default."""
    return item.ljust(width)


def weigh(item: str) -> float:
    """Be plain."""
    return len(item)


async def total(batch: list[str]) -> int:
    """Take a batch."""
    return len(batch)


async def user() -> str:
    """Be an async task."""
    return "ann"


def version() -> int:
    """Be a plain task."""
    return 1


async def names() -> AsyncIterator[str]:
    """Be an async source."""
    yield "tea"


ITEMS = ["tea", "milk"]


async def map_gives_what_the_function_returns() -> None:
    """`amap` of an async function, a partial or a lambda gives a list of its results."""
    assert_type(await amap(price, ITEMS), list[int])
    assert_type(await amap(padded, names()), list[str])
    assert_type(await amap(partial(padded, width=5), ITEMS), list[str])
    assert_type(await amap(lambda item: price(item + "!"), ITEMS), list[int])


async def map_takes_plain_functions() -> None:
    """`amap` of a plain function, or of one with its place, gives a list of its results."""
    assert_type(await amap(weigh, ITEMS), list[float])
    assert_type(await amap(len, ITEMS), list[int])
    assert_type(await amap(in_thread(weigh), ITEMS), list[float])
    assert_type(await amap(on_loop(price), ITEMS), list[int])


async def collected_results_are_outcomes() -> None:
    """With ``on_error="collect"`` each result is an `Outcome` of its type."""
    outcomes = await amap(price, ITEMS, on_error="collect", max_workers=5, timeout=1)
    assert_type(outcomes, list[Outcome[int]])
    assert_type(outcomes[0].unwrap(), int)
    assert_type(await amap(weigh, ITEMS, on_error="collect"), list[Outcome[float]])
    assert_type(await amap(price, ITEMS, on_error="group"), list[int])


async def streams_give_what_the_function_returns() -> None:
    """`astream` gives a `Stream` of the results."""
    assert_type(astream(price, ITEMS, ordered=False, buffer_size=3), Stream[int])
    assert_type(astream(weigh, names()), Stream[float])
    assert_type(astream(price, ITEMS, on_error="collect"), Stream[Outcome[int]])
    async with astream(price, ITEMS) as prices:
        async for found in prices:
            assert_type(found, int)


async def gathered_results_keep_their_names() -> None:
    """`gather` gives results under keys of the tasks' type; where they differ, the caller may say Any."""
    assert_type(await gather({1: user}), dict[int, str])
    assert_type(await gather({1: version}), dict[int, int])
    assert_type(await gather(one=user, two=lambda: padded("tea")), dict[str, str])
    assert_type(await gather({"one": user}, two=user), dict[str, str])
    mixed: Mapping[str, Any] = await gather(one=user, two=version, three=lambda: price("tea"))
    assert_type(mixed["two"], Any)


class Page(NamedTuple):
    user: str
    price: int


@dataclass
class Sheet:
    user: str
    price: int


class Table(TypedDict):
    user: str
    price: int


async def results_without_names_have_a_type_each() -> None:
    """`gather` of functions gives a tuple of their types, which a class checks like any arguments."""
    assert_type(await gather(user), tuple[str])
    assert_type(await gather(user, lambda: price("tea")), tuple[str, int])
    assert_type(await gather(user, partial(price, "tea"), user), tuple[str, int, str])
    six = await gather(user, user, user, user, user, partial(price, "tea"))
    assert_type(six, tuple[str, str, str, str, str, int])
    assert_type(await gather(user, user, user, user, user, user, user), tuple[Any, ...])
    assert_type(await gather(user, version), tuple[Any, ...])
    first, second = await gather(user, partial(price, "tea"))
    assert_type(first, str)
    assert_type(second, int)
    assert_type(Page(*await gather(user, partial(price, "tea"))), Page)
    Page(*await gather(user, user))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def results_with_names_have_the_types_of_a_class() -> None:
    """`gather_into` gives what it is given: a named tuple, a dataclass or a typed dictionary."""
    page = await gather_into(Page, user=user, price=lambda user: price(user + "!"))
    assert_type(page, Page)
    assert_type(page.price, int)
    assert_type(await gather_into(Sheet, user=user, price=price), Sheet)
    table = await gather_into(Table, user=user, price=version)
    assert_type(table, Table)
    assert_type(table["user"], str)


async def tasks_may_take_the_results_of_others() -> None:
    """A task's parameters are names of tasks; results are Any then, unless a class says what they are."""
    assert_type(await gather(item=user, padded=padded), dict[str, Any])
    assert_type(await gather(item=user, padded=lambda item: padded(item + "!")), dict[str, Any])
    assert_type(await gather({"item": user, "padded": padded}), dict[str, Any])
    processor = ParallelProcessor(2)
    assert_type(await processor.execute_parallel({"item": user, "padded": padded}), dict[str, Any])


async def a_processor_that_raises_gives_what_the_functions_return() -> None:
    """`ParallelProcessor` gives results the type of what the functions return."""
    processor = ParallelProcessor(5, deadline=3)
    assert_type(processor, ParallelProcessor)
    assert_type(await processor.map(price, ITEMS), list[int])
    assert_type(processor.stream(price, names()), Stream[int])
    assert_type(await processor.execute_parallel({1: user}), dict[int, str])
    assert_type(await processor.execute_parallel({"version": version}), dict[str, int])
    assert_type(await processor.map(weigh, ITEMS), list[float])
    assert_type(processor.stream(weigh, ITEMS, ordered=False), Stream[float])


async def a_processor_that_collects_gives_any() -> None:
    """`ParallelProcessor(on_error="collect")` never claims that an outcome is a result."""
    processor = ParallelProcessor(on_error="collect")
    assert_type(processor, ParallelProcessor[Literal["collect"]])
    assert_type(await processor.map(price, ITEMS), list[Any])
    assert_type(processor.stream(price, ITEMS), Stream[Any])
    assert_type(await processor.execute_parallel({1: user}), dict[int, Any])


async def a_mode_may_be_a_variable(mode: OnError) -> None:
    """Where the mode is only known at run time, results are Any."""
    assert_type(await ParallelProcessor(on_error=mode).map(price, ITEMS), list[Any])
    assert_type(await DataBatcher(on_error=mode).process_batches(ITEMS, total), list[Any])


async def batches_give_what_the_function_returns() -> None:
    """`DataBatcher` gives the results of an async function their type."""
    batcher = DataBatcher(batch_size=2)
    assert_type(batcher, DataBatcher)
    assert_type(await batcher.process_batches(ITEMS, total), list[int])
    assert_type(batcher.stream_batches(names(), total), Stream[int])
    assert_type(await DataBatcher(on_error="collect").process_batches(ITEMS, total), list[Any])


async def queries_give_what_they_return() -> None:
    """`AsyncQueryBatcher` checks a query's arguments and gives its result its type."""
    queries = AsyncQueryBatcher()
    assert_type(await queries.execute(user), str)
    assert_type(await queries.execute(padded, "tea"), str)
    assert_type(await queries.execute(padded, "tea", 5), str)
    assert_type(await queries.execute(weigh, "tea"), float)
    assert_type(await queries.execute_many([user]), list[str])
    assert_type(await queries.execute_many(partial(price, item) for item in ITEMS), list[int])
    assert_type(await queries.execute_many({1: user}), dict[int, str])


async def resilience_keeps_the_types() -> None:
    """`retry`, `hedge` and policies change no result's type; by themselves they check arguments."""
    retry, hedge = Retry(3, on=(ConnectionError, TimeoutError), budget=RetryBudget("db")), Hedge("p95", max_extra=0.1)
    assert_type(await amap(price, ITEMS, retry=retry, hedge=hedge, first=1), list[int])
    assert_type(await amap(price, ITEMS, on_error="collect", min_success=1, max_errors=2), list[Outcome[int]])
    assert_type(astream(price, ITEMS, retry=retry), Stream[int])
    assert_type(await gather({1: user}, retry=retry, timeout=1), dict[int, str])
    assert_type(await gather(one=user, two=lambda: padded("tea"), hedge=hedge), dict[str, str])
    assert_type(await ParallelProcessor(retry=retry, first=1).execute_parallel({1: user}), dict[int, str])
    assert_type(await DataBatcher(2, retry=retry).process_batches(ITEMS, total), list[int])
    assert_type(await AsyncQueryBatcher(retry=retry, hedge=hedge, timeout=1).execute(price, "tea"), int)
    assert_type(await retry(price, "tea"), int)
    assert_type(await retry(weigh, "tea"), float)
    assert_type(await hedge(padded, "tea", 5), str)
    Retry(on=lambda error: isinstance(error, OSError))


async def executors_of_any_make_are_taken() -> None:
    """Results keep their type, wherever they are worked out, and in chunks too."""
    with ProcessPoolExecutor() as pool:
        assert_type(await amap(weigh, ITEMS, executor=pool, chunk_size="auto"), list[float])
        assert_type(astream(weigh, ITEMS, executor=pool, chunk_size=10), Stream[float])
    assert_type(await ParallelProcessor(executor=RayExecutor(), chunk_size=10).map(weigh, ITEMS), list[float])


async def wrong_calls_are_errors() -> None:
    """Wrong items, options, modes and arguments are found."""
    await amap(price, [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await amap(price, ITEMS, timeuot=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await amap(price, ITEMS, on_error="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await Retry()(price, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    Retry(on="5xx")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await AsyncQueryBatcher().execute(price, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await amap(weigh, ITEMS, chunk_size="many")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def limits_and_sizes_may_adapt() -> None:
    """``"auto"`` and what it stands for go wherever a number does; anything else does not."""
    assert_type(await amap(price, ITEMS, max_workers="auto"), list[int])
    assert_type(await ParallelProcessor(AdaptiveLimit(2, 50)).map(price, ITEMS), list[int])
    assert_type(await DataBatcher("auto").process_batches(ITEMS, total), list[int])
    assert_type(
        await DataBatcher(AdaptiveBatchSize(), max_concurrent_batches=4).process_batches(ITEMS, total), list[int]
    )
    Limiter(max_concurrency="auto")
    AsyncQueryBatcher("auto")
    ParallelProcessor("fast")  # type: ignore[call-overload]
