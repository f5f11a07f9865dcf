"""Cache-Control and Expires: what a client wishes, and how long a response stays fresh (RFC 9111)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

__all__ = ["MOST_SECONDS", "directives", "freshness", "seconds", "too_old"]

MOST_SECONDS = 2**31  # RFC 9111 section 1.2.2: what an overflowing number of seconds counts as

_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'  # one that is not closed goes on to the end
_SKIPPED = rf'(?:{_QUOTED}|[^,"])*+'  # up to the next comma that is not inside of quotes
# name, optional = value, as a token or a quoted string; possessive, so that no text takes longer than its length
_TOKEN, _VALUE = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++", rf'{_QUOTED}|[^ \t,"]*+'
_DIRECTIVE = re.compile(
    rf"[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*({_VALUE}))?{_SKIPPED}(?:,|\Z)|{_SKIPPED}(?:,|\Z)", re.DOTALL
)


def directives(value: str) -> dict[str, str | None]:
    r"""Return the directives of a Cache-Control header, names in lower case, quoted values unquoted.

    Several header lines are joined by commas first. Unknown directives are kept, anything else is skipped.
    Of a repeated directive the strictest stays: the one without a value, or the smaller number.

    Example:
        >>> directives('No-Store, max-age="60", private="set-cookie"')
        {'no-store': None, 'max-age': '60', 'private': 'set-cookie'}
    """
    found: dict[str, str | None] = {}
    for match in _DIRECTIVE.finditer(value):
        if match[1] is None:
            continue
        name, text = match[1].lower(), _unquoted(match[2])
        found[name] = _stricter(found[name], text) if name in found else text
    return found


def seconds(text: str | None) -> int:
    """Return a directive's number of seconds; what is no number counts as 0, so as stale (RFC 9111, 4.2.1).

    Example:
        >>> seconds("60"), seconds("-1"), seconds("soon"), seconds(None)
        (60, 0, 0, 0)
    """
    if text is None or not (text.isascii() and text.isdigit()):
        return 0
    return MOST_SECONDS if len(text) > len(str(MOST_SECONDS)) else min(int(text), MOST_SECONDS)


def freshness(control: dict[str, str | None], expires: str | None, now: float, *, shared: bool) -> float:
    """Return for how many seconds a response says it may be reused; infinite if it says nothing.

    Args:
        control: Its Cache-Control directives.
        expires: Its Expires header, if it has one; one that is no date is in the past.
        now: The present, in seconds since the epoch.
        shared: Whether more than one person is served from the entry: then ``s-maxage`` counts first.
    """
    if shared and "s-maxage" in control:
        return seconds(control["s-maxage"])
    if "max-age" in control:
        return seconds(control["max-age"])
    if expires is None:
        return float("inf")
    try:
        return max(0.0, parsedate_to_datetime(expires).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def too_old(wish: Mapping[str, str | None], age: float) -> bool:
    """Say whether a client that wishes for this does not want a response of this age, in seconds."""
    if "no-cache" in wish:
        return True
    if "max-age" not in wish:
        return False
    most = seconds(wish["max-age"])
    return most == 0 or age > most


def _unquoted(text: str | None) -> str | None:
    if text is None or not text.startswith('"'):
        return text
    closed = re.fullmatch(r'"(?:[^"\\]|\\.)*"', text, re.DOTALL) is not None
    return re.sub(r"\\(.)", r"\1", text[1:-1] if closed else text[1:], flags=re.DOTALL)


def _stricter(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return None
    return min(one, other, key=seconds)
