"""What is sent for a stored response: all of it, its headers for HEAD, or 304 to a client that has it."""

from __future__ import annotations

from collections.abc import Mapping

from .messages import Frozen, Headers
from .validators import none_match

__all__ = ["answer"]

# RFC 9110 section 15.4.5
_NOT_MODIFIED = frozenset({b"etag", b"cache-control", b"vary", b"content-location", b"date", b"expires", b"age"})
_REDIRECTS = 300  # the first status after the successes


def answer(
    frozen: Frozen, method: str, seen: Mapping[bytes, bytes], extra: Headers, age: float | None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body to send for ``frozen``.

    Args:
        frozen: The response.
        method: The request's method.
        seen: The request's headers by name.
        extra: Headers that guards set for this request; sent along where the framework would.
        age: Seconds since it was stored; None if it was made for this request.
    """
    extra = extra if frozen.merges else ()
    headers = _with_extra(frozen.headers, extra) if extra else [*frozen.headers]
    if age is not None:
        headers.append((b"age", b"%d" % age))
    condition = seen.get(b"if-none-match")
    # RFC 9110 section 13.2.1: a condition counts where the answer would be a success
    if condition is not None and frozen.tag and frozen.status < _REDIRECTS and none_match(condition, frozen.tag):
        kept = _NOT_MODIFIED.union(name for name, _ in extra)
        return 304, [pair for pair in headers if pair[0] in kept], b""
    return frozen.status, headers, b"" if method == "HEAD" else frozen.body


def _with_extra(headers: Headers, extra: Headers) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in extra}
    said = names & {b"set-cookie", b"cache-control"}
    kept = [pair for pair in headers if not (said and pair[0] == b"cache-control")]
    if b"set-cookie" in names and b"cache-control" not in names:
        kept.append((b"cache-control", b"private, no-cache"))  # no cache in front may keep this client's cookie
    return [*kept, *extra]
