"""WSGI's words (PEP 3333), and what an environ says of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ...http.messages import RequestParts

__all__ = ["Environ", "StartResponse", "WSGIApp", "parts_of", "path_of"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_BODY = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}


def path_of(environ: Environ) -> str:
    """Return the path as the application sees it, decoded."""
    return _path_bytes(environ).decode("utf-8", "replace") or "/"


def parts_of(environ: Environ) -> RequestParts:
    """Return a request's parts."""
    query = environ.get("QUERY_STRING", "").encode("latin-1")
    scheme = environ["wsgi.url_scheme"]
    return RequestParts(environ["REQUEST_METHOD"], scheme, _raw_path(environ), query, _headers(environ))


def _path_bytes(environ: Environ) -> bytes:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1")


def _raw_path(environ: Environ) -> bytes:
    """The path as it came, where the server tells; else encoded anew: applications cannot tell the difference."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    found: bytes = raw.encode("latin-1").partition(b"?")[0]
    path = _path_bytes(environ)
    return found if unquote_to_bytes(found) == path else quote_from_bytes(path).encode()


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    found = [(_BODY[name], str(environ[name]).encode("latin-1")) for name in _BODY if environ.get(name)]
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            found.append((name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")))
    if "HTTP_HOST" not in environ:
        found.append((b"host", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}".encode("latin-1")))
    return found
