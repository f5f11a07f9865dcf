"""What goes wrong between here and an executor, in words; errors of the user's own pass through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from .parcel import dumps, run_chunk, uses_cloudpickle

__all__ = ["in_words", "like"]

E = TypeVar("E", bound=BaseException)

# What the picklers of the engines say, whatever class they say it with: PicklingError, AttributeError or TypeError.
_PICKLING = re.compile(r"can't (pickle|get local)|cannot pickle|could not (pickle|serialize)", re.IGNORECASE)


def in_words(error: Exception, executor: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> Exception:
    """Return what a call that ended with ``error`` is to raise: itself, or its like if others have it too.

    Where the executor failed and not the function, a note says what happened and what to do.
    """
    name = type(executor).__name__
    if isinstance(executor, ThreadPoolExecutor):
        return error
    if isinstance(error, CancelledError):
        return CancelledError(f"{name} dropped the call: it was shut down meanwhile, or somebody cancelled its future")
    if isinstance(error, BrokenExecutor):
        error = like(error)
        error.add_note(
            f"a worker process of {name} died (killed, out of memory, os._exit), could not start, or sent what cannot "
            "be unpickled. That breaks the whole pool: all its calls in flight are lost, whichever it was, and it "
            "takes no more: make a new one"
        )
    elif _PICKLING.search(str(error)):
        with suppress(Exception):  # a frozen exception takes no notes
            error.add_note(
                f"{name} sends functions and arguments to another process, but {_culprit(executor, function, args)} "
                "cannot be pickled: define functions at the top of a module, bind arguments with functools.partial, "
                "not with a lambda, and open files, locks and connections inside the function"
            )
    return error


def like(error: E) -> E:
    """Return a copy of ``error``, which several items have: each takes notes of its own."""
    kind = type(error)
    try:  # not copy.copy: tblib, which Dask loads, makes it share what it copies
        found = kind.__new__(kind, *error.args)
        found.__dict__.update(error.__dict__)
    except Exception:  # noqa: BLE001 - one that cannot be copied is shared
        return error
    found.__notes__ = list(getattr(error, "__notes__", ()))
    found.__cause__ = error.__cause__
    return found.with_traceback(error.__traceback__)


def _culprit(executor: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    for what, value in _parts(function, args):
        try:
            dumps(value, cloud=uses_cloudpickle(executor))
        except Exception:  # noqa: BLE001 - of the user's classes
            return f"{what} {value!r}"
    return "what the function returned or raised"


def _parts(function: Callable[..., Any], args: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    if function is run_chunk:  # it can be sent, and its parcel sees to itself
        function, args = args[0], ()
    while isinstance(function, partial):
        args, function = (*function.args, *function.keywords.values(), *args), function.func
    yield "the function", function
    for value in args:
        yield "the argument", value
