"""Frameworks whose handlers return nothing, but write on a response that was there before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..http.messages import Draft, Headers, Visit

__all__ = ["Placed", "drafted", "overlaid", "placed"]

_OVERWRITTEN = frozenset({b"content-type", b"content-length", b"date", b"server"})  # defaults, which say nothing yet


@dataclass(slots=True)
class Placed(Visit):
    """A visit whose response was made before the handler ran.

    Attributes:
        response: What the handler writes on.
        before: The headers that it had then: defaults, and what guards and middlewares wrote.
        kept: Whatever else the adapter has to put back.
        inner: Whether another decorated handler has called this one, to write on the same response: then it only runs.
    """

    response: Any = None
    before: Headers = ()
    kept: Any = None
    inner: bool = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the handler run; what is called inside on the same response is `inner`."""
        before = _running.set(self)
        try:
            yield
        finally:
            _running.reset(before)


_running: ContextVar[Placed | None] = ContextVar("asyncfan_response_in_place", default=None)


def placed(request: Any, args: tuple[Any, ...], kwargs: dict[str, Any], response: Any, before: Headers) -> Placed:
    """Return the visit of a call."""
    extra = tuple(pair for pair in before if pair[0] not in _OVERWRITTEN)
    around = _running.get()
    inner = around is not None and around.response is response
    return Placed(request, args, kwargs, extra, response, before, inner=inner)


def drafted(visit: Placed, status: int, now: Headers, body: bytes) -> Draft:
    """Return the draft of what the handler wrote: those headers that were not there before it, or were others."""
    before, after = _lines(visit.before), _lines(now)
    wrote = [pair for pair in now if after[pair[0]] != before.get(pair[0])]
    if b"content-length" not in after:
        wrote.append((b"content-length", b"%d" % len(body)))
    return Draft(status, tuple(wrote), body, merges=True)


def overlaid(visit: Placed, headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return all headers but cookies for a response: those from before the handler, with ``headers`` in their place."""
    own = [pair for pair in headers if pair not in visit.extra and pair[0] != b"set-cookie"]
    replaced = {name for name, _ in own if name != b"vary"} | {b"set-cookie"}
    return [*(pair for pair in visit.before if pair[0] not in replaced), *own]


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found
