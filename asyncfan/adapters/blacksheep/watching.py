"""BlackSheep's requests, made to tell of the headers that are read of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...http.auditing import Watched

__all__ = ["watch"]

_READS = ("get_first_header", "get_headers", "get_single_header", "has_header")


def watch(request: Any, saw: Callable[[str], None]) -> None:
    """Call ``saw`` with the name of each header that is read from now on, of which cookies are one.

    The request's class is compiled, but what its objects hold goes before its methods.
    """
    known = vars(request)
    known["_headers"] = Watched(request.headers, saw)
    known.update({name: _telling(getattr(request, name), saw) for name in _READS})


def _telling(read: Callable[[bytes], Any], saw: Callable[[str], None]) -> Callable[[bytes], Any]:
    def reads(key: bytes) -> Any:
        saw(key.decode("latin-1"))
        return read(key)

    return reads
