"""A request's way through the cache: key, lookup, one flight for all who wait, and the answer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from ..caching.cache import Cache
from ..caching.calls.keys import Unkeyable, key_text, untyped
from ..caching.calls.level import expiry
from ..caching.clears.patterns import Pattern
from ..caching.freshness.freshness import Freshness
from ..caching.loads.register import MISSING
from ..caching.operation import Loaded
from ..context import loading
from ..exceptions import UnkeyableArgumentError
from .answering import answer
from .auditing import Audit
from .cache_control import MOST_SECONDS, directives, seconds, too_old
from .in_thread import in_a_loop
from .keys import Key, KeyRule, by_name
from .messages import LONGEST_BODY, Adapter, Declared, Frozen, RequestParts, Unshared
from .options import Options
from .storing import StoreRule, as_sent
from .vary import vary_names
from .wishes import Wishes

__all__ = ["Server"]

_NOTHING_DECLARED = Declared()
_LOG = logging.getLogger("asyncfan.http")
_BODILESS = frozenset({"GET", "HEAD"})
_FAILURES = frozenset({500, 502, 503, 504})  # RFC 5861 section 4


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
    varied_on: tuple[bytes, ...] = ()  # the headers that its key was made with


class Server:
    """Answers the requests of one decorated handler, or one rule of a middleware, from the cache where that is right.

    Args:
        home: Where the entries live.
        prefix: What the texts of the keys begin with.
        name: The handler's name, for messages and figures.
        options: What was said of it.
        again: Makes of a visit another one that asks the same for nobody; with it, expired responses are renewed
            in the background.
        tags_of: Gives a response's tags, from the handler's arguments.
    """

    def __init__(
        self,
        home: Cache,
        prefix: str,
        name: str,
        options: Options,
        again: Callable[[Any], Any] | None = None,
        *,
        tags_of: Callable[..., tuple[str, ...]] | None = None,
    ) -> None:
        expire = expiry(options.expire, options.level)
        renewing = options.stale_while_revalidate if again is not None else None
        self._store = StoreRule(
            expire, options.statuses, options.max_body, max_private_expire=options.max_private_expire,
            stale_if_error=options.stale_if_error, stale_while_revalidate=renewing,
        )  # fmt: skip
        how = Freshness(math.inf, stale_while_revalidate=renewing or 0.0, stale_if_error=options.stale_if_error)
        self._operation = home.operation(prefix, name, freshness=how)
        self._prefix = prefix
        self._name = name
        self._options = options
        self._again = again
        self._tags_of = tags_of
        # {id of what a route declares: (its rule, and the declared, kept alive for its id)}
        self._rules: dict[int, tuple[KeyRule, Declared]] = {}
        self._methods = options.methods
        self._refused = options.refused
        self._identity = options.identity
        self._key = options.key
        self._ignore = options.ignore
        self._expose_status = options.expose_status
        self._honor_client = options.honor_client
        self._wishes = Wishes(self._store.clock)
        self._audit: Audit | None = None
        if options.audit:
            self._audit = Audit(name, public=options.public)
        self._warned = False  # whether the log has said that something in a request can't be keyed

    async def serve(self, adapter: Adapter, visit: Any) -> Any:
        """Return the framework's response to one request, whose `Visit` the adapter has opened.

        Raises:
            ValueError: The method changes things, so that skipping the handler would lose the change.
            UnkeyableArgumentError: An argument is of a class that has no value to key by.

        Cancellation:
            A cancelled request ends its own handler. Of the requests that waited for it, one runs its own.
        """
        parts = adapter.parts(visit)
        if parts.method not in self._methods:
            self._refuse_unsafe(parts.method)
            return await self._pass(adapter, visit, "fwd=method")
        asked = _Asked(adapter, visit, parts, by_name(parts.headers), self._rule(adapter.declared(visit)))
        if parts.method in _BODILESS:
            keyed = not _has_body(asked.seen)
        else:
            keyed = self._key is not None or await self._add_body(asked)
        key = self._key_of(asked) if keyed else "body"
        if isinstance(key, str):
            return await self._pass(adapter, visit, f"fwd=bypass; detail={key}")
        control = asked.seen.get(b"cache-control")
        if control is not None and self._honor_client:
            return await self._as_wished(asked, key, directives(control.decode("latin-1")))
        found = self._operation.lookup(key.text)
        return await self._load(asked, key, "fwd=miss") if found is MISSING else self._hit(asked, found)

    async def _as_wished(self, asked: _Asked, key: Key, wish: Mapping[str, str | None]) -> Any:
        """Answer a client that said in its own Cache-Control how old or how shared a response may be."""
        found = self._operation.lookup(key.text)
        avoids = "no-store" in wish
        if found is not MISSING and not avoids and not too_old(wish, self._age(found)):
            return self._hit(asked, found)
        if "only-if-cached" in wish and not avoids:
            return self._emit(asked, 504, [], b"", "fwd=request; detail=only-if-cached")
        if found is not MISSING and not self._wishes.grant(key.text):
            return self._hit(asked, found)
        if avoids:
            return await self._pass(asked.adapter, asked.visit, "fwd=request; detail=no-store")
        forward = "fwd=miss" if found is MISSING else "fwd=request"
        return await self._load(asked, key, forward, anew=too_old(wish, math.inf))  # then an expired one is too old too

    async def _load(self, asked: _Asked, key: Key, forward: str, *, anew: bool = False) -> Any:
        if asked.parts.method == "HEAD":  # its response may lack what a GET's has: never stored
            return await self._pass(asked.adapter, asked.visit, forward)

        async def load() -> Loaded[Frozen | Unshared]:
            if asked.rule.vary != asked.varied_on:  # whom this one waited for taught a name: another key
                return Loaded(await self._look_again(asked), None)
            return await self._run(asked, key)

        async def refresh() -> Loaded[Frozen | Unshared]:
            return await self._run(replace(asked, visit=again(asked.visit)), key) if again else await load()

        again = self._again
        await in_a_loop()
        tags = self._tags(asked.visit)
        found, how = await self._operation.lead(key.text, load, tags=tags, anew=anew, refresh=refresh)
        if isinstance(found, Unshared):
            return self._mark(asked.adapter, asked.visit, found.response, f"{forward}; detail={found.reason}")
        if how == "hit":  # it had expired, and is renewed; or another thread has stored it since it was looked for
            return self._hit(asked, found)
        if how == "stale" or self._age(found) > found.expire:  # who led found no better
            return self._hit(asked, found, "fwd=stale")
        return self._send(asked, found, f"{forward}; {'stored' if how == 'miss' else 'collapsed'}")

    async def _look_again(self, asked: _Asked) -> Frozen | Unshared:
        key = self._compose(asked)
        if not isinstance(key, Key):  # only the values of more headers were added: as cacheable as it was
            raise TypeError(f"{self._name}: a learned Vary made a request uncacheable: {key}")
        tags = self._tags(asked.visit)
        found, _ = await self._operation.lead(key.text, lambda: self._run(asked, key), tags=tags)
        return found

    def _tags(self, visit: Any) -> tuple[str, ...]:
        return () if self._tags_of is None else self._tags_of(*visit.args, **visit.kwargs)

    async def _run(self, asked: _Asked, key: Key) -> Loaded[Frozen | Unshared]:
        adapter, visit = asked.adapter, asked.visit
        call = adapter.call(visit) if self._audit is None else self._watched_call(asked, self._audit)
        response, draft = await adapter.freeze(visit, await call)
        if draft is None:
            return Loaded(Unshared(response, "unrepeatable"), None)
        failed = draft.status in _FAILURES
        sent = as_sent(draft, visit.extra)
        flight = loading.get()
        said = flight.load if flight is not None and flight.operation is self._operation else None
        expire = self._store.lifetime(sent, private=key.private, said=said)
        if not isinstance(expire, str) and not (more := vary_names(sent.headers)) <= set(asked.varied_on):
            asked.rule.learn(more)
            expire = "vary"  # this one's key lacks the new name; the next request's has it
        if isinstance(expire, str):
            return Loaded(Unshared(response, expire), None, failed=failed)
        stale = self._store.stale_for(sent, private=key.private)
        frozen = self._store.freeze(
            draft, expire, method=asked.parts.method, private=key.private, named=asked.rule.named, outlives=max(stale)
        )
        return Loaded(frozen, expire, *stale)

    async def _watched_call(self, asked: _Asked, audit: Audit) -> Any:
        """Run the handler, and complain of what it reads beyond its key."""
        watch: Callable[..., None] | None = getattr(asked.adapter, "watch", None)
        if watch is None:
            raise TypeError(f"{self._name}: audit=True needs an adapter that has watch(visit, saw)")
        read: dict[tuple[str, str], None] = {}
        watch(asked.visit, lambda kind, name: read.setdefault((kind, name)))
        try:
            return await asked.adapter.call(asked.visit)
        finally:
            audit.complain(read, asked.rule.keyed(identified=asked.identity is not None))

    def _key_of(self, asked: _Asked) -> Key | str:
        visit = asked.visit
        if self._identity is not None:
            asked.identity = self._identity(visit.request)
        try:
            if self._key is not None:
                asked.arguments = self._text_of_key(self._key(*visit.args, **visit.kwargs))
            elif arguments := asked.adapter.arguments(visit):
                asked.arguments = self._text_of(arguments) + asked.arguments
            return self._compose(asked)
        except Unkeyable as error:  # in what one request brought, or in who is asking: it is answered all the same
            if not self._warned:
                self._warned = True
                _LOG.warning("%s: requests bypass the cache: %s", self._name, error)
            return "unkeyable"

    def _rule(self, declared: Declared) -> KeyRule:
        found = self._rules.get(id(declared))
        if found is None:
            of = self._options
            rule = KeyRule(
                self._prefix, of.level, declared, vary=of.vary, params=of.params, ignore=of.ignore, public=of.public
            )
            found = self._rules[id(declared)] = (rule, declared)
        return found[0]

    async def _add_body(self, asked: _Asked) -> bool:
        if seconds(asked.seen.get(b"content-length", b"0").decode("latin-1")) > LONGEST_BODY:
            return False
        body = await asked.adapter.body(asked.visit)
        if body is None or len(body) > LONGEST_BODY:
            return False
        kind = asked.seen.get(b"content-type", b"").decode("latin-1").strip().lower()
        if not body:  # the arguments hold it: of a form's type, only the boundary differs each time
            kind = kind.partition(";")[0]
        digest = blake2b(body, digest_size=24).hexdigest() if body else ""
        asked.arguments = key_text([kind, digest])
        return True

    def _text_of(self, arguments: Mapping[str, Any]) -> str:
        pairs = [(name, value) for name, value in arguments.items() if name not in self._ignore]
        try:
            return key_text(pairs)
        except Unkeyable as error:
            too_deep = isinstance(error.__context__, RecursionError)  # which is the request's doing
            for name, value in pairs:
                if type(value) is error.type and not too_deep:  # then no request has a key: the handler's mistake
                    raise UnkeyableArgumentError(self._name, name, error.type) from None
            raise

    def _text_of_key(self, value: Any) -> str:
        try:
            return key_text(value)
        except Unkeyable as error:
            kind = error.type
            raise UnkeyableArgumentError(
                self._name, "key", kind, "is what key= returned, and cannot be keyed by value. Let it return what "
                f"identifies that, such as an id, or use register_key({kind.__name__}, lambda value: ...)",
            ) from None  # fmt: skip

    def _compose(self, asked: _Asked) -> Key | str:
        asked.varied_on = asked.rule.vary
        return asked.rule.key(
            asked.parts,
            asked.seen,
            arguments=asked.arguments,
            identity=asked.identity,
            resolves=self._identity is not None,
            query=self._key is None,
        )

    def _hit(self, asked: _Asked, frozen: Frozen, how: str = "hit") -> Any:
        age = self._age(frozen)
        code, headers, body = answer(frozen, asked.parts.method, asked.seen, asked.visit.extra, age)
        if self._expose_status:
            left = int(min(frozen.expire - age, MOST_SECONDS))
            headers.append((b"cache-status", f"asyncfan; {how}; ttl={left}".encode()))
        return asked.adapter.emit(asked.visit, code, headers, body)

    def _age(self, frozen: Frozen) -> float:
        age, most = self._store.clock() - frozen.stored_at, frozen.expire + frozen.outlives
        return age if 0.0 <= age <= most else min(max(0.0, age), most)

    def _send(self, asked: _Asked, frozen: Frozen, status: str) -> Any:
        age = self._age(frozen)  # a cache behind the handler may have kept it
        shown = age if age >= 1 else None
        code, headers, body = answer(frozen, asked.parts.method, asked.seen, asked.visit.extra, shown)
        return self._emit(asked, code, headers, body, status)

    def _emit(self, asked: _Asked, code: int, headers: list[tuple[bytes, bytes]], body: bytes, status: str) -> Any:
        if self._expose_status:
            headers.append((b"cache-status", f"asyncfan; {status}".encode()))
        return asked.adapter.emit(asked.visit, code, headers, body)

    async def _pass(self, adapter: Adapter, visit: Any, status: str) -> Any:
        return self._mark(adapter, visit, await adapter.call(visit), status)

    def _mark(self, adapter: Adapter, visit: Any, result: Any, status: str) -> Any:
        return adapter.mark(visit, result, "cache-status", f"asyncfan; {status}") if self._expose_status else result

    async def settled(self) -> None:
        """Wait until what this event loop is telling a shared tier is told: it ends with the request."""
        loop = asyncio.get_running_loop()
        left = [task for task in list(self._operation.cache.writes) if task.get_loop() is loop]
        if left:
            await asyncio.wait(left)

    def forget(self, parts: RequestParts) -> None:
        """Drop what is stored for a GET of a request's path, whatever its query: a request has changed it."""
        seen = by_name(parts.headers)
        text = self._rule(_NOTHING_DECLARED).path_text(parts._replace(method="GET"), seen.get(b"host", b""))
        self._operation.cache.clear_patterns(Pattern(untyped(text), subtree=True))

    def _refuse_unsafe(self, method: str) -> None:
        if method in self._refused:
            raise ValueError(
                f"{self._name}: a {method} request changes something, so its handler must run every time, "
                f"but @cache_response would skip it. Take @cache_response away, or, if {method} only reads "
                f'here, write @cache_response(methods=("{method}",))'
            )

    def __repr__(self) -> str:
        return f"<Server of {self._name}, {len(self._rules)} routes>"


def _has_body(seen: dict[bytes, bytes]) -> bool:
    return seen.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in seen
