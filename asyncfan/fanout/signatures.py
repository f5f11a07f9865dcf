"""What a fan-out takes, in types: functions, items, what becomes of errors, and the options besides.

A function's overloads name the ``Async`` form first: mypy cannot tell the result from ``Awaitable[R] | R`` alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar, Union

from .limiter import Limiter
from .offload import SupportsSubmit

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultTypeVar  # 2 ms that no import has to pay for a type

    from .adaptive import AdaptiveLimit
    from .hedge import Hedge
    from .retry import Retry

__all__ = [
    "AsyncFunction",
    "AsyncTask",
    "Attempts",
    "Collecting",
    "Function",
    "Items",
    "MapOptions",
    "MaxWorkers",
    "Mode",
    "OnError",
    "Options",
    "ProcessorOptions",
    "Raising",
    "StreamOptions",
    "Task",
    "Window",
]

T = TypeVar("T")
R = TypeVar("R")

AsyncFunction = Callable[[T], Awaitable[R]]
Function = Callable[[T], Awaitable[R] | R]
AsyncTask = Callable[[], Awaitable[R]]
Task = Callable[[], Awaitable[R] | R]
Items = Iterable[T] | AsyncIterable[T]

Raising = Literal["raise", "group"]  # modes in which a result is what the function returned
Collecting = Literal["collect"]  # the mode in which it is an `Outcome`
OnError = Literal["raise", "group", "collect"]

MaxWorkers = Union[int, Literal["auto"], "AdaptiveLimit", None]

if TYPE_CHECKING:
    Mode = DefaultTypeVar("Mode", bound=OnError, default=Raising)
else:
    Mode = TypeVar("Mode", bound=OnError)


class Attempts(TypedDict, total=False):
    """What can be said of the attempts of any call; see `ParallelProcessor`."""

    timeout: float | None
    deadline: float | None
    retry: Retry | None
    hedge: Hedge | None


class Options(Attempts, total=False):
    """What can be said of any fan-out besides its size and ``on_error``; see `ParallelProcessor`."""

    min_success: int | None
    first: int | None
    max_errors: int | None
    limiter: Limiter | None
    executor: SupportsSubmit | None
    progress: Callable[[int, int | None], object] | None
    name: str | None


class ProcessorOptions(Options, total=False):
    """What can be said of a `ParallelProcessor` besides its size and ``on_error``."""

    chunk_size: int | Literal["auto"] | None


class MapOptions(ProcessorOptions, total=False):
    """What can be said of `amap` besides ``on_error``."""

    max_workers: MaxWorkers


class Window(TypedDict, total=False):
    """How a stream gives its results; see `ParallelProcessor.stream`."""

    ordered: bool
    buffer_size: int | None


class StreamOptions(MapOptions, Window, total=False):
    """What can be said of `astream` besides ``on_error``."""
