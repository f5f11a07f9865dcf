"""The loads of `get_or_set_many`: items by keys of the user's own, those that are missing in one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...fanout.calling import as_coroutine_function
from ..freshness.freshness import Freshness
from ..loads.limits import limited
from .batch_loads import answers
from .batches import Batch, Wanted
from .many import outcome_of

if TYPE_CHECKING:
    from ..operation import Operation

__all__ = ["load_items", "outcome_of"]


async def load_items(
    op: Operation,
    todo: Sequence[tuple[str, Any, tuple[str, ...]]],
    loader: Callable[[list[Any]], Any],
    how: Freshness,
    *,
    collect: bool,
) -> dict[str, Any]:
    """Return ``{text: value}`` for the texts, keys and tags to do, as `Batch.fetch` does."""
    return await Batch(op, _loader_of_many(loader, how), how=how).fetch([Wanted(*one) for one in todo], collect=collect)


def _loader_of_many(loader: Callable[[list[Any]], Any], how: Freshness) -> Callable[[list[Any]], Awaitable[Any]]:
    """Return what loads a list of keys in one call, and gives a value or an exception for each."""
    call = as_coroutine_function(loader)
    name = getattr(loader, "__qualname__", None) or type(loader).__qualname__

    async def load(keys: list[Any]) -> Sequence[Any]:
        given: Mapping[Any, Any] | Sequence[Any] = await limited(
            name, partial(call, keys), how.hard_timeout, how.limiter
        )()
        return answers(name, keys, given)

    return load
