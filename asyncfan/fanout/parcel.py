"""What goes to an executor and comes back where items are sent in chunks: none fails because of another.

Values are pickled here, when the engine's own pickler comes to them, for engines fail as a whole: one item that cannot
be written loses its chunk, one exception that cannot be read breaks a `ProcessPoolExecutor` with all its calls. Where
nothing is pickled, as in threads, values pass as they are.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from array import array
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from time import perf_counter
from typing import Any

from ..exceptions import UnsendableError

__all__ = ["Lost", "Parcel", "Raised", "dumps", "run_chunk", "uses_cloudpickle"]


class Lost:
    """In the place of a value that could not be written or read, and why."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why: str = why

    def __reduce__(self) -> Any:
        return Lost, (self.why,)


class Raised:
    """In the place of a result: what the function raised, with the traceback in text if it comes from elsewhere."""

    __slots__ = ("cloud", "error")

    def __init__(self, error: BaseException, *, cloud: bool) -> None:
        self.error: BaseException = error
        self.cloud: bool = cloud

    def __reduce__(self) -> Any:
        error = self.error
        try:
            data: bytes | None = dumps(error, cloud=self.cloud)
            pickle.loads(data or b"")  # noqa: S301 - our own; many can be written, but not read
        except Exception:  # noqa: BLE001 - of the user's classes
            data = None
        return _raised, (data, "".join(traceback.format_exception(error)), self.cloud)


class Parcel:
    """The items or the answers of one chunk."""

    __slots__ = ("cloud", "flawed", "values")

    def __init__(self, values: Sequence[Any], *, cloud: bool, flawed: bool = False) -> None:
        self.values: Sequence[Any] = values
        self.cloud: bool = cloud  # whether cloudpickle may help
        self.flawed: bool = flawed  # whether a `Lost` or a `Raised` may be among the values

    def __reduce__(self) -> Any:
        try:
            return _whole, (len(self.values), dumps(self.values, cloud=self.cloud), self.cloud, self.flawed)
        except Exception:  # noqa: BLE001 - of the user's classes
            return _apart, ([self._written(value) for value in self.values], self.cloud)

    def _written(self, value: Any) -> bytes | Lost:
        try:
            return dumps(value, cloud=self.cloud)
        except Exception as error:  # noqa: BLE001 - of the user's classes
            return Lost(f"{_brief(value)} cannot be pickled to be sent to another process: {error}")


def run_chunk(
    function: Callable[[Any], Any], parcel: Parcel, stop: Sequence[Any] = (), context: Context | None = None
) -> tuple[Parcel, array[float]]:
    """Call ``function`` with each item of ``parcel``; return the answers, and the moments between the calls.

    In the caller's own process, each call has a copy of ``context``, and something in ``stop`` ends it all.
    """
    call = function if context is None else lambda item: context.copy().run(function, item)
    if parcel.flawed:
        call = partial(_sent, call)
    answers: list[Any] = []
    moments = array("d", (perf_counter(),))
    answered, passed = answers.append, moments.append
    failure: BaseException | None
    flawed, items = False, iter(parcel.values)
    while True:  # a call that raises ends the inner loop: to guard each by itself takes longer than many functions
        try:
            for item in items:
                if stop:
                    break
                answered(call(item))
                passed(perf_counter())
        except StopIteration as error:  # no coroutine can raise it
            failure = RuntimeError(f"{function!r} raised StopIteration")
            failure.__cause__ = error
        except (Exception, CancelledError) as error:  # noqa: BLE001 - it is the item's
            failure = error
        else:
            break
        flawed = True
        answered(Raised(failure, cloud=parcel.cloud))
        passed(perf_counter())
    for kind in set(map(type, answers)):
        if hasattr(kind, "__await__"):
            answers, flawed = [_awaitable_refused(function, answer, cloud=parcel.cloud) for answer in answers], True
            break
    return Parcel(answers, cloud=parcel.cloud, flawed=flawed), moments


def dumps(value: Any, *, cloud: bool) -> bytes:
    """Pickle ``value``, by cloudpickle if that is needed and allowed.

    What is defined in ``__main__`` could be written by pickle, but not be read elsewhere.
    """
    by_value = sys.modules.get("cloudpickle") if cloud else None
    try:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        if by_value is None:
            raise
    else:
        if by_value is None or b"__main__" not in data:
            return data
    return by_value.dumps(value)  # type: ignore[no-any-return]


def uses_cloudpickle(executor: Any) -> bool:
    """Say whether ``executor`` sends by value what pickle can't; all do but the standard one."""
    return not any(kind.__module__ == "concurrent.futures.process" for kind in type(executor).__mro__)


def _sent(call: Callable[[Any], Any], item: Any) -> Any:
    if type(item) is Lost:
        raise UnsendableError(item.why)
    return call(item)


def _awaitable_refused(function: Callable[[Any], Any], answer: Any, *, cloud: bool) -> Any:
    if not hasattr(type(answer), "__await__"):
        return answer
    getattr(answer, "close", lambda: None)()  # a coroutine would warn that it was never awaited
    error = TypeError(
        f"{function!r} returned {answer!r}, which cannot be awaited where a chunk runs: leave chunk_size out"
    )
    return Raised(error, cloud=cloud)


def _whole(count: int, data: bytes, cloud: bool, flawed: bool) -> Parcel:  # noqa: FBT001 - as pickle calls it
    found = _read(data)
    if type(found) is Lost:
        return Parcel([found] * count, cloud=cloud, flawed=True)
    return Parcel(found, cloud=cloud, flawed=flawed)


def _apart(parts: Sequence[bytes | Lost], cloud: bool) -> Parcel:  # noqa: FBT001 - as pickle calls it
    values = [part if type(part) is Lost else _read(part) for part in parts]
    return Parcel(values, cloud=cloud, flawed=True)


def _read(data: Any) -> Any:
    try:
        return pickle.loads(data)  # noqa: S301 - from our own `dumps`, over the engine's connection
    except Exception as error:  # noqa: BLE001 - of the user's classes
        return Lost(f"what another process sent cannot be unpickled: {type(error).__name__}: {error}")


def _raised(data: bytes | None, trace: str, cloud: bool) -> Raised:  # noqa: FBT001 - as pickle calls it
    found = None if data is None else _read(data)
    if not isinstance(found, BaseException):
        last = trace.strip().splitlines()[-1]
        found = UnsendableError(
            f"the function raised an exception that cannot be pickled and read again: {last}; give its class a "
            "__reduce__(), or an __init__ that passes all its arguments to super().__init__()"
        )
    found.add_note(f"raised in another process:\n{trace}")
    return Raised(found, cloud=cloud)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."  # noqa: PLR2004
