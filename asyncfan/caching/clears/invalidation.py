"""What a whole cache drops at a word, in this process and in the tier that processes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..calls.call_keys import without_surroundings
from ..calls.keys import untyped
from ..freshness.load import checked_tags
from ..loads.tiering import is_shareable
from .cleared import Cleared, Told
from .patterns import Pattern

if TYPE_CHECKING:
    import weakref

    from ..memory.store import Store
    from ..operation import Operation
    from ..shared.tier import SharedTier
    from .tags import Clears

__all__ = ["Invalidation"]


class Invalidation:
    """The part of a cache that clears."""

    # the cache's
    tier: SharedTier | None
    operations: weakref.WeakKeyDictionary[Operation, None]
    store: Store
    clears: Clears

    def clear(self, pattern: str, *, dry_run: bool = False) -> Cleared:
        """Drop every entry whose key matches ``pattern``, in which ``*`` stands for anything.

        When it returns, none of them is served any more, and no load in flight for one is stored or joined. It need
        not be awaited; see `Cleared`. Numbers and strings that look alike both match: ``42`` means 42 and "42". Since
        ``user:42*`` also means user 420, prefer `clear_prefix` where that matters. What a function's ``cache_key``
        returns is a pattern too, and ``*:@tenant/acme*`` means whatever was stored in ``scope(tenant="acme")``.

        The first clear of a part of more than 1,000 entries of one function makes an index of them, of about 100 bytes
        an entry, in small steps. From then on it costs what it drops, and what else begins as the pattern does up to
        its first ``*``.

        Args:
            pattern: What to drop.
            dry_run: Only count what would go.

        Raises:
            TypeError: ``pattern`` is not a string.
            ValueError: It is empty or has nothing but ``*``: `clear_all` says that.

        Example:
            >>> cache.clear("user:profile:42*")
            <Cleared 0 entries>
        """
        return self.clear_patterns(*Pattern.readings(pattern), dry_run=dry_run)

    def clear_prefix(self, *parts: object, dry_run: bool = False) -> Cleared:
        """Drop the entry of the key ``part:part:...`` and all below it, exactly by segment.

        Since each level's key begins with the coarser one's, that is a call in every tenant's and principal's scope.

        Args:
            *parts: The first is the prefix given at decoration (or its first segments), the others argument values.
            dry_run: Only count what would go.

        Raises:
            ValueError: No part is given: `clear_all` says that.

        Example:
            >>> cache.clear_prefix("user:profile", 42)  # not 420
            <Cleared 0 entries>
        """
        if not parts:
            raise ValueError("clear_prefix() would drop everything: call clear_all() if that is meant")
        return self.clear_patterns(Pattern.under(parts), dry_run=dry_run)

    def clear_tags(self, *tags: str, dry_run: bool = False) -> Cleared:
        """Drop every entry that carries one of the ``tags``, whatever function it is of.

        A load in flight that has one of them in the end is not stored, even if it adds it only now; who called before
        may get what it gives, who calls from now on does not. It costs what it drops.

        Args:
            *tags: As given by ``cache_function(tags=...)`` or ``current_load().tag(...)``, without wildcards.
            dry_run: Only count what would go.

        Raises:
            TypeError: A tag is not a string.
            ValueError: A tag is empty, or none is given.

        Example:
            >>> @cache.cache_function(tags="user:{user}")
            ... def name_of(user):
            ...     return f"user {user}"
            >>> name_of(42)
            'user 42'
            >>> cache.clear_tags("user:42")
            <Cleared 1 entries>
        """
        if not checked_tags(tags):
            raise ValueError('clear_tags() takes at least one tag, such as clear_tags("user:42")')
        return self._tell(dry_run, tags=tags).join(self.forget_tags(*tags, dry_run=dry_run))

    def clear_all(self, *, dry_run: bool = False) -> Cleared:
        """Drop every entry of this cache; no load in flight is stored or joined.

        Args:
            dry_run: Only count what would go.
        """
        return self._tell(dry_run, everything=True).join(self.forget_all(dry_run=dry_run))

    def clear_patterns(self, *patterns: Pattern, dry_run: bool = False) -> Cleared:
        """Drop every entry that one of the ``patterns`` means, of which no two mean the same entry."""
        return self._tell(dry_run, patterns=patterns).join(self.forget_patterns(*patterns, dry_run=dry_run))

    def clear_operation(self, operation: Operation) -> Cleared:
        """Drop every entry of one function or endpoint; from the shared tier, every one that its prefix begins."""
        told = self._tell(patterns=(Pattern(operation.prefix, subtree=True),))
        cleared = Cleared(self.store)
        operation.clear_matching(None, cleared)
        return told.join(cleared.begin())

    def clear_call(self, operation: Operation, key: Any, *, scoped: bool = True) -> Cleared:
        """Drop the entry of one call, whatever the scope it was made in; not ``scoped``: it was made in none."""
        base = without_surroundings(key) if scoped else key
        below = (Pattern(untyped(operation.text(base)) + ":@", tail=True),) if scoped else ()
        told = self._tell(texts=[operation.text(one) for one in dict.fromkeys((key, base))], patterns=below)
        cleared = Cleared(self.store)
        cleared.count = operation.clear_key(key) + (operation.clear_key(base) if base is not key else 0)
        for pattern in below:
            operation.clear_matching(pattern, cleared)
        return told.join(cleared.begin())

    def _tell(
        self,
        dry_run: bool = False,  # noqa: FBT001, FBT002 - as its callers have it
        *,
        texts: Sequence[str] = (),
        patterns: Sequence[Pattern] = (),
        tags: Sequence[str] = (),
        everything: bool = False,
    ) -> Told:
        """Tell the tier that processes share of a clear, before memory is cleared: it must not be read from there."""
        shareable = [text for text in texts if is_shareable(text)]
        if self.tier is None or dry_run:
            return Told()
        dropped = self.tier.drop(shareable) if shareable else None
        if patterns or tags or everything:
            return Told(dropped, self.tier.clear(patterns=patterns, tags=tags, everything=everything))
        return Told(dropped)

    # -- clearing memory alone, as other processes ask for it -------------------------------------------------------

    def forget_tags(self, *tags: str, dry_run: bool = False) -> Cleared:
        """Drop every entry of this process that carries one of the ``tags``."""
        cleared = Cleared(self.store, dry_run=dry_run)
        found = tuple(dict.fromkeys(tags))
        with self.store.lock:
            operations = list(self.operations)
            if not dry_run:
                self.clears.add(found, in_flight=any(op.flights for op in operations))
            for op in operations:
                (op.count_tags if dry_run else op.clear_tags)(found, cleared)
        return cleared.begin()

    def forget_all(self, *, dry_run: bool = False) -> Cleared:
        """Drop every entry of this process."""
        cleared = Cleared(self.store, dry_run=dry_run)
        for op in list(self.operations):
            (op.count_matching if dry_run else op.clear_matching)(None, cleared)
        return cleared.begin()

    def forget_patterns(self, *patterns: Pattern, dry_run: bool = False) -> Cleared:
        """Drop every entry of this process that one of the ``patterns`` means."""
        cleared = Cleared(self.store, dry_run=dry_run)
        for op in list(self.operations):
            for pattern in patterns:
                if pattern.touches(op.prefix):
                    (op.count_matching if dry_run else op.clear_matching)(pattern, cleared)
        return cleared.begin()

    def forget_texts(self, *texts: str) -> Cleared:
        """Drop the entries of this process by their keys' texts; those that look alike go too."""
        return self.forget_patterns(*{Pattern(untyped(text)) for text in texts})
