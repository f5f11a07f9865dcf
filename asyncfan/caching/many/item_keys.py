"""The text of a key of the user's own."""

from __future__ import annotations

import re
from typing import Any

from ..calls.keys import LONG_TEXT, Unkeyable, escape, short_text

__all__ = ["ItemKey", "item_text"]

ItemKey = str | tuple[Any, ...]

_PLAIN = re.compile(r"[A-Za-z0-9/@+!$&'._|:-]+")  # what `escape` leaves as it is, and ":"


def item_text(key: ItemKey) -> str:
    """Return the text of a key: in a text each ":" begins a segment; each part of a tuple is one, by its value.

    Of a tuple's first part, if it is a text, each ":" begins a segment too, as in `Cache.clear_prefix`.

    Raises:
        TypeError: It is neither, or a part has no value to key by.
        ValueError: It is empty.

    Example:
        >>> item_text("user:profile:42"), item_text(("user:profile", 42)), item_text(("user", "42"))
        ('user:profile:42', 'user:profile:42', 'user:42~s')
    """
    if not isinstance(key, str | tuple):
        raise TypeError(f'a key must be a text such as "user:42" or a tuple such as ("user", 42), got {key!r}')
    if not key:
        raise ValueError(f'a key must not be empty: write what the value is about, such as "user:42", got {key!r}')
    if isinstance(key, str):
        if len(key) <= LONG_TEXT and _PLAIN.fullmatch(key):
            return key
        return ":".join(map(_segment, key.split(":")))
    first, *rest = key
    parts = [*(first.split(":") if isinstance(first, str) else [first]), *rest]
    try:
        return ":".join(map(short_text, parts))
    except Unkeyable as error:
        kind = error.type.__qualname__
        raise TypeError(
            f"a part of the key has the type {kind}, which has no value to key by: use what identifies it, such as its "
            f"id, or register_key({kind}, lambda value: ...)"
        ) from None


def _segment(text: str) -> str:
    found = escape(text)
    return found if len(found) <= LONG_TEXT else short_text(text)
