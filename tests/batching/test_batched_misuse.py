"""Every message that a wrong use of `batched` gets, in full."""

import re

import pytest

from asyncfan import batched


async def load(keys):
    """Return what it is given."""
    return keys


def blocking(keys):
    """Return what it is given, without waiting."""
    return keys


async def generates(keys):
    """Yield what it is given."""
    for key in keys:
        yield key


async def two(session, keys):
    """Take more than keys."""


async def none():
    """Take no keys."""


class Callable:
    """Be called like a function."""

    def __call__(self, keys):
        """Return what it is given."""


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: batched(max_batch_size=0), ValueError, "max_batch_size must be >= 1 or None, got 0"),
        (lambda: batched(max_delay=0), ValueError, "max_delay must be seconds > 0 or None, got 0"),
        (
            lambda: batched(dispatch="soon"),
            ValueError,
            "dispatch must be one of 'quiet', 'scope', 'tick', got 'soon'",
        ),
        (lambda: batched(on_error="collect"), ValueError, "on_error must be 'raise' or 'bisect', got 'collect'"),
        (lambda: batched(key="id"), TypeError, "key must be a function of a key, got 'id'"),
        (lambda: batched(batch_key=3), TypeError, "batch_key must be a function of a key, got 3"),
        (
            lambda: batched(weight=len),
            TypeError,
            "weight and max_batch_weight go together: weight=len, max_batch_weight=1_000_000",
        ),
        (
            lambda: batched(weight=len, max_batch_weight=0),
            ValueError,
            "max_batch_weight must be a weight > 0 or None, got 0",
        ),
        (
            lambda: batched(load([1])),
            TypeError,
            "batched takes the function itself, not a call of it: batched(load), not batched(load(...))",
        ),
        (lambda: batched(3), TypeError, "batched takes an async def function of many keys, got 3"),
        (
            lambda: batched(blocking),
            TypeError,
            (
                "blocking() must be an async def; for one that blocks: async def load(keys): "
                "return await asyncio.to_thread(blocking, keys)"
            ),
        ),
        (
            lambda: batched(generates),
            TypeError,
            "generates() is a generator: return a list or a dict of all results instead",
        ),
        (lambda: batched(two), TypeError, "two() must have one parameter, the list of keys, got session, keys"),
        (lambda: batched(none), TypeError, "none() must have one parameter, the list of keys, got none"),
        (lambda: batched(classmethod(load)), TypeError, "batched goes inside: @classmethod above @batched"),
    ],
)
def test_wrong_options_are_refused_where_they_are_written(make, error, message):
    """A wrong option or function fails at decoration, with its name, the rule and the value."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: batched(load)([1]),
            TypeError,
            "load(): a key must be hashable, or @batched(key=...) make it so, got [1]",
        ),
        (
            lambda: batched(load).many([1, [2]]),
            TypeError,
            "load(): a key must be hashable, or @batched(key=...) make it so, got [2]",
        ),
        (
            lambda: batched(key=lambda key: [key])(load)(1),
            TypeError,
            "load(): key= must make it so, got [1]",
        ),
        (
            lambda: batched(load).many("abc"),
            TypeError,
            "keys must be an iterable of keys, got one string: ['abc']?",
        ),
        (
            lambda: batched(weight=lambda _: -1, max_batch_weight=9)(load)("k"),
            ValueError,
            "weight must return a number >= 0, got -1 for key 'k'",
        ),
    ],
)
async def test_wrong_keys_are_refused_in_words(call, error, message):
    """The caller who gave such a key is told, and nobody else; nothing is left."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        await call()


async def test_an_error_of_the_users_own_key_function_passes():
    """A TypeError that a function of the user raises is not explained away."""

    def weight(key):
        raise TypeError("my own")

    with pytest.raises(TypeError, match=r"^my own$"):
        await batched(weight=weight, max_batch_weight=9)(load)(1)
