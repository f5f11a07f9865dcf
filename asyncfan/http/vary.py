"""Vary: which request headers a response says it depends on (RFC 9110 section 12.5.5)."""

from __future__ import annotations

import re

from .messages import Headers

__all__ = ["header_values", "vary_names"]

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def header_values(headers: Headers, name: bytes) -> list[bytes]:
    """Return the values of every line of the header ``name``."""
    return [value for found, value in headers if found.lower() == name]


def vary_names(headers: Headers) -> frozenset[bytes]:
    """Return the request headers that a response says it varies on, in lower case; with ``*`` if it does.

    What is no name of a header stands for ``*``: who wrote it meant something, and nobody knows what.

    Example:
        >>> sorted(vary_names([(b"vary", b"Accept , ACCEPT-language,"), (b"vary", b"*")]))
        [b'*', b'accept', b'accept-language']
        >>> vary_names([(b"vary", b"Accept Language")])
        frozenset({b'*'})
    """
    members = (name.strip(b" \t") for name in b",".join(header_values(headers, b"vary")).split(b","))
    return frozenset(name.lower() if _TOKEN.fullmatch(name) else b"*" for name in members if name)
