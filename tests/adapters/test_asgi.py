"""The ASGI middleware answers hits alone, holds nothing back that has no end, and leaves nothing behind."""

import asyncio
import functools

import pytest

from asyncfan.adapters.asgi import CacheMiddleware, Rule
from asyncfan.caching.cache import Cache
from asyncfan.http import serving
from asyncfan.http.storing import StoreRule


@pytest.fixture(autouse=True)
async def clock(monkeypatch):
    """Let responses age by the event loop's clock."""
    time = asyncio.get_running_loop().time
    monkeypatch.setattr(serving, "StoreRule", functools.partial(StoreRule, clock=time))


class App:
    """An application that sends what it is told to.

    Attributes:
        calls: The scopes that it was called with.
        bodies: The bodies that it read.
        ended: How many of its runs have ended.
    """

    def __init__(self, *chunks, status=200, headers=(), gate=None, error=None, after=None, reads=False):
        self.chunks = chunks or (b"hello",)
        self.status, self.headers = status, headers
        self.gate, self.error, self.after = gate, error, after
        self.reads = reads
        self.calls, self.bodies, self.ended = [], [], 0

    async def __call__(self, scope, receive, send):
        self.calls.append(scope)
        try:
            await self._answer(receive, send)
        finally:
            self.ended += 1

    async def _answer(self, receive, send):
        if self.reads:
            self.bodies.append(b"")
            more = True
            while more:
                message = await receive()
                self.bodies[-1] += message["body"]
                more = message["more_body"]
        if self.error:
            raise self.error
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        *chunks, last = self.chunks
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if self.gate:
            await self.gate.wait()
        await send({"type": "http.response.body", "body": last})
        if self.after:
            await self.after.wait()


class Client:
    """One request, and what has been sent for it so far."""

    def __init__(self, app, path="/a", method="GET", headers=(), body=()):
        self.sent = []
        self.scope = {
            "type": "http", "method": method, "scheme": "http", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": [(b"host", b"t"), *headers],
        }  # fmt: skip
        self._coming = [
            {"type": "http.request", "body": chunk, "more_body": i < len(body)} for i, chunk in enumerate(body, 1)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]
        self.task = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    async def _receive(self):
        if self._coming:
            return self._coming.pop(0)
        return await asyncio.Event().wait()

    async def _send(self, message):
        self.sent.append(message)

    def __await__(self):
        yield from self.task.__await__()
        return self

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])

    @property
    def cached(self):
        return self.headers.get(b"cache-status", b"").decode().removeprefix("asyncfan; ")

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def behind(app, *rules, path="/a", **options):
    """Return the application behind the middleware."""
    cache = Cache(clock=asyncio.get_running_loop().time)
    return CacheMiddleware(app, cache, rules or [Rule(path, **{"expire": 10, "vary": (), **options})])


async def turns(n=10):
    """Let everybody go on as far as they can."""
    for _ in range(n):
        await asyncio.sleep(0)


LENGTH = [(b"Content-Length", b"5")]


# ---- hits


async def test_hit_does_not_touch_the_application():
    """The same request is answered by the middleware alone, with the very same bytes."""
    app = App(headers=LENGTH)
    site = behind(app)
    first, second, third = await Client(site), await Client(site), await Client(site)
    assert (first.body, second.body, len(app.calls)) == (b"hello", b"hello", 1)
    assert (first.cached, second.cached) == ("fwd=miss; stored", "hit; ttl=10")
    assert second.sent[1]["body"] is third.sent[1]["body"]


async def test_hit_says_how_long_it_is():
    """A response that came without a length is stored with one."""
    site = behind(App())
    await Client(site)
    assert (await Client(site)).headers[b"content-length"] == b"5"


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_other_scopes_pass_through(kind):
    """What is no HTTP request reaches the application as it is."""
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    given = {"type": kind, "path": "/a"}, object(), object()
    await behind(app)(*given)
    assert seen == [given]


@pytest.mark.parametrize("path", ["/b", "/a/b", "/x/../a", "/A"])
async def test_path_without_a_rule_is_the_applications(path):
    """What no rule names is not touched; nor is a path that may stand for another."""
    app = App()
    site = behind(app, Rule("/a"), Rule("/x/**"))
    for _ in range(2):
        assert (await Client(site, path)).cached == ""
    assert len(app.calls) == 2


async def test_decoded_slash_is_none_of_a_segment():
    """A star does not reach over a slash that was percent-encoded: the application sees a slash."""
    app = App()
    site = behind(app, path="/a/*")
    client = Client(site, "/a/b/c")
    client.scope["raw_path"] = b"/a/b%2Fc"
    assert (await client).cached == ""


async def test_nothing_is_said_where_nothing_is_to_be_said():
    """expose_status=False keeps quiet about hits and misses."""
    site = behind(App(), expose_status=False)
    assert [(await Client(site)).cached for _ in range(2)] == ["", ""]


async def test_figures_are_kept_by_rule():
    """The cache's figures have a line for each rule, with its hit ratio and the time saved."""
    site = behind(App(), Rule("/a"), Rule("/b"))
    for path in ("/a", "/a", "/a", "/a", "/b"):
        await Client(site, path)
    figures = {stats.name: stats for stats in site._rules._servers[0]._operation.cache.stats().functions}
    assert {name: (stats.hits, stats.misses, stats.hit_ratio) for name, stats in figures.items()} == {
        "GET /a": (3, 1, 0.75),
        "GET /b": (0, 1, 0.0),
    }


# ---- who is asking


async def test_any_unknown_header_counts_as_credentials():
    """What the application may tell people apart by is part of the key, though nobody named it."""
    app = App()
    site = behind(app, vary=None)
    for key in (b"alice", b"bob", b"alice"):
        client = await Client(site, headers=[(b"x-api-key", key)])
        assert client.headers[b"cache-control"].startswith(b"private")
    assert (len(app.calls), client.cached) == (2, "hit; ttl=10")
    assert (await Client(site)).cached == "fwd=miss; stored"


async def test_named_headers_are_all_that_counts():
    """vary= says which headers the application reads."""
    app = App()
    site = behind(app, vary=("X-Color",))
    for color, key in ((b"red", b"1"), (b"red", b"2"), (b"blue", b"1")):
        await Client(site, headers=[(b"x-color", color), (b"x-key", key)])
    assert len(app.calls) == 2


# ---- streams


async def test_endless_events_are_sent_as_they_come():
    """Server-sent events are never held back, and whoever asks next does not wait for their end."""
    gate = asyncio.Event()
    app = App(b"data: 1\n\n", b"data: 2\n\n", headers=[(b"content-type", b"text/event-stream")], gate=gate)
    site = behind(app)
    one, other = Client(site), Client(site)
    await turns()
    assert one.body == other.body == b"data: 1\n\n"
    gate.set()
    await one
    await other
    assert one.body == b"data: 1\n\ndata: 2\n\n"
    assert one.cached == "fwd=miss; detail=unrepeatable"


@pytest.mark.parametrize(
    ("headers", "options"),
    [((), {}), ([(b"content-length", b"10")], {"max_body": 9}), ([(b"content-length", b"10")], {"max_body": 3})],
    ids=["of unknown length", "known to be too large", "too large from its first part on"],
)
async def test_what_has_no_end_in_sight_is_sent_as_it_comes(headers, options):
    """A response of unknown length, or too large a one, is passed on from its first part on, and not stored."""
    gate = asyncio.Event()
    app = App(b"hello", b"world", headers=headers, gate=gate)
    site = behind(app, **options)
    client = Client(site)
    await turns()
    assert client.body == b"hello"
    gate.set()
    assert (await client).body == b"helloworld"
    assert (await Client(site)).cached == "fwd=miss; detail=unrepeatable"


async def test_parts_of_a_known_length_are_stored_as_one():
    """A response in several parts is held back where its length says that it is small."""
    gate = asyncio.Event()
    site = behind(App(b"hello", b"world", headers=[(b"content-length", b"10")], gate=gate))
    client = Client(site)
    await turns()
    assert client.sent == []
    gate.set()
    await client
    assert (await Client(site)).body == b"helloworld"


async def test_shorter_response_than_promised_is_not_stored():
    """What is not as long as it says is an accident, and nobody else's."""
    app = App(b"hell", headers=LENGTH)
    site = behind(app)
    assert [(await Client(site)).cached for _ in range(2)] == ["fwd=miss; detail=unrepeatable"] * 2


async def test_messages_of_extensions_are_passed_on():
    """An early hint goes out at once; a file sent by its path, or trailers, are left to the server."""

    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": [b"</a.css>"]})
        assert [message["type"] for message in client.sent] == ["http.response.early_hint"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/file"})

    client = Client(behind(app))
    await client
    assert [message["type"].rpartition(".")[2] for message in client.sent] == ["early_hint", "start", "pathsend"]


async def test_response_does_not_wait_for_work_after_it():
    """What the application does after its response delays nobody, and runs to its end."""
    after = asyncio.Event()
    app = App(after=after)
    client = Client(behind(app))
    await turns()
    assert (client.body, client.task.done(), app.ended) == (b"hello", False, 0)
    after.set()
    await client
    assert app.ended == 1


# ---- failures and cancellation


async def test_error_of_the_application_is_the_servers_to_handle():
    """An exception passes through; nothing is stored."""
    app = App(error=RuntimeError("broken"))
    site = behind(app)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^broken$"):
            await Client(site)
    assert len(app.calls) == 2


async def test_error_in_mid_response_is_the_servers_to_handle():
    """An application that fails within a response does not leave half of one in the cache."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        raise RuntimeError("broken")

    client = Client(behind(app))
    with pytest.raises(RuntimeError, match=r"^broken$"):
        await client
    assert client.sent == []


async def test_followers_of_a_cancelled_leader_elect_another():
    """The application's run ends with its request; one of those who waited asks it again."""
    gate = asyncio.Event()
    app = App(headers=LENGTH, gate=gate)
    site = behind(app)
    leader, *others = (Client(site) for _ in range(4))
    await turns()
    leader.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert app.ended == 1
    gate.set()
    assert [(await other).body for other in others] == [b"hello"] * 3
    assert len(app.calls) == 2


@pytest.mark.parametrize("moment", range(8))
async def test_cancelled_request_leaves_no_run_behind(moment):
    """Whenever a request is cancelled, its run of the application ends before it does."""
    app = App(b"a", b"b", gate=asyncio.Event(), after=asyncio.Event())
    site = behind(app)
    client = Client(site)
    await turns(moment)
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    assert app.ended == len(app.calls)


# ---- bodies of requests


async def test_application_reads_the_body_that_was_keyed():
    """A body is part of the key, and reaches the application in full."""
    app = App(reads=True)
    site = behind(app, methods=("POST",))
    for body in ([b"a", b"b"], [b"ab"], [b"c"]):
        await Client(site, method="POST", body=body)
    assert app.bodies == [b"ab", b"c"]


async def test_query_is_keyed_by_its_body():
    """QUERY (RFC 10008) is as safe as GET; its content, and that one's type, are part of the key."""
    app = App(reads=True)
    site = behind(app, methods=("QUERY",))
    for body, kind in ((b"a", b"text/plain"), (b"a", b"text/plain"), (b"b", b"text/plain"), (b"a", b"text/html")):
        client = await Client(site, method="QUERY", body=[body], headers=[(b"content-type", kind)])
        assert b"etag" not in client.headers
    assert app.bodies == [b"a", b"b", b"a"]
    assert (await Client(site)).cached == ""


async def test_long_body_is_no_key():
    """A body of more than 64 KiB is not read for a key: the application gets it as it comes."""
    app = App(reads=True)
    site = behind(app, methods=("POST",))
    parts = [b"x" * 40_000] * 3
    client = await Client(site, method="POST", body=parts)
    assert client.cached == "fwd=bypass; detail=body"
    assert app.bodies == [b"".join(parts)]


# ---- stale responses


async def test_stale_response_is_served_at_once_and_renewed():
    """After its expiry a response is sent as it was; a copy of the request brings the next one."""
    app = App(b"old", headers=[(b"content-length", b"3")])
    site = behind(app, stale_while_revalidate=60)
    conditions = [(b"if-none-match", b'"x"'), (b"range", b"bytes=0-1")]
    await Client(site)
    await asyncio.sleep(15)
    app.chunks = (b"new",)
    stale = await Client(site, headers=conditions)
    assert (stale.body, stale.cached, stale.headers[b"age"]) == (b"old", "hit; ttl=-5", b"15")
    await turns()
    assert (await Client(site)).body == b"new"
    assert len(app.calls) == 2
    assert app.calls[1]["headers"] == [(b"host", b"t")]


async def test_renewing_belongs_to_the_cache():
    """Closing the cache ends the run of the application that renews a response."""
    app = App(headers=LENGTH)
    site = behind(app, stale_while_revalidate=60)
    await Client(site)
    await asyncio.sleep(15)
    app.gate = asyncio.Event()
    assert (await Client(site)).cached == "hit; ttl=-5"
    await turns()
    cache = site._rules._servers[0]._operation.cache
    assert len(cache.tasks) == 1
    await cache.aclose()
    assert (len(cache.tasks), app.ended) == (0, 2)


async def test_renewing_that_fails_leaves_the_old_response(caplog):
    """An error in the background is logged, and the old response stays for as long as it may."""
    app = App(headers=LENGTH)
    site = behind(app, stale_while_revalidate=60)
    await Client(site)
    await asyncio.sleep(15)
    app.error = RuntimeError("secret")
    for _ in range(2):
        assert (await Client(site)).body == b"hello"
        await turns()
    assert len(app.calls) == 2  # and then there is a pause
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_renewing_gives_a_stream_up():
    """A response that has become a stream is not waited for in the background."""
    app = App(headers=LENGTH)
    site = behind(app, stale_while_revalidate=60)
    await Client(site)
    await asyncio.sleep(15)
    app.headers, app.gate = [(b"content-type", b"text/event-stream")], asyncio.Event()
    await Client(site)
    await turns(20)
    assert app.ended == 2


async def test_response_says_itself_how_long_it_may_be_stale():
    """A response's own stale-while-revalidate goes before the rule's, and must-revalidate before both."""
    app = App(headers=[*LENGTH, (b"cache-control", b"max-age=10, stale-while-revalidate=30")])
    site = behind(app)
    await Client(site)
    await asyncio.sleep(15)
    assert (await Client(site)).cached == "hit; ttl=-5"
    await turns()
    app.headers = [*LENGTH, (b"cache-control", b"max-age=10, must-revalidate, stale-while-revalidate=30")]
    await asyncio.sleep(50)
    assert (await Client(site)).cached == "fwd=miss; stored"
    await asyncio.sleep(15)
    assert (await Client(site)).cached == "fwd=miss; stored"


@pytest.mark.parametrize("failure", [{"error": RuntimeError("broken")}, {"status": 503}], ids=["raises", "says 503"])
async def test_expired_response_is_served_where_the_application_fails(failure):
    """With stale_if_error, whoever asks, and whoever waits, gets the old response in place of a failure."""
    app = App(headers=LENGTH)
    site = behind(app, stale_if_error=60)
    await Client(site)
    await asyncio.sleep(15)
    vars(app).update(failure)
    clients = [Client(site), Client(site)]
    assert [((await client).status, client.body, client.cached) for client in clients] == [
        (200, b"hello", "fwd=stale; ttl=-5")
    ] * 2
    assert len(app.calls) == 2
    await asyncio.sleep(60)
    app.error, app.status = None, 503
    assert (await Client(site)).status == 503


async def test_client_that_asks_for_a_fresh_response_gets_the_failure():
    """no-cache means no old response, whatever happens."""
    app = App(headers=LENGTH)
    site = behind(app, stale_if_error=60)
    await Client(site)
    app.status = 503
    assert (await Client(site, headers=[(b"cache-control", b"no-cache")])).status == 503


@pytest.mark.parametrize("wish", [b"no-cache", b"max-age=0", b"max-age=60"])
async def test_client_that_asks_for_a_fresh_response_gets_no_stale_one(wish):
    """Who says how old a response may be is not served one that has expired."""
    app = App(headers=LENGTH)
    site = behind(app, stale_while_revalidate=60)
    await Client(site)
    await asyncio.sleep(15)
    app.chunks = (b"fresh",)
    assert (await Client(site, headers=[(b"cache-control", wish)])).body == b"fresh"


# ---- changes


async def test_successful_change_drops_what_is_stored_of_its_path():
    """With clear_on_unsafe, a POST that succeeds clears the path for all queries; one that fails, nothing."""
    app = App()
    site = behind(app, Rule("/items/*", vary=(), clear_on_unsafe=True))
    for path in ("/items/1", "/items/2"):
        await Client(site, path)
    app.status = 400
    await Client(site, "/items/1", "POST")
    app.status = 201
    await Client(site, "/items/2", "POST")
    app.status = 200
    cached = [(await Client(site, path)).cached for path in ("/items/1", "/items/2")]
    assert cached[0].startswith("hit")
    assert cached[1] == "fwd=miss; stored"
