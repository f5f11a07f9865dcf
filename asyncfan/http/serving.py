"""A request's way through the cache: key, lookup, one flight for all who wait, and the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from ..caching import MISSING
from ..caching.keys import Unkeyable, key_text
from ..caching.operation import Loaded, Operation
from .cache_control import directives, seconds
from .keys import Key, KeyRule, by_name
from .messages import Adapter, Declared, Draft, Frozen, Headers, RequestParts, Unshared, Visit
from .storing import StoreRule, vary_names
from .validators import none_match

__all__ = ["Server"]

_LOG = logging.getLogger("asyncfan.http")
_NOT_MODIFIED = frozenset({b"etag", b"cache-control", b"vary", b"content-location", b"date", b"expires"})
_BODILESS = frozenset({"GET", "HEAD"})
_NO_WISH: Mapping[str, str | None] = {}


@dataclass(slots=True)
class _Asked:
    """What was asked for: everything that the answer depends on."""

    adapter: Adapter
    visit: Any
    parts: RequestParts
    seen: dict[bytes, bytes]
    rule: KeyRule
    arguments: str = ""
    identity: Hashable = None


class Server:
    """Answers the requests of one decorated handler, from the cache where that is right.

    Args:
        operation: The handler's entries and flights.
        store: Which responses are stored.
        rule: Makes the key rule of a route from what it declares.
        name: The handler's name, for messages.
        methods: The methods that are cached.
        identity: Says who is asking, from the framework's request.
        key: Makes what is keyed of the handler's own arguments.
        ignore: Parameters that are no part of the key.
        expose_status: Whether Cache-Status is sent.
        honor_client: Whether a client may ask for a fresh response.
    """

    def __init__(
        self,
        operation: Operation,
        store: StoreRule,
        rule: Callable[[Declared], KeyRule],
        *,
        name: str,
        methods: frozenset[str],
        identity: Callable[[Any], Hashable] | None,
        key: Callable[..., Any] | None,
        ignore: frozenset[str],
        expose_status: bool,
        honor_client: bool,
    ) -> None:
        self._operation = operation
        self._store = store
        self._make_rule = rule
        self._rules: dict[
            int, tuple[KeyRule, Declared]
        ] = {}  # {id of what a route declares, kept alive here}
        self._name = name
        self._methods = methods
        self._identity = identity
        self._key = key
        self._ignore = ignore
        self._expose_status = expose_status
        self._honor_client = honor_client

    async def serve(self, adapter: Adapter, visit: Visit) -> Any:
        """Return the framework's response to one request.

        Raises:
            ValueError: The method changes things, so that skipping the handler would lose the change.

        Cancellation:
            A cancelled request ends its own handler. Requests that waited for it choose one of themselves to run it.
        """
        parts = adapter.parts(visit)
        if parts.method not in self._methods:
            self._refuse_unsafe(parts.method)
            return await self._pass(adapter, visit, "fwd=method")
        asked = _Asked(adapter, visit, parts, by_name(parts.headers), self._rule(adapter.declared(visit)))
        if parts.method in _BODILESS:
            key = "body" if _has_body(asked.seen) else self._key_of(asked)
        else:
            key = self._key_of(asked) if await self._add_body(asked) else "body"
        if isinstance(key, str):
            return await self._pass(adapter, visit, f"fwd=bypass; detail={key}")
        wish = self._wish(asked.seen)
        if wish and "no-store" in wish:
            return await self._pass(asked.adapter, asked.visit, "fwd=request; detail=no-store")
        found = self._operation.lookup(key.text)
        if found is not MISSING:
            age = max(0.0, self._store.clock() - found.stored_at)
            if not wish or not _too_old(wish, age):
                return self._send(asked, found, f"hit; ttl={_whole(found.expire - age)}", age)
        if "only-if-cached" in wish:
            return self._emit(asked, 504, [], b"", "fwd=request; detail=only-if-cached")
        forward = "fwd=miss" if found is MISSING else "fwd=request"
        if (
            asked.parts.method == "HEAD"
        ):  # its response may lack what a GET's has: never the origin of an entry
            return await self._pass(asked.adapter, asked.visit, forward)
        return await self._load(asked, key, forward)

    async def _load(self, asked: _Asked, key: Key, forward: str) -> Any:
        varied_on = asked.rule.vary

        async def load() -> Loaded:
            if (
                asked.rule.vary is not varied_on
            ):  # learned from the response that this one waited for: another key
                return Loaded((await self._lead_again(asked)).value, None)
            return await self._run(asked, key)

        loaded, how = await self._operation.lead(key.text, load)
        if isinstance(loaded.value, Unshared):
            status = f"{forward}; detail={loaded.value.reason}"
            return self._mark(asked.adapter, asked.visit, loaded.value.response, status)
        return self._send(asked, loaded.value, f"{forward}; {'stored' if how == 'miss' else 'collapsed'}")

    async def _lead_again(self, asked: _Asked) -> Loaded:
        key = self._compose(asked)
        if not isinstance(key, Key):  # only the values of more headers were added: as cacheable as it was
            raise TypeError(f"{self._name}: a learned Vary made a request uncacheable: {key}")
        loaded, _ = await self._operation.lead(key.text, lambda: self._run(asked, key))
        return loaded

    async def _run(self, asked: _Asked, key: Key) -> Loaded:
        adapter, visit = asked.adapter, asked.visit
        response, draft = await adapter.freeze(visit, await adapter.call(visit))
        if draft is None:
            return Loaded(Unshared(response, "unrepeatable"), None)
        whole = _as_sent(draft, visit.extra)
        reason = self._store.refusal(whole, private=key.private)
        if reason is None and not (more := vary_names(whole.headers)) <= set(asked.rule.vary):
            asked.rule.learn(more)
            reason = "vary"  # this one's key lacks the new name; the next request's has it
        if reason is not None:
            return Loaded(Unshared(response, reason), None)
        frozen = self._store.freeze(
            draft, method=asked.parts.method, private=key.private, named=asked.rule.named
        )
        return Loaded(frozen, frozen.expire)

    def _key_of(self, asked: _Asked) -> Key | str:
        visit = asked.visit
        if self._identity is not None:
            asked.identity = self._identity(visit.request)
        try:
            if self._key is not None:
                asked.arguments = key_text(self._key(*visit.args, **visit.kwargs))
            elif arguments := asked.adapter.arguments(visit):
                asked.arguments = self._arguments_text(arguments) + asked.arguments
            return self._compose(asked)
        except Unkeyable as error:
            _LOG.warning("%s: not cached, because %s", self._name, error)
            return "unkeyable"

    def _rule(self, declared: Declared) -> KeyRule:
        found = self._rules.get(id(declared))
        if found is None:
            found = self._rules[id(declared)] = (self._make_rule(declared), declared)
        return found[0]

    async def _add_body(self, asked: _Asked) -> bool:
        if self._key is not None:
            return True
        body = await asked.adapter.body(asked.visit)
        if body is None:
            return False
        kind = asked.seen.get(b"content-type", b"").decode("latin-1").strip().lower()
        digest = blake2b(body, digest_size=24).hexdigest() if body else ""
        asked.arguments = key_text([kind, digest])
        return True

    def _arguments_text(self, arguments: Mapping[str, Any]) -> str:
        return key_text([(name, value) for name, value in arguments.items() if name not in self._ignore])

    def _compose(self, asked: _Asked) -> Key | str:
        return asked.rule.key(
            asked.parts,
            asked.seen,
            arguments=asked.arguments,
            identity=asked.identity,
            resolves=self._identity is not None,
            query=self._key is None,
        )

    def _wish(self, seen: dict[bytes, bytes]) -> Mapping[str, str | None]:
        value = seen.get(b"cache-control")
        return directives(value.decode("latin-1")) if value is not None and self._honor_client else _NO_WISH

    def _send(self, asked: _Asked, frozen: Frozen, status: str, age: float | None = None) -> Any:
        headers = [*frozen.headers]
        if frozen.merges and asked.visit.extra:
            headers = _with_extra(headers, asked.visit.extra)
        if age is not None:
            headers.append((b"age", b"%d" % age))
        condition = asked.seen.get(b"if-none-match")
        if condition is not None and frozen.tag is not None and none_match(condition, frozen.tag):
            extra = {name for name, _ in asked.visit.extra} if frozen.merges else set()
            kept = _NOT_MODIFIED | {b"age"} | extra
            return self._emit(asked, 304, [pair for pair in headers if pair[0] in kept], b"", status)
        body = b"" if asked.parts.method == "HEAD" else frozen.body
        return self._emit(asked, frozen.status, headers, body, status)

    def _emit(
        self, asked: _Asked, code: int, headers: list[tuple[bytes, bytes]], body: bytes, status: str
    ) -> Any:
        if self._expose_status:
            headers.append((b"cache-status", f"asyncfan; {status}".encode()))
        return asked.adapter.emit(code, headers, body)

    async def _pass(self, adapter: Adapter, visit: Any, status: str) -> Any:
        return self._mark(adapter, visit, await adapter.call(visit), status)

    def _mark(self, adapter: Adapter, visit: Any, result: Any, status: str) -> Any:
        return (
            adapter.mark(visit, result, "cache-status", f"asyncfan; {status}")
            if self._expose_status
            else result
        )

    def _refuse_unsafe(self, method: str) -> None:
        if method in {"PUT", "PATCH", "DELETE"}:
            raise ValueError(
                f"{self._name}: a {method} request changes something, so its handler must run every time, but "
                f"@cache_response would skip it. Take @cache_response away, or, if {method} only reads here, write "
                f'@cache_response(methods=("{method}",))'
            )

    def __repr__(self) -> str:
        return f"<Server of {self._name}, {len(self._rules)} routes>"


def _has_body(seen: dict[bytes, bytes]) -> bool:
    return seen.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in seen


def _too_old(wish: Mapping[str, str | None], age: float) -> bool:
    if "no-cache" in wish:
        return True
    if "max-age" not in wish:
        return False
    most = seconds(wish["max-age"])
    return most == 0 or age > most


def _as_sent(draft: Draft, extra: Headers) -> Draft:
    """What guards say of the response counts as if the handler had said it; their cookies travel beside the entry."""
    said = tuple(pair for pair in extra if pair[0] != b"set-cookie") if draft.merges else ()
    return replace(draft, headers=(*draft.headers, *said)) if said else draft


def _with_extra(headers: list[tuple[bytes, bytes]], extra: Headers) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in extra}
    if names & {b"set-cookie", b"cache-control"}:
        headers = [pair for pair in headers if pair[0] != b"cache-control"]
    if (
        b"set-cookie" in names and b"cache-control" not in names
    ):  # no cache in front may keep this client's cookie
        headers.append((b"cache-control", b"private, no-cache"))
    return [*headers, *extra]


def _whole(seconds_: float) -> int:
    return int(min(max(seconds_, 0.0), 2**31))
