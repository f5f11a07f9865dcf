"""`audit=True`: what a handler reads of a request, held against what its key says of it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["Audit", "Watched"]

_LOG = logging.getLogger("asyncfan.http")
_EVERYTHING = "*"


class Watched:
    """A request's headers or cookies, which tell of each name that is read; whatever else they can do, they do.

    Adapters put one in the place of the framework's own.

    Example:
        >>> names = []
        >>> headers = Watched({"x-color": "red"}, names.append)
        >>> headers["x-color"], headers.get("x-size"), "x-form" in headers, names
        ('red', None, False, ['x-color', 'x-size', 'x-form'])
    """

    def __init__(self, inner: Any, saw: Callable[[str], None]) -> None:
        self._inner = inner
        self._saw = saw

    def __getitem__(self, name: str | bytes) -> Any:
        self._saw(_text(name))
        return self._inner[name]

    def __contains__(self, name: object) -> bool:
        self._saw(_text(name))
        return name in self._inner

    def __iter__(self) -> Iterator[Any]:
        self._saw(_EVERYTHING)
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if not callable(found):
            self._saw(_EVERYTHING)
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._saw(_text(args[0]) if args and isinstance(args[0], str | bytes) else _EVERYTHING)
            return found(*args, **kwargs)

        return call

    def __repr__(self) -> str:
        return f"<Watched {type(self._inner).__name__} of {len(self)}>"


def _text(name: object) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


class Audit:
    """Says once of each header and cookie that a handler reads without its being in the key.

    Args:
        name: The handler's, for messages.
        public: Whether credentials are left out of the key.
    """

    def __init__(self, name: str, *, public: bool) -> None:
        self._name = name
        self._public = public
        self._said: set[tuple[str, str]] = set()  # bounded by what the handler's code names

    def complain(self, read: Iterable[tuple[str, str]], keyed: frozenset[bytes]) -> None:
        """Warn of what was ``read``, as ("header" or "cookie", name), beyond the headers that are ``keyed``."""
        found = list(read)
        whole = {kind for kind, name in found if name == _EVERYTHING}  # then the names are those of this request alone
        for kind, name in found:
            if kind in whole and name != _EVERYTHING:
                continue
            fold = name.lower() if kind == "header" else name
            header = b"cookie" if kind == "cookie" else fold.encode("latin-1", "replace")
            if header in keyed or (kind, fold) in self._said:
                continue
            self._said.add((kind, fold))
            message = self._message(kind, name, header)
            _LOG.warning("%s", message)
            warnings.warn(message, stacklevel=2)

    def _message(self, kind: str, name: str, header: bytes) -> str:
        if name == _EVERYTHING:
            return (
                f"{self._name} reads all {kind}s of a request, which are not in its key. Read them by name, and name "
                f"those that matter: @cache_response(vary=(...))"
            )
        asked = "Cookie" if kind == "cookie" else name
        begin = f"{self._name} reads the {kind} {name!r}, which is not in its key: one client gets another's response. "
        if self._public and header in {b"cookie", b"authorization"}:
            return f"{begin}Take public=True away, or write @cache_response(public=True, vary=({asked!r},))"
        return f"{begin}Write @cache_response(vary=({asked!r},))"

    def __repr__(self) -> str:
        return f"<Audit of {self._name}, {len(self._said)} complaints>"
