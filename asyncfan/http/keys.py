"""Which requests are the same request: the text of the key, per cache level (DESIGN: key granularity)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Hashable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from ..caching.calls.keys import escape, key_text, mark_of
from ..caching.calls.level import CacheLevel
from ..context import current_scope, scopes_in_use
from .messages import Declared, RequestParts

__all__ = ["Key", "KeyRule", "by_name", "normalised_query"]

_MOST_REMEMBERED = 1024  # request lines whose text is kept, a route
_LONGEST_TEXT = 200  # characters of a query or an argument list that a key shows; longer ones are digested
_LONGEST_VARY = 8  # request headers that a route may be found to vary on, beside the declared ones
_SECRET = secrets.token_bytes(32)  # digests of credentials mean nothing outside this process
_CREDENTIALS = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_SHOWN_CREDENTIALS = frozenset({b"authorization", b"cookie"})
_NEGOTIATION = frozenset({b"accept", b"accept-language"})
# What some servers, proxies and frameworks take for the request's own address or method, whoever asks: in every key,
# or one client could have its own host written into everybody's links.
_ADDRESS = frozenset(
    b"forwarded x-forwarded-host x-forwarded-server x-forwarded-proto x-forwarded-scheme x-forwarded-port "
    b"x-forwarded-prefix x-forwarded-path x-original-host x-original-url x-rewrite-url x-host x-url-scheme "
    b"x-http-method x-http-method-override x-method-override".split()
)
_ALWAYS_KEYED = _ADDRESS.union((b"host", b"content-type", b"content-length")) - {b"forwarded"}  # of which a part is
# What clients and proxies send with every request, whoever asks: in no key unless somebody declares it.
_TRANSPORT = _CREDENTIALS.union(
    _ADDRESS,
    b"host connection keep-alive te upgrade upgrade-insecure-requests expect content-type content-length "
    b"transfer-encoding accept accept-charset accept-encoding accept-language user-agent dnt origin referer priority "
    b"cache-control pragma if-match if-none-match if-modified-since if-unmodified-since if-range range via "
    b"x-forwarded-for x-real-ip x-requested-with x-request-id x-correlation-id "
    b"x-request-start traceparent tracestate baggage b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled "
    b"x-amzn-trace-id x-cloud-trace-context cf-ray sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest "
    b"sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc sec-purpose".split(),
)


_FORWARDED_ADDRESS = re.compile(rb"(?:host|proto)[ \t]*=[^,;]*")  # RFC 7239, section 4


class Key(NamedTuple):
    """The text of a key, and whether it names who is asking."""

    text: str
    private: bool


class KeyRule:
    """How the requests of one route become keys.

    Attributes:
        vary: Request headers whose values are in every key, sorted; replaced by `learn`, by nothing else.
        named: Those that caches in front of us must vary on.
    """

    def __init__(
        self,
        prefix: str,
        level: CacheLevel,
        declared: Declared,
        *,
        vary: Iterable[str] | None = None,
        params: Iterable[str] | None = None,
        ignore: Iterable[str] = (),
        public: bool = False,
    ) -> None:
        self._prefix = prefix
        self._level = level
        self._declared = declared
        self._public = public
        self._ignored = declared.credential_query.union(ignore)  # credentials are digested, not shown
        self._names = self._query_names(params)
        self._credentials = _CREDENTIALS | declared.credentials
        self._telling = self._credentials | _ADDRESS  # a request without any of them is what its line says
        self._request_lines: dict[tuple[str, str, bytes, bytes, bytes], Key] = {}  # bounded; {request line: key}
        self._opaque = declared.opaque and vary is None and not public
        asked = {name.strip().lower().encode("latin-1") for name in vary or ()} | declared.headers
        if level is CacheLevel.HIGH:
            asked |= _NEGOTIATION
        self.vary: tuple[bytes, ...] = tuple(sorted(asked))
        shown = frozenset() if public else _SHOWN_CREDENTIALS | declared.credentials
        cookies = {b"cookie"} if declared.cookies else set()
        # nothing of a request but its line is in the key, as long as nobody is known and nothing learned
        self._bare = level is not CacheLevel.HIGH and not (
            public or self._opaque or declared.headers or declared.credential_query
        )
        anything = {b"*"} if self._opaque else set()
        self.named: frozenset[bytes] = shown.union(asked, declared.own_headers, cookies, anything)

    def learn(self, names: Iterable[bytes]) -> bool:
        """Vary on more request headers from now on; return False if the level or their number forbids it."""
        more = {*self.vary, *names}
        if self._level is CacheLevel.LOW or len(more - self.named) > _LONGEST_VARY:
            return False
        self.vary = tuple(sorted(more))
        return True

    def key(  # noqa: C901 - the table of the levels, row by row
        self,
        parts: RequestParts,
        seen: dict[bytes, bytes],
        *,
        arguments: str = "",
        identity: Hashable = None,
        resolves: bool = False,
        query: bool = True,
    ) -> Key | str:
        """Return the key of a request, or in a word why it must not be looked up.

        Args:
            parts: The request.
            seen: Its headers, from `by_name`.
            arguments: Text of the handler's arguments that are not in the request line.
            identity: Who is asking, if the application said so.
            resolves: Whether the application was asked who it is: HIGH takes no credentials for an answer.
            query: Whether the query belongs to the key.
        """
        line = self._request_line(parts, seen.get(b"host", b""), query=query)
        known = arguments or identity is not None or scopes_in_use
        if self._bare and not known and not self.vary and self._telling.isdisjoint(seen):
            return line  # most requests
        ambient: Mapping[str, Any] = current_scope() if scopes_in_use else {}
        if identity is None and not resolves:
            identity = ambient.get("principal")
        credentials = self._presented(parts, seen)
        unknown = sorted(seen.keys() - _TRANSPORT) if self._opaque else ()
        guarded = bool(unknown) or not self._declared.headers.isdisjoint(seen)
        if not self._public and (credentials or guarded or identity is not None):
            if self._level is CacheLevel.LOW:
                return "credentials"
            if self._level is CacheLevel.HIGH and credentials and identity is None and resolves:
                return "unresolved-credentials"
            private = True
        else:
            private = False
        text = line.text + _address(seen)
        if arguments:
            text += f":a={_short(arguments)}"
        if self.vary:
            text += f":v={_digest(*(seen.get(name) for name in self.vary))}"
        if unknown:
            text += f":u={_digest(*(part for name in unknown for part in (name, seen[name])))}"
        if self._public or identity is not None:
            text += self._cookies(seen)
        if ambient:
            text += self._surroundings(ambient)
        return Key(text + self._who(credentials, identity), private)

    def keyed(self, *, identified: bool) -> frozenset[bytes]:
        """Return the request headers that keys depend on; ``identified``: who is asking stands there for a token."""
        credentials = self._credentials if not identified else self._credentials - {b"cookie"}
        return _ALWAYS_KEYED.union(self.vary, self._declared.own_headers, () if self._public else credentials)

    def _who(self, credentials: list[bytes | None], identity: Hashable) -> str:
        if self._public:
            return ""
        if identity is not None:
            return f":w=i{_digest(key_text(identity).encode())}"
        if credentials:
            return f":w=c{_digest(*credentials)}"
        return ":w=anonymous" if self._level is CacheLevel.HIGH else ""

    def _surroundings(self, ambient: Mapping[str, Any]) -> str:
        if self._level is CacheLevel.LOW:
            return ""
        names = sorted(ambient) if self._level is CacheLevel.HIGH else [name for name in ambient if name == "tenant"]
        return "".join(f":@{escape(name)}/{key_text(ambient[name])}" for name in names if name != "principal")

    def _cookies(self, seen: dict[bytes, bytes]) -> str:
        """Where the whole Cookie header is no part of the key, the cookies that guards read still are."""
        if not self._declared.cookies:
            return ""
        pairs = (pair.strip().partition(b"=") for pair in seen.get(b"cookie", b"").split(b";"))
        values = {name.strip(): value for name, _, value in pairs}
        return f":c={_digest(*(values.get(name) for name in sorted(self._declared.cookies)))}"

    def _presented(self, parts: RequestParts, seen: dict[bytes, bytes]) -> list[bytes | None]:
        """The credentials of a request, in one order; empty if it has none."""
        schemes = self._declared.credential_query
        shown = [text.encode() for name, text in _pairs(parts.query) if name in schemes] if schemes else []
        if self._credentials.isdisjoint(seen) and not shown:
            return []
        return [*(seen.get(name) for name in sorted(self._credentials)), *shown]

    def _request_line(self, parts: RequestParts, host: bytes, *, query: bool) -> Key:
        method = "GET" if parts.method == "HEAD" else parts.method
        line = (method, parts.scheme, host, parts.path, parts.query if query else b"")
        key = self._request_lines.get(line)
        if key is None:
            names = _short(escape(normalised_query(line[4], self._names, self._ignored)))
            text = f"{self.path_text(parts._replace(method=method), host)}:{names}"
            if len(self._request_lines) >= _MOST_REMEMBERED:
                self._request_lines.clear()
            key = self._request_lines[line] = Key(text, private=False)
        return key

    def path_text(self, parts: RequestParts, host: bytes) -> str:
        """Return how the keys of all requests for a path begin."""
        path = _short(escape(parts.path.decode("latin-1")))
        host_text = escape(host.decode("latin-1").lower())
        return ":".join((self._prefix, escape(parts.method), escape(parts.scheme), host_text, path))

    def _query_names(self, params: Iterable[str] | None) -> frozenset[str] | None:
        if params is not None:
            return frozenset(params)
        return self._declared.query if self._level is CacheLevel.LOW else None

    def __repr__(self) -> str:
        return f"<KeyRule {self._prefix!r} {self._level.name}, varies on {len(self.vary)} headers>"


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return a request's headers by name, the lines of a repeated one joined."""
    pairs = headers if isinstance(headers, list) else list(headers)
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found.clear()
    for name, value in pairs:
        found[name] = value if name not in found else found[name] + b"," + value
    return found


def normalised_query(query: bytes, names: frozenset[str] | None = None, ignored: frozenset[str] = frozenset()) -> str:
    """Return ``query`` sorted by parameter name; values of one name keep their order, nothing is decoded.

    Only ``&`` separates. Names are compared decoded, as the framework will, so that ``%61`` is ``a``.

    Args:
        query: The raw query string.
        names: The only parameters to keep; None keeps all.
        ignored: Parameters to drop.

    Example:
        >>> normalised_query(b"b=2&a=&t=1&t=0"), normalised_query(b"b=2&a=", frozenset({"a"}))
        ('a=&b=2&t=1&t=0', 'a=')
    """
    kept = [pair for pair in _pairs(query) if (names is None or pair[0] in names) and pair[0] not in ignored]
    kept.sort(key=lambda pair: pair[0])
    return "&".join(text for _, text in kept)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    texts = [text for text in query.decode("latin-1").split("&") if text]
    return [(unquote_plus(text.partition("=")[0]), text) for text in texts]


def _address(seen: dict[bytes, bytes]) -> str:
    """What a request's headers say of its own address, or nothing; of who is asking, for which Forwarded is, too."""
    found = {name: seen[name] for name in _ADDRESS if name in seen}
    if b"forwarded" in found:
        found[b"forwarded"] = b",".join(_FORWARDED_ADDRESS.findall(found[b"forwarded"].lower()))
    told = [part for name in sorted(found) if found[name] for part in (name, found[name])]
    return f":h={_digest(*told)}" if told else ""


def _digest(*values: bytes | None) -> str:
    digest = blake2b(digest_size=24, key=_SECRET)
    for value in values:  # each with its length, so that no value can pass for two, and absent is not empty
        digest.update(b"-" if value is None else b"%d:%b" % (len(value), value))
    return f"#{digest.hexdigest()}"  # "#" says that the text is of no use to other processes: they have other secrets


def _short(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    # '=' is no hexadecimal digit, so no escaped text begins like this
    return f"%={blake2b(text.encode(), digest_size=24).hexdigest()}{mark_of(text)}"
