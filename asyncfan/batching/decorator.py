"""`batched`: callers ask for one key, the function is asked for many."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Hashable
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from ..fanout.checks import positive_int, positive_number
from ..fanout.limiter import check_limiter
from .dispatch import RULES, Rule
from .loader import Loader
from .quick import quick

if TYPE_CHECKING:
    from ..fanout.limiter import Limiter
    from .answers import Answers
    from .stats import LoaderStats
    from .wrappers import Batched, BatchedMethod, BatchedOptions, Decorator, LoadFunction, LoadMethod

__all__ = ["BatchedFunction", "batched"]

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S")


class BatchedFunction(partial[Any]):
    """What `batched` makes: the loader's coroutine function with the instance filled in, None for a function."""

    if TYPE_CHECKING:
        loader: Loader  # otherwise it would be seen as a parameter of the function's

    @property
    def max_batch_size(self) -> int | None:
        """How many keys a batch may have; None is no limit."""
        size = self.loader.max_batch_size
        return None if size == sys.maxsize else size

    def many(self, *args: Any) -> Any:
        """Return the results for keys, in order."""
        return self.loader.many(*self.args, *args)

    def prime(self, *args: Any) -> None:
        """Give a value to all who wait for a key."""
        self.loader.prime(*self.args, *args)

    def clear(self, *args: Any) -> None:
        """Let nobody join a load that has begun."""
        self.loader.clear(*self.args, *args)

    def stats(self) -> LoaderStats:
        """Return the figures as they are now."""
        return self.loader.stats()

    async def load_batch(self, *args: Any) -> Answers:
        """Return the outcome of each key, asked in one call here and now."""
        return await self.loader.load_batch(*self.args, *args)

    def __get__(self, instance: Any, owner: type | None = None) -> BatchedFunction:
        if instance is None or self.args:
            return self
        bound = BatchedFunction(self.func, instance)
        bound.loader = self.loader
        return bound

    def __getattr__(self, name: str) -> Any:
        if name in {"__name__", "__qualname__"}:  # of a method of an instance; others have their own
            return getattr(self.loader.function, name)
        if name == "__wrapped__":
            return self.loader.function
        if name == "__signature__":  # not that of the function of many keys, to which __wrapped__ would lead
            return _SIGNATURE if self.args else _METHOD_SIGNATURE
        if name == "__annotations__":  # nor of its parameters
            return {}
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> Any:
        # by its name, as any function or method: copies are the same, and load in the same batches
        return self.__qualname__ if "__qualname__" in vars(self) else (getattr, (self.args[0], self.__name__))

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<batched {self.loader.name} {stats.waiting} keys waiting, {stats.running} batches running>"


@overload
def batched(load: LoadFunction[K, V], /) -> Batched[K, V]: ...
@overload
def batched(load: LoadMethod[S, K, V], /) -> BatchedMethod[S, K, V]: ...
@overload
def batched(**options: Unpack[BatchedOptions]) -> Decorator: ...
def batched(  # noqa: D417 - the first one is what is decorated
    load: Any = None,
    /,
    *,
    max_batch_size: int | None = 100,
    max_delay: float | None = None,
    dispatch: Rule = "quiet",
    key: Callable[[Any], Hashable] | None = None,
    batch_key: Callable[[Any], Hashable] | None = None,
    on_error: Literal["raise", "bisect"] = "raise",
    weight: Callable[[Any], float] | None = None,
    max_batch_weight: float | None = None,
    limiter: Limiter | None = None,
) -> Any:
    """Turn ``async def load(keys)`` into ``async def load(key)``: callers ask one by one, the backend is asked once.

    The function gets a list of different keys. It returns a mapping ``{key: result}``, whose other keys are
    ignored, or a sequence of as many results, in the keys' order. An exception among the results is that key's own.

    Callers of an equal key share one load while it waits or runs. It runs in a task of its own and in an empty
    context, since it is no caller's alone: what it depends on (a tenant, a user) must be in the keys. Loads of
    other event loops and of other instances, for a method, are others; no instance is kept alive.

    Inside an ``async with scope()`` each key is asked for once.

    Args:
        max_batch_size: How many keys a batch may have; None is no limit.
        max_delay: Seconds after which a batch is sent at the latest; None is no limit, but 0.05 with ``"scope"``.
        dispatch: When a batch is sent that is not full. ``"quiet"``: no key has come for two passes of the event
            loop. ``"scope"``: every item of the fan-out around the callers waits for a loader; as ``"quiet"``
            outside of one, and in tasks that its items start. ``"tick"``: in the next pass of the loop.
        key: ``key(key)`` says which keys are equal, if they are not hashable or more are equal than seem so; the
            mapping's keys are then what it returns.
        batch_key: ``batch_key(key)`` says which keys may travel together: those for which it is equal.
        on_error: When the function raises, ``"raise"`` gives that to all callers of the batch. ``"bisect"`` asks
            again for halves of it, so that only keys fail that do so alone: some 2 log2(n) further calls.
        weight: ``weight(key)``, in whatever unit the backend's limit is given.
        max_batch_weight: What the keys of one batch may weigh together.
        limiter: A `Limiter` that each call of the function passes; without one a slow batch holds up no other.

    Raises:
        TypeError: It is no ``async def`` function, or an option is of the wrong type.
        ValueError: An option is out of its range.

    Raises (when called):
        Exception: What the function raised, or returned for this key.
        MissingKeyError: The mapping has no result for it.
        BatchResultError: The function returned neither a mapping nor a sequence as long as the keys.
        SelfCancelledError: It raised `asyncio.CancelledError`, but nobody had cancelled it.
        RecursiveLoadError: The call waits, directly or through others, for itself.
        ScopeEndedError: The async `scope` around the call ended meanwhile.
        ValueError: The key alone weighs more than ``max_batch_weight``.

    Cancellation: Harms nobody else. A key that nobody wants any more is not asked for; when all callers of a
        batch that runs have left, it is cancelled, and the last one waits for its end.

    Example:
        >>> from asyncfan.testing import run
        >>> @batched
        ... async def get_user(ids):
        ...     print("asked for", ids)
        ...     return {id: f"user {id}" for id in ids}
        >>> async def main():
        ...     return await asyncio.gather(get_user(1), get_user(2), get_user(1))
        >>> run(main())
        asked for [1, 2]
        ['user 1', 'user 2', 'user 1']
    """
    positive_int("max_batch_size", max_batch_size)
    positive_number("max_delay", max_delay)
    if dispatch not in RULES:
        raise ValueError(f"dispatch must be one of {', '.join(map(repr, RULES))}, got {dispatch!r}")
    if on_error not in {"raise", "bisect"}:
        raise ValueError(f"on_error must be 'raise' or 'bisect', got {on_error!r}")
    for name, function in {"key": key, "batch_key": batch_key, "weight": weight}.items():
        if not (function is None or callable(function)):
            raise TypeError(f"{name} must be a function of a key, got {function!r}")
    if (weight is None) != (max_batch_weight is None):
        raise TypeError("weight and max_batch_weight go together: weight=len, max_batch_weight=1_000_000")
    positive_number("max_batch_weight", max_batch_weight, "a weight")
    check_limiter(limiter)
    make = partial(
        _batched,
        max_batch_size=max_batch_size,
        max_delay=max_delay,
        dispatch=dispatch,
        key=key,
        batch_key=batch_key,
        bisects=on_error == "bisect",
        weight=weight,
        max_batch_weight=max_batch_weight,
        limiter=limiter,
    )
    return make if load is None else make(load)


def _batched(load: Any, **options: Any) -> Any:
    if isinstance(load, staticmethod):
        return staticmethod(_batched(load.__func__, **options))
    if isinstance(load, classmethod):
        raise TypeError("batched goes inside: @classmethod above @batched")
    _check(load)
    name = getattr(load, "__qualname__", None) or type(load).__qualname__
    is_method = _is_method(load, name)
    loader = Loader(load, name.rpartition("<locals>.")[2], is_method=is_method, **options)
    found = (
        BatchedFunction(loader.one)
        if is_method
        else BatchedFunction(quick(loader) if loader.plain else loader.one, None)
    )
    found.loader = loader
    return update_wrapper(found, load, assigned=("__module__", "__name__", "__qualname__", "__doc__"))


def _check(load: Any) -> None:
    if inspect.iscoroutine(load):
        load.close()
        raise TypeError("batched takes the function itself, not a call of it: batched(load), not batched(load(...))")
    if not callable(load):
        raise TypeError(f"batched takes an async def function of many keys, got {load!r}")
    if inspect.isasyncgenfunction(load) or inspect.isgeneratorfunction(load):
        raise TypeError(f"{load.__qualname__}() is a generator: return a list or a dict of all results instead")
    if not any(map(inspect.iscoroutinefunction, (load, getattr(load, "__call__", None)))):  # noqa: B004
        name = getattr(load, "__qualname__", repr(load))
        raise TypeError(
            f"{name}() must be an async def; for one that blocks: async def load(keys): "
            f"return await asyncio.to_thread({name}, keys)"
        )


def _is_method(load: Any, name: str) -> bool:
    """Whether ``load`` takes an instance before the keys."""
    needed = [x for x in inspect.signature(load).parameters.values() if x.default is x.empty and x.kind in _POSITIONAL]
    owner = name.rpartition(".")[0]
    match needed:
        case [_]:
            return False
        case [_, _] if owner and not owner.endswith("<locals>"):
            return True
    got = ", ".join(parameter.name for parameter in needed) or "none"
    raise TypeError(f"{name}() must have one parameter, the list of keys, got {got}")


_KEY = inspect.Parameter("key", inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SIGNATURE = inspect.Signature([_KEY])
_METHOD_SIGNATURE = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), _KEY])
_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
