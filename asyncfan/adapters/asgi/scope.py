"""ASGI's words, and what a scope says of a request, for all frameworks that keep theirs in one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from ...http.messages import RequestParts

__all__ = ["ASGIApp", "Message", "Receive", "Scope", "Send", "parts_of"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def parts_of(scope: Mapping[str, Any]) -> RequestParts:
    """Return the parts of the request of an HTTP scope."""
    scheme, query = scope.get("scheme", "http"), scope.get("query_string", b"")
    return RequestParts(scope["method"], scheme, _path(scope), query, scope["headers"])


def _path(scope: Mapping[str, Any]) -> bytes:
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    same = raw == path.encode() or unquote(raw.decode("latin-1")) == path
    return raw if same else quote(path).encode()  # a middleware has rewritten it: routes see the new one
