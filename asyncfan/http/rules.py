"""Which paths of an application a middleware caches, and how: rules that are written by hand, one a route."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import Any

from ..caching.cache import Cache
from ..caching.calls.callables import as_prefix
from ..caching.calls.keys import escape
from ..caching.calls.level import CacheLevel, Expire
from .messages import Declared
from .options import Options, Stale, checked
from .serving import Server

__all__ = ["Rule", "Rules"]

_MOST_REMEMBERED = 4096  # paths of which it is known who answers them
_READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})  # RFC 9110 section 9.2.1, RFC 10008
_OPAQUE = Declared(opaque=True)  # what is behind a middleware may read anything
_NOTHING_ELSE = Declared()


class Rule:
    """Lets a middleware cache what one route of its application answers.

    On a hit nothing of the application runs: no guard of its own, no count, no log. So what it decides by must be in
    the key. Credentials are, and every header that is not known to be the transport's, unless ``vary`` says which
    headers the application reads, or ``public`` that all get the same.

    Args:
        path: As the application sees it, decoded. ``*`` stands for one segment, or a part of one; ``**`` at the end
            for all that is below.
        expire: As in `cache_response`, as all that is not mentioned here.
        cache_level: Likewise.
        methods: Methods to cache; HEAD is answered from a GET. Others reach the application.
        prefix: How keys begin; by default the path, escaped.
        identity: Called with the ASGI scope or the WSGI environ.
        stale_while_revalidate: Seconds or a timedelta after its expiry in which a response is sent at once, while the
            application is asked again in the background. A response's own ``stale-while-revalidate`` goes before it.
        clear_on_unsafe: Drop what is stored of a path when a method that changes it succeeds (RFC 9111 section 4.4).

    Raises:
        ValueError: The path does not begin with ``/``, has a ``**`` elsewhere than at its end; or as `cache_response`.
        TypeError: As `cache_response`.

    Example:
        >>> Rule("/items/*", expire=60)
        <Rule GET '/items/*'>
    """

    def __init__(
        self,
        path: str,
        expire: Expire = ...,
        cache_level: CacheLevel = CacheLevel.MEDIUM,
        *,
        methods: Iterable[str] = ("GET",),
        prefix: str | None = None,
        vary: Iterable[str] | None = None,
        params: Iterable[str] | None = None,
        public: bool = False,
        identity: Callable[[Any], Hashable] | None = None,
        cache_statuses: Iterable[int] = (200, 203, 301, 308),
        max_body: int = 1 << 20,
        max_private_expire: float | timedelta | None = None,
        expose_status: bool = True,
        honor_client_cache_control: bool = True,
        stale_if_error: Stale = None,
        stale_while_revalidate: Stale = None,
        clear_on_unsafe: bool = False,
    ) -> None:
        if not path.startswith("/"):
            raise ValueError(f'a rule\'s path must begin with "/", got {path!r}')
        if "**" in path.removesuffix("/**"):
            raise ValueError(
                f'"**" stands for all that is below, so only at the end of a path, after "/"; got {path!r}'
            )
        self.path = path
        whole = path.removesuffix("/**")
        self._below: bool = whole != path
        self._segments: list[list[str]] = [segment.split("*") for segment in whole.split("/")]
        self.prefix: str = escape(path) if prefix is None else as_prefix(prefix)
        self.options: Options = checked(
            expire=expire, level=cache_level, prefix=prefix, methods=methods, identity=identity, vary=vary,
            params=params, public=public, statuses=cache_statuses, max_body=max_body,
            max_private_expire=max_private_expire, expose_status=expose_status,
            honor_client=honor_client_cache_control, stale_if_error=stale_if_error,
            stale_while_revalidate=stale_while_revalidate, renews=True,
        )  # fmt: skip
        named = self.options.methods
        self.methods: frozenset[str] = named | {"HEAD"} if "GET" in named else named
        self.clear_on_unsafe = clear_on_unsafe
        self.declared: Declared = _NOTHING_ELSE if public or vary is not None else _OPAQUE

    def matches(self, path: str) -> bool:
        """Say whether the rule is for a path; never for one with ``..`` in it, which may be another one's.

        Example:
            >>> Rule("/a/*").matches("/a/b"), Rule("/a/*").matches("/a/b/c"), Rule("/a/**").matches("/a/b/c")
            (True, False, True)
        """
        asked, count = path.split("/"), len(self._segments)
        whole = len(asked) >= count if self._below else len(asked) == count
        return whole and ".." not in asked and all(map(_fits, asked, self._segments))

    def __repr__(self) -> str:
        return f"<Rule {', '.join(sorted(self.options.methods))} {self.path!r}>"


class Rules:
    """Who answers which requests: one server for each rule.

    Args:
        rules: The rules; the first that a request matches counts.
        home: Where the entries live.
        again: As in `Server`.

    Raises:
        ValueError: There is no rule, or one can never count.
        TypeError: One is no `Rule`.
    """

    def __init__(self, rules: Iterable[Rule], home: Cache, again: Callable[[Any], Any] | None) -> None:
        if isinstance(rules, Rule):
            raise TypeError(f'rules must be several Rule("/path", ...), got {rules!r}')
        self.rules: tuple[Rule, ...] = tuple(rules)
        _check(self.rules)
        self._servers: list[Server] = []
        for rule in self.rules:
            name = f"{', '.join(sorted(rule.options.methods))} {rule.path}"
            options = rule.options._replace(methods=rule.methods)
            self._servers.append(Server(home, rule.prefix, name, options, again))
        self._known: dict[tuple[str, str], tuple[Server, Rule] | None] = {}  # bounded; {(method, path): who answers}

    def find(self, method: str, path: str) -> tuple[Server, Rule] | None:
        """Return who answers a request and by which rule; None: the application alone."""
        asked = (method, path)
        if asked in self._known:
            return self._known[asked]
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        found = self._known[asked] = self._search(method, path)
        return found

    def _search(self, method: str, path: str) -> tuple[Server, Rule] | None:
        pairs = zip(self._servers, self.rules, strict=True)
        return next((pair for pair in pairs if method in pair[1].methods and pair[1].matches(path)), None)

    def changed_by(self, method: str, path: str) -> list[Server]:
        """Return whose entries of a path a request makes out of date, if it succeeds."""
        if method in _READING:
            return []
        pairs = zip(self._servers, self.rules, strict=True)
        return [server for server, rule in pairs if rule.clear_on_unsafe and rule.matches(path)]

    def __repr__(self) -> str:
        return f"<Rules {', '.join(rule.path for rule in self.rules)}>"


def _fits(segment: str, parts: list[str]) -> bool:
    """Say whether a segment is made of ``parts`` with something between them, in time that grows with its length."""
    at = len(parts[0])
    if len(parts) == 1 or not segment.startswith(parts[0]):
        return segment == parts[0]
    for part in parts[1:-1]:  # the first place leaves most for the rest
        found = segment.find(part, at + 1)
        if found < 0:
            return False
        at = found + len(part)
    return segment.endswith(parts[-1]) and len(segment) - len(parts[-1]) > at


def _check(rules: tuple[Rule, ...]) -> None:
    if not rules:
        raise ValueError('nothing is cached without a rule: write rules=[Rule("/items/*", expire=60)]')
    seen: set[tuple[str, str]] = set()
    for rule in rules:
        if not isinstance(rule, Rule):
            raise TypeError(f'rules must be several Rule("/path", ...), got {rule!r}')
        asked = {(method, rule.path) for method in rule.options.methods}
        if asked <= seen:
            raise ValueError(f"{rule!r} never counts: an earlier rule has its path and methods")
        seen |= asked
