"""What a tier counted, as a frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TierStats"]


@dataclass(frozen=True, slots=True)
class TierStats:
    """What a tier did since it was made.

    Attributes:
        found: Values that were of use.
        refused: Values that were there, but cleared.
        unreadable: ``{reason: values that were there, but could not be read}``.
        stored: Values written.
        fenced: Values that came too late, since their lease was lost, and were not written.
        failed: Values that could not be written.
        unavailable: Reads and leases that did without the server.
        pending: Keys, patterns and tags whose invalidation the server does not have yet.
        listening: Whether other processes' invalidations arrive now.
        losses: How often that connection was lost.
    """

    found: int
    refused: int
    unreadable: dict[str, int]
    stored: int
    fenced: int
    failed: int
    unavailable: int
    pending: int
    listening: bool
    losses: int
