"""How a function of the user's is called: on the event loop or off it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

from .offload import Bell, SupportsSubmit, run_in_executor, run_in_thread

__all__ = [
    "Elsewhere",
    "as_coroutine_function",
    "close_coroutines",
    "in_thread",
    "on_loop",
    "runs_on_loop",
    "stays_on_loop",
    "unplaced",
]

P = ParamSpec("P")
R = TypeVar("R")


class _Placed(Generic[P, R]):
    """A function with the place where a fan-out calls it; called by anybody else it is itself."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[P, R]) -> None:
        if not callable(function):
            raise TypeError(f"{type(self).__name__} takes a function, got {function!r}")
        self.function: Callable[P, R] = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.function!r})"


class in_thread(_Placed[P, R]):  # noqa: N801 - used like a function
    """Say that ``function`` blocks: a fan-out calls it in a thread, whatever it is.

    Needed for a lambda or a `functools.partial` around blocking work, which would be called on the event
    loop.

    Example:
        >>> import time
        >>> from asyncfan.fanout import gather
        >>> from asyncfan.testing import run
        >>> run(gather(nap=in_thread(lambda: time.sleep(0) or "rested")))
        {'nap': 'rested'}
    """

    __slots__ = ()


class on_loop(_Placed[P, R]):  # noqa: N801 - used like a function
    """Say that ``function`` does not block: a fan-out calls it on the loop, and awaits what it returns.

    Saves a plain function the way to a thread (some 50 us).

    Example:
        >>> from asyncfan.fanout import amap
        >>> from asyncfan.testing import run
        >>> run(amap(on_loop(abs), [1, -2]))
        [1, 2]
    """

    __slots__ = ()


def as_coroutine_function(
    function: Any, executor: SupportsSubmit | None = None
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a coroutine function that calls ``function`` where it belongs.

    - ``async def``, also as a method, in a partial, or as ``__call__``: on the loop;
    - a lambda, or a partial of anything else: on the loop, and what it returns is awaited if it can be;
    - any other function: in a thread, and an awaitable that it returns is awaited on the loop;
    - with an ``executor``, plain functions and partials of them go there; the others stay here.

    Raises:
        TypeError: It cannot be called so.
    """
    if isinstance(function, in_thread):
        return Elsewhere(function.function, None)
    if isinstance(function, on_loop):
        return _here(function.function)
    inner = _innermost(function)
    _refuse(inner)
    if _is_async(inner):
        return function  # type: ignore[no-any-return]
    return _here(function) if _binds(function, inner, executor) else Elsewhere(function, executor)


def stays_on_loop(function: Any, executor: SupportsSubmit | None = None) -> bool:
    """Say whether ``function``, which has no place given to it, is called on the loop."""
    inner = _innermost(function)
    return _is_async(inner) or _binds(function, inner, executor)


def unplaced(function: Any) -> Any:
    """Return ``function`` without the place that `in_thread` or `on_loop` gave to it."""
    return function.function if isinstance(function, _Placed) else function


class Elsewhere:
    """A coroutine function that calls a plain function in a thread or in an executor, once or for many items."""

    __slots__ = ("_bell", "executor", "function")

    def __init__(self, function: Callable[..., Any], executor: SupportsSubmit | None) -> None:
        self.function: Callable[..., Any] = function
        self.executor: SupportsSubmit | None = executor  # None: the threads of the loop
        self._bell: Bell | None = None  # of the loop that called last

    async def __call__(self, *args: Any) -> Any:
        """Call the function there; an awaitable that it returns is awaited here."""
        if self.executor is None:
            found = await run_in_thread(self.function, *args)
        else:
            found = await run_in_executor(self.executor, self.function, *args, bell=self._bell_here())
        return await found if inspect.isawaitable(found) else found

    async def in_chunk(self, items: Sequence[Any]) -> Any:
        """Call the function with each of ``items`` there; see `run_chunk` for what is returned.

        Cancellation: As for one call; in a thread, no further item is begun.
        """
        from .parcel import Parcel, run_chunk, uses_cloudpickle  # noqa: PLC0415 - as pickle, seldom needed

        stop: list[bool] = []
        stopping = partial(stop.append, True)  # noqa: FBT003 - anything would do
        if self.executor is None or isinstance(self.executor, ThreadPoolExecutor):
            chunk = (self.function, Parcel(items, cloud=False), stop, contextvars.copy_context())
            if self.executor is None:
                return await run_in_thread(run_chunk, *chunk, stop=stopping)
            return await run_in_executor(self.executor, run_chunk, *chunk, bell=self._bell_here(), stop=stopping)
        sent = (self.function, Parcel(items, cloud=uses_cloudpickle(self.executor)), stop)
        return await run_in_executor(self.executor, run_chunk, *sent, bell=self._bell_here(), stop=stopping)

    def _bell_here(self) -> Bell:
        loop, bell = asyncio.get_running_loop(), self._bell
        if bell is None or bell.loop is not loop:
            bell = self._bell = Bell(loop)
        return bell


def runs_on_loop(call: Callable[..., Any]) -> bool:
    """Say whether what `as_coroutine_function` returned runs its function on the event loop."""
    return not isinstance(call, Elsewhere)


def close_coroutines(values: Iterable[Any]) -> None:
    """Close the coroutines among ``values``, given by mistake, so that they don't warn of being unawaited."""
    for value in values:
        if inspect.iscoroutine(value):
            value.close()


def _innermost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _binds(function: Any, inner: Any, executor: SupportsSubmit | None) -> bool:
    """Whether it only binds arguments: a lambda, or a partial that no executor takes."""
    return getattr(inner, "__name__", "") == "<lambda>" or (inner is not function and executor is None)


def _is_async(function: Any) -> bool:
    """Whether a call surely returns a coroutine; what is only marked as such may return anything."""
    if type(function) is FunctionType:  # as most are: 2 us less a task
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    call = function if inspect.isroutine(function) else type(function).__call__
    flags = getattr(getattr(call, "__code__", None), "co_flags", 0)
    return inspect.iscoroutinefunction(call) and bool(flags & inspect.CO_COROUTINE)


def _here(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call_here(*args: Any) -> Any:
        found = function(*args)
        return await found if inspect.isawaitable(found) else found

    return call_here


def _refuse(function: Any) -> None:
    if type(function) is FunctionType and not function.__code__.co_flags & inspect.CO_ASYNC_GENERATOR:
        return
    if inspect.iscoroutine(function):
        name = function.__qualname__
        function.close()  # or it would warn that it was never awaited
        raise TypeError(f"expected a function, got the coroutine {name}(): pass {name} or lambda: {name}(...)")
    if inspect.isawaitable(function):
        raise TypeError(f"expected a function, got the awaitable {function!r}: it already runs; pass what makes it")
    if inspect.isasyncgenfunction(function):
        name = function.__qualname__
        raise TypeError(
            f"expected a function with one result, got the async generator function {name}: "
            f"write an async def that collects it, as in return [x async for x in {name}()]"
        )
    if not callable(function):
        raise TypeError(f"expected a function, got {function!r}")
