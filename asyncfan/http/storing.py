"""Which responses may be stored, for how long, and as what (RFC 9111 section 3, as a shared cache)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from .cache_control import MOST_SECONDS, directives, freshness, seconds
from .messages import Draft, Frozen, Headers
from .validators import entity_tag
from .vary import header_values, vary_names

if TYPE_CHECKING:
    from ..caching.freshness.load import Load

__all__ = ["StoreRule", "age_of", "as_sent"]

_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_FORBID_STALE = frozenset({"proxy-revalidate", "s-maxage"})
_NEVER_STORED = _CONNECTION | {b"date", b"age", b"cache-status"}


def age_of(headers: Headers) -> int:
    """Return how many seconds a response had been stored elsewhere when it came, as it says itself.

    Example:
        >>> age_of([(b"age", b"30")]), age_of([])
        (30, 0)
    """
    return max((seconds(value.decode("latin-1")) for value in header_values(headers, b"age")), default=0)


def as_sent(draft: Draft, extra: Headers) -> Draft:
    """Return ``draft`` with what guards say of the response; their cookies travel beside the entry."""
    said = tuple(pair for pair in extra if pair[0] != b"set-cookie") if draft.merges else ()
    return replace(draft, headers=(*draft.headers, *said)) if said else draft


@dataclass(frozen=True, slots=True)
class StoreRule:
    """What one decorated handler's responses must be like to be stored.

    Attributes:
        expire: Seconds that an entry lives at most.
        statuses: Status codes that may be stored.
        max_body: Bytes of the largest body that may be stored.
        max_private_expire: Seconds that an entry lives at most whose key names who is asking.
        clock: The time of day, in seconds since the epoch.
        stale_if_error: Seconds after that in which it is served where the handler fails.
        stale_while_revalidate: Seconds in which it is served while another is made; None where nobody could.
    """

    expire: float
    statuses: frozenset[int] = frozenset({200, 203, 301, 308})
    max_body: int = 1 << 20
    max_private_expire: float = math.inf
    clock: Callable[[], float] = time.time
    stale_if_error: float = 0.0
    stale_while_revalidate: float | None = None

    def lifetime(self, draft: Draft, *, private: bool, said: Load | None = None) -> float | str:
        """Return for how many seconds ``draft`` may be stored, or in a word why it must not be.

        Args:
            draft: The response.
            private: Whether its key names who is asking, so that a private response may be stored under it.
            said: What the handler said by `current_load`.
        """
        control = directives(b",".join(header_values(draft.headers, b"cache-control")).decode("latin-1"))
        expires = header_values(draft.headers, b"expires")
        date = expires[0].decode("latin-1") if expires else None
        told = freshness(control, date, self.clock(), shared=not private)
        most: float = self.expire
        if said is not None and said.expire is not ...:
            most = said.expire  # type: ignore[assignment]  # seconds, as its setter left them
        most = min(most, self.max_private_expire) if private else most
        expire = min(most, told - age_of(draft.headers))
        encodings = header_values(draft.headers, b"content-encoding")
        checks = {
            "skipped": said is not None and not said.stores,
            "status": draft.status not in self.statuses or draft.status == HTTPStatus.PARTIAL_CONTENT,
            "range": bool(header_values(draft.headers, b"content-range")),
            "set-cookie": bool(header_values(draft.headers, b"set-cookie")),
            "no-store": "no-store" in control or "no-cache" in control,
            "private": "private" in control and not private,
            "encoded": any(value.strip().lower() != b"identity" for value in encodings),
            "vary": b"*" in vary_names(draft.headers),
            "size": len(draft.body) > self.max_body,
            "stale": expire <= 0,
        }
        return next((reason for reason, holds in checks.items() if holds), expire)

    def stale_for(self, draft: Draft, *, private: bool) -> tuple[float, float]:
        """Return for how long ``draft`` may be served stale: while it is made anew, and where that fails (RFC 5861).

        What the response says of it goes before the options, and a response may forbid it (RFC 9111 section 4.2.4).
        """
        control = directives(b",".join(header_values(draft.headers, b"cache-control")).decode("latin-1"))
        if "must-revalidate" in control or (not private and not control.keys().isdisjoint(_FORBID_STALE)):
            return 0.0, 0.0
        lives = {"stale-while-revalidate": self.stale_while_revalidate, "stale-if-error": self.stale_if_error}
        renewing, failing = (
            0.0 if option is None else seconds(control[name]) if name in control else option
            for name, option in lives.items()
        )
        return renewing, failing

    def freeze(
        self,
        draft: Draft,
        expire: float,
        *,
        method: str,
        private: bool,
        named: frozenset[bytes],
        outlives: float = 0.0,
    ) -> Frozen:
        """Return ``draft`` as it is stored and sent, with entity tag, Cache-Control and Vary.

        Args:
            draft: A response that may be stored.
            expire: For how many seconds, from `lifetime`.
            method: The request's method; only GET has validators and may be kept by caches in front of us.
            private: As in `lifetime`.
            named: Request headers that the key depends on.
            outlives: Seconds after ``expire`` in which it may still be served, the longer of `stale_for`.
        """
        age = age_of(draft.headers)
        headers = [(name.lower(), value) for name, value in draft.headers if name.lower() not in _NEVER_STORED]
        tag: bytes | None = None
        if method == "GET":
            tag = next(iter(header_values(headers, b"etag")), None)
            if tag is None:
                tag = entity_tag(draft.body)
                headers.append((b"etag", tag))
            if not header_values(headers, b"cache-control"):
                who = b"private, " if private else b""
                headers.append((b"cache-control", who + b"max-age=%d" % min(expire + age, MOST_SECONDS)))
            if more := named - vary_names(headers):
                headers.append((b"vary", b", ".join(sorted(more))))
        body, born = bytes(draft.body), self.clock() - age
        return Frozen(draft.status, tuple(headers), body, tag, born, expire + age, draft.merges, outlives)
