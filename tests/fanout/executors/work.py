"""What the tests send to other processes; imported there, so it imports nothing of the tests' own."""

import asyncio
import os
import signal
import threading
import time
from contextvars import ContextVar
from pathlib import Path

VAR = ContextVar("VAR", default="unset")


class OddError(Exception):
    """Raised with two arguments, of which its args have one: it can be pickled, but not read again."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


class Unreadable:
    """An object that can be pickled, but not read again."""

    def __reduce__(self):
        return fail, ("unreadable",)


def fail(text):
    """Raise."""
    raise LookupError(text)


def double(x):
    """Return twice ``x``."""
    return 2 * x


def nap(seconds):
    """Sleep."""
    time.sleep(seconds)


def where(_=None):
    """Return the process that it runs in."""
    return os.getpid()


def look(_=None):
    """Return what the context variable is there, and set it."""
    found = VAR.get()
    VAR.set("set by an item")
    return found


def odd_fails(x):
    """Raise for odd numbers."""
    if x % 2:
        raise KeyError(f"{x} is odd")
    return x


def pick(kind):
    """Return or raise what is hard to send back."""
    if kind == "odd error":
        raise OddError(7, "seven")
    if kind == "stop":
        raise StopIteration
    if kind == "cancelled":
        raise asyncio.CancelledError
    if kind == "lock":
        return threading.Lock()
    if kind == "unreadable":
        return Unreadable()
    if kind == "awaitable":
        return asyncio.sleep(0)
    return kind


def hold(path):
    """Say by a file that it is here, in which process, and wait for another that lets it go; return the file's name."""
    path = Path(path)
    with path.with_suffix(".here").open("a") as here:
        here.write(f"{os.getpid()}\n")
    end = time.monotonic() + 20
    while not path.with_suffix(".go").exists() and time.monotonic() < end:
        time.sleep(0.005)
    with path.with_suffix(".ended").open("a") as ended:
        ended.write(".")
    return path.name


def begun(path):
    """Return how many calls of `hold` have begun."""
    return len(pids(path))


def pids(path):
    """Return the processes in which calls of `hold` have begun."""
    here = Path(path).with_suffix(".here")
    return [int(line) for line in here.read_text().split()] if here.exists() else []


def die(kind):
    """Kill the process that this runs in, if told so."""
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return kind
