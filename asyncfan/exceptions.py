"""Every exception that asyncfan raises itself; the user's own pass through unchanged."""

from __future__ import annotations

from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any

__all__ = [
    "AsyncfanError",
    "AttemptTimeoutError",
    "BatchResultError",
    "DeadlineExceededError",
    "DependencyFailedError",
    "LaggingConsumerError",
    "MissingKeyError",
    "RecursiveLoadError",
    "ScopeEndedError",
    "SelfCancelledError",
    "UnkeyableArgumentError",
    "UnsendableError",
    "UnstorableValueError",
]


class AsyncfanError(Exception):
    """Raised when asyncfan itself refuses or fails: the parent of the classes below."""

    def __reduce__(self) -> tuple[Any, ...]:
        # its message is made already: a process pool that could not read an error from a worker would break down
        return __newobj__, (type(self),), self.__dict__ | {"args": self.args}


class AttemptTimeoutError(AsyncfanError, TimeoutError):
    """Raised when one call of a function ran longer than ``timeout``."""


class BatchResultError(AsyncfanError, TypeError):
    """Raised when what a `batched` function returned does not answer its keys: no result can be told from another."""


class DeadlineExceededError(AsyncfanError, TimeoutError):
    """Raised when a fan-out did not finish before its ``deadline``.

    Attributes:
        outcomes: What became of each item until then: ``{name: Outcome}`` for named tasks, else a list in order.
    """

    def __init__(self, message: str, outcomes: Any = None) -> None:
        super().__init__(message)
        self.outcomes = outcomes


class DependencyFailedError(AsyncfanError, RuntimeError):
    """Raised when a task of a fan-out was not started because one whose result it needs has none.

    What that one raised, if it did, is the ``__cause__``.

    Attributes:
        chain: The names of the tasks that need each other, from the one that was not started to the one that failed.
    """

    def __init__(self, chain: tuple[Any, ...], status: str) -> None:
        what = {"error": "failed", "timeout": "timed out", "cancelled": "was cancelled"}.get(status, status)
        needs = ", which needs ".join(map(repr, chain[1:]))
        super().__init__(f"{chain[0]!r} was not started: it needs {needs}, which {what}")
        self.chain = chain


class LaggingConsumerError(AsyncfanError, RuntimeError):
    """Raised when a consumer of a cached async generator fell so far behind the others that its items are gone.

    Attributes:
        key: The text of the call's key.
        kept: How many items behind the foremost consumer one may be.
    """

    def __init__(self, key: str, kept: int) -> None:
        super().__init__(
            f"a consumer of {key!r} fell more than {kept} items behind another one: let it read faster, or keep more "
            "items, as in cache_function(max_items=...)"
        )
        self.key = key
        self.kept = kept


class MissingKeyError(AsyncfanError, KeyError):
    """Raised when the mapping that a `batched` function returned has no result for a key.

    Attributes:
        function: The name of the function.
        key: The key.
    """

    def __init__(self, function: str, key: Any) -> None:
        super().__init__(f"{function}() returned no result for the key {key!r}")
        self.function = function
        self.key = key

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError's own would quote it


class RecursiveLoadError(AsyncfanError, RuntimeError):
    """Raised when a cached or batched call waits, directly or through others, for its own result.

    Attributes:
        chain: The keys or calls that wait for one another, in text, the first repeated at the end.
    """

    def __init__(self, chain: tuple[str, ...], what: str = "cached call") -> None:
        super().__init__(f"a {what} waits for itself: {' -> '.join(chain)}")
        self.chain = chain


class ScopeEndedError(AsyncfanError, RuntimeError):
    """Raised when a call still waits for a batch while the ``async with scope()`` around it ends."""


class SelfCancelledError(AsyncfanError, RuntimeError):
    """Raised when a user's function raised ``CancelledError`` although nobody had cancelled it.

    A bare ``CancelledError`` would look to the caller as if the caller were being cancelled. The function's own
    error is the ``__cause__``.
    """


class UnkeyableArgumentError(AsyncfanError, TypeError):
    """Raised when an argument cannot be part of a cache key by its value.

    Attributes:
        function: The name of the cached function.
        parameter: The parameter that received the argument.
        type: The argument's type.
    """

    def __init__(self, function: str, parameter: str, type_: type[Any], ways: str | None = None) -> None:
        name = f"{type_.__module__}.{type_.__qualname__}".removeprefix("builtins.")
        ways = ways or (
            f"cannot be keyed by value. Do one of: "
            f"ignore=({parameter!r},) if the result does not depend on it; key=lambda ...: ... to build the key "
            f"from what it does depend on; register_key({type_.__name__}, lambda value: ...) to say what its value is"
        )
        super().__init__(f"{function}(): argument {parameter!r} of type {name} {ways}")
        self.function = function
        self.parameter = parameter
        self.type = type_


class UnsendableError(AsyncfanError, TypeError):
    """Raised when an item, a result or an exception of a chunk cannot be sent between processes."""


class UnstorableValueError(AsyncfanError, TypeError):
    """Raised when a value cannot be stored for other processes, because they would not get the same one back.

    Attributes:
        type: The value's type, or that of the value inside it that is to blame.
    """

    def __init__(self, type_: type[Any], why: str = "its type is not one of those that are kept") -> None:
        name = f"{type_.__module__}.{type_.__qualname__}".removeprefix("builtins.")
        super().__init__(
            f"a value of type {name} cannot be stored for other processes: {why}. Do one of: "
            f"register_codec({type_.__name__}, dumps=..., loads=...) to say what it is made of; return a value that is "
            "made of plain types, dataclasses or the like; use another serializer, such as UnsafePickle(secret=...)"
        )
        self.type = type_
