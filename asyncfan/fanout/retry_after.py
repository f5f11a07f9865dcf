"""How long a server asks its clients to wait, read from the exception that tells of its answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

__all__ = ["retry_after"]


def retry_after(error: BaseException, clock: Callable[[], float]) -> float | None:
    """Return the seconds that ``error`` asks to wait for before the next attempt, None if it does not say.

    The first of these that there is counts:

    1. ``error.retry_after``: seconds, a `timedelta`, or the text of the header;
    2. ``Retry-After`` in ``error.response.headers`` (httpx, requests);
    3. ``Retry-After`` in ``error.headers`` (aiohttp, urllib).

    The header has seconds or an HTTP date (RFC 9110, 10.2.3). A date is compared with the ``Date`` of the same headers,
    so that the clocks of server and client need not agree, else with ``clock()``, in seconds since 1970.
    """
    found = _get(error, "retry_after")
    if found is not None:
        return _seconds(found, clock)
    for headers in (_get(_get(error, "response"), "headers"), _get(error, "headers")):
        found = _header(headers, "Retry-After")
        if found is not None:
            return _seconds(found, partial(_sent, headers, clock))
    return None


def _get(thing: Any, name: str) -> Any:
    with suppress(Exception):  # httpx: a property that raises where there is no response
        return getattr(thing, name, None)
    return None


def _header(headers: Any, name: str) -> Any:
    for spelled in (name, name.lower()):  # a plain dict tells upper from lower case
        with suppress(Exception):
            if (found := headers.get(spelled)) is not None:
                return found
    return None


def _sent(headers: Any, clock: Callable[[], float]) -> float:
    date = _date(_header(headers, "Date"))
    return clock() if date is None else date


def _seconds(asked: Any, clock: Callable[[], float]) -> float | None:
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    try:
        seconds = float(asked)
    except (TypeError, ValueError):
        date = _date(asked)
        if date is None:
            return None
        seconds = date - clock()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(text: Any) -> float | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, AttributeError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
