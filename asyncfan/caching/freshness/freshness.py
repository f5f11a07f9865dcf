"""How long what a function gave is served, and on what conditions: the options of `cache_function`, made ready."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..loads.flights import Failure
from ..memory.order import Entry
from .aging import Aging

if TYPE_CHECKING:
    from ...fanout import Limiter
    from ..loads.register import Seal
    from .adaptive import AdaptiveExpire
    from .load import Load

__all__ = ["Freshness", "kept_failure"]


class Freshness(NamedTuple):
    """What is known of a value's life before it is loaded; all times in seconds, `math.inf` for good.

    Attributes:
        expire: How long a value is fresh.
        adaptive: What finds ``expire`` instead.
        stale_while_revalidate: How much longer it is served while a load in the background replaces it.
        stale_if_error: How much longer than fresh it is served where its load fails.
        beta: XFetch's: above 0, a background load may begin before a value expires.
        jitter: The share of ``expire`` by which it is shortened at random, at most.
        negative_expire: How long None and cached exceptions are fresh; None: as long as other values.
        cache_exceptions: Exceptions that are answers: stored, and raised by hits.
        cache_if: Says of a value whether it is stored.
        soft_timeout: How long a caller waits for a load where there is an expired value; None: to its end.
        hard_timeout: How long a load may take; None: as long as it likes.
        limiter: What loads pass through, those in the background last.
        tags_of: Gives the tags of a call's value, from the call's arguments.
    """

    expire: float
    adaptive: AdaptiveExpire | None = None
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    beta: float = 0.0
    jitter: float = 0.0
    negative_expire: float | None = None
    cache_exceptions: tuple[type[Exception], ...] = ()
    cache_if: Callable[[Any], bool] | None = None
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    limiter: Limiter | None = None
    tags_of: Callable[..., tuple[str, ...]] | None = None

    @property
    def outlives(self) -> float:
        """How much longer than fresh a value may be served, on whatever condition."""
        return max(self.stale_while_revalidate, self.stale_if_error)

    def stores(self, value: Any, load: Load | None) -> bool:
        """Say whether ``value`` is to be stored at all; calls the user's ``cache_if``."""
        if load is not None and not load.stores:
            return False
        return self.cache_if is None or value.__class__ is Failure or bool(self.cache_if(value))

    def entry(
        self,
        key: Any,
        value: Any,
        now: float,
        seal: Seal,
        *,
        expire: float,
        cost: float = 0.0,
        load: Load | None = None,
        tags: tuple[str, ...] = (),
        random: Callable[[], float],
    ) -> Entry:
        """Return the entry for a value that took ``cost`` seconds to load and is fresh for ``expire`` seconds.

        The load's own word goes before ``negative_expire``, that before ``expire``.
        """
        told = load is not None and load.expire is not ...  # then only `Aging` knows its age
        if load is not None and told:
            expire = load.expire  # type: ignore[assignment]  # seconds, as its setter left them
        elif self.negative_expire is not None and (value is None or value.__class__ is Failure):
            expire = self.negative_expire
        if self.jitter and expire < math.inf:
            expire *= 1 - self.jitter * random()
        tags = tags if load is None else load.tags
        validator = None if load is None else load.validator_of(value)
        compares = validator is not None or self.adaptive is not None
        if not (told or tags or compares or self.outlives or self.beta or value.__class__ is Failure):
            return Entry(key, value, now + expire, seal)
        stale, last = expire + self.stale_while_revalidate, expire + self.stale_if_error
        life = (expire, stale, last, 2 * expire if compares else expire)
        return Aging(
            key, value, seal, born=now, life=life, cost=cost, beta=self.beta, tags=tags, validator=validator
        )  # fmt: skip


def kept_failure(error: Exception) -> Failure:
    """Return ``error`` as a value to store: a copy, without the frames that its traceback would keep alive."""
    try:
        kept = copy.copy(error)
    except Exception:  # noqa: BLE001 - a class whose constructor wants something else
        kept = error
    kept = kept if type(kept) is type(error) else error
    return Failure(kept.with_traceback(None))
