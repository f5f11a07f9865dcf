"""The same endpoints as in `sites`, written once: a framework says how it hears a request and speaks an answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import sites

from asyncfan import amap, batched, scope
from asyncfan.caching.cache import Cache
from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response


@dataclass
class Answer:
    """What an endpoint answers, before a framework makes its response of it.

    Attributes:
        body: The whole body, or with ``stream`` an async generator of it.
        kind: Its content type.
        cookie: The value of a cookie ``session`` to set.
        later: Called when the response has been sent.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str | None = "text/plain"
    cookie: str | None = None
    stream: bool = False
    file: str | None = None
    later: Any = None


def as_json(**values):
    """Answer with values."""
    return Answer(json.dumps(values).encode(), kind="application/json")


async def chunks_of(path):
    """Read a file as a stream."""
    yield Path(path).read_bytes()


class Site:
    """An application in one framework, and what the tests may see and steer of it: as `sites.Site`.

    Attributes:
        ended: Calls of the fan-out of /fan that were cancelled, and streams of /sse whose client has left.
        together: Handlers of /sync go on when four of them are there.
        lacks: {name or path of a check: why this framework cannot have it}
        ends_what_breaks: Whether it ends a stream whose handler has failed as if it were whole.
    """

    lacks: ClassVar = {}
    ends_what_breaks = False

    def __init__(self):
        self.calls = Counter()
        self.arrived = Counter()
        self.released = threading.Event()
        self.together = threading.Barrier(4)  # the event loop's own threads may be no more than six
        self.cache = Cache(maxsize=200)
        self.batches = []
        self.ended = []

    def routes(self):
        """Return (path, methods, options, endpoint) of each; an endpoint is called with an `Ask`."""
        return endpoints(self)

    count = sites.Site.count
    events = sites.Site.events
    shown = sites.Site.shown

    def decorated(self, options, handler, endpoint):
        """Cache a framework's own handler, under the endpoint's name."""
        handler.__name__ = endpoint.__name__
        handler.__qualname__ = endpoint.__qualname__
        return cache_response(cache=self.cache, **options)(handler)

    @contextlib.asynccontextmanager
    async def around(self, path, tenant):
        """What a framework's middleware puts around each request."""
        self.arrived[path] += 1
        async with scope(**({} if tenant is None else {"tenant": tenant})):
            yield


class Ask:
    """What endpoints ask of a request; a framework's site says how."""

    def __init__(self, request, x=None):
        self.request = request
        self.x = x

    def query(self):
        raise NotImplementedError

    def header(self, name):
        raise NotImplementedError

    async def body(self):
        raise NotImplementedError

    async def form(self, name):
        raise NotImplementedError

    def arg(self, name, default=None):
        return parse_qs(self.query(), keep_blank_values=True).get(name, [default])[0]


def endpoints(site):  # noqa: C901, PLR0915 - a list of small handlers
    """Return (path, methods, options, endpoint) of each."""
    routes = []

    def at(path, *methods, **options):
        def add(fn):
            routes.append((path, methods or ("GET",), options, fn))
            return fn

        return add

    count = site.count

    @at("/item/{x}", "GET", "HEAD", expire=300, prefix="t:item")
    async def item(ask):
        return as_json(x=ask.x, query=ask.query(), n=count("item"))

    @at("/other", expire=300, prefix="t:other")
    async def other(ask):
        return as_json(other=count("other"))

    @at("/who", expire=300)
    async def who(ask):
        count("who")
        return as_json(auth=ask.header("authorization"), cookie=ask.header("cookie"))

    @at("/low", cache_level=CacheLevel.LOW, params=("page",))
    async def low(ask):
        return as_json(auth=ask.header("authorization"), page=ask.arg("page"), n=count("low"))

    @at("/public", cache_level=CacheLevel.LOW, public=True)
    async def public(ask):
        return as_json(n=count("public"))

    @at("/high", cache_level=CacheLevel.HIGH)
    async def high(ask):
        count("high")
        return Answer(ask.header("accept-language") or "none")

    @at("/identity", identity=lambda request: site.ask(request).header("x-user"))
    async def identity(ask):
        count("identity")
        return as_json(user=ask.header("x-user"))

    @at("/batch", "POST")
    async def batch(ask):
        count("batch")
        return Answer(await ask.body(), kind="application/json")

    @at("/form", "POST")
    async def form(ask):
        count("form")
        return as_json(a=await ask.form("a"))

    @at("/change", "PUT")
    async def change(ask):
        count("change")
        return Answer()

    @at("/cookie")
    async def cookie(ask):
        n = count("cookie")
        return Answer(str(n), cookie=ask.header("x-user") or "anonymous")

    @at("/answer")
    async def answer(ask):
        n = count("answer")
        headers = dict(json.loads(ask.arg("headers", "{}")))
        return Answer(f"answer {n}", int(ask.arg("status", "200")), headers)

    @at("/vary")
    async def vary(ask):
        count("vary")
        return Answer(ask.header("x-color") or "none", headers={"Vary": "X-Color"})

    @at("/wide")
    async def wide(ask):
        count("wide")
        return Answer("text " * 400)

    @at("/stream")
    async def stream(ask):
        count("stream")

        async def chunks():
            for i in range(3):
                yield b"%d\n" % i

        return Answer(chunks(), stream=True)

    @at("/cut", stale_if_error=600)
    async def cut(ask):
        async def chunks():
            yield b"begun"
            raise RuntimeError("the stream broke")

        return Answer("whole") if count("cut") % 2 else Answer(chunks(), stream=True)

    @at("/sse")
    async def sse(ask):
        count("sse")
        return Answer(site.events(), stream=True, kind="text/event-stream")

    @at("/background")
    async def background(ask):
        count("background")
        return Answer("later", later=functools.partial(count, "task"))

    @at("/file")
    async def file(ask):
        count("file")
        return Answer(file=__file__)

    @at("/redirect", cache_statuses={308})
    async def redirect(ask):
        count("redirect")
        return Answer(status=308, headers={"Location": "/other"})

    @at("/big", max_body=1000)
    async def big(ask):
        count("big")
        return Answer(b"x" * int(ask.arg("size")))

    @at("/slow")
    async def slow(ask):
        n = count("slow")
        while not site.released.is_set():
            await asyncio.sleep(0.005)
        if ask.arg("error"):
            raise RuntimeError("the handler failed")
        return Answer(f"slow {n}", headers={"Set-Cookie": "a=b"} if ask.arg("cookie") else {})

    @at("/sync/{x}")
    def sync(ask):
        site.together.wait(10)
        return Answer(threading.current_thread().name)

    @at("/quiet", expose_status=False, honor_client_cache_control=False)
    async def quiet(ask):
        return Answer(f"quiet {count('quiet')}")

    @batched
    async def load(keys):
        site.batches.append(sorted(keys))
        return {key: f"row {key}" for key in keys}

    @at("/audited", audit=True)
    async def audited(ask):
        return Answer(f"{ask.header('x-color')}, {ask.header('authorization')}")

    @at("/loaded")
    async def loaded(ask):
        rows = await amap(load, (1, 2, 1))
        return Answer(f"{rows} {await load(1)}", headers={"Cache-Control": "no-store"})

    @at("/fan")
    async def fan(ask):
        count("fan")

        async def one(i):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                site.ended.append(i)
                raise

        await amap(one, range(3))
        return Answer("never")

    return routes
