"""The same endpoints for every framework: what the conformance suite asks of a base URL."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import json
import threading
from collections import Counter

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

import asyncfan
from asyncfan import current_load
from asyncfan.caching.cache import Cache
from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response


class Site:
    """An application, and what the tests may see and steer of it.

    Attributes:
        calls: {name of an endpoint: how often its handler ran}
        arrived: {path: how many requests have come in}
        released: The handler of /slow goes on when it is set.
        batches: What the loader of /loaded was asked for.
        ended: Calls of the fan-out of /fan that were cancelled, and streams of /sse whose client has left.
        together: Handlers of /sync go on when eight of them are there.
    """

    def __init__(self, make):
        self.calls = Counter()
        self.arrived = Counter()
        self.released = threading.Event()
        self.together = threading.Barrier(8)
        self.cache = Cache(maxsize=200)
        self.batches = []
        self.ended = []
        self.inner = make(self)

    def count(self, name):
        """Count a call, and tag what it answers with the name."""
        current_load().tag(name)
        self.calls[name] += 1
        return self.calls[name]

    def shown(self, name, x, query):
        """Count a call of a class view, and return what it answers."""
        self.count(name)
        return f"{name} {x} {query}"

    async def events(self):
        """Send one event, more of them when they are released, and go on until the client has left."""
        with leaving(self):
            yield b"data: 0\n\n"
            for number in itertools.count(1):
                while not self.released.is_set():
                    await asyncio.sleep(0.005)
                yield b"data: %d\n\n" % number
                await asyncio.sleep(0.005)

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.arrived[scope["path"]] += 1
        tenant = dict(scope["headers"]).get(b"x-tenant")
        async with asyncfan.scope(**({} if tenant is None else {"tenant": tenant})):
            await self.inner(scope, receive, send)


@contextlib.contextmanager
def leaving(site):
    """Note that a stream was ended: by its client, as it has no end of its own."""
    try:
        yield
    finally:
        site.ended.append("events")


def cancelling(app):
    """Cancel a request's task when its client is gone, as some servers and middlewares do."""

    async def outer(scope, receive, send):
        if scope["type"] != "http":
            return await app(scope, receive, send)
        messages = asyncio.Queue()
        sent = []

        async def sending(message):
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                sent.append(True)

        request = asyncio.ensure_future(app(scope, messages.get, sending))

        async def listen():
            while True:
                message = await receive()
                await messages.put(message)
                if message["type"] == "http.disconnect":
                    if not sent:
                        request.cancel()
                    return

        listener = asyncio.ensure_future(listen())
        try:
            await asyncio.wait([request])
        finally:
            listener.cancel()
        return None if request.cancelled() else request.result()

    return outer


def compressing(app):
    """Let Starlette compress what /wide answers, and nothing else."""
    compressed = GZipMiddleware(app)

    async def outer(scope, receive, send):
        await (compressed if scope["path"] == "/wide" else app)(scope, receive, send)

    return outer


def fastapi_app(routes):
    """Register every endpoint with FastAPI; of a class, a method of an object."""
    app = FastAPI()
    for path, methods, endpoint in routes:
        app.add_api_route(path, endpoint().get if isinstance(endpoint, type) else endpoint, methods=methods)
    return cancelling(app)


def starlette_app(routes):
    """Register every endpoint with Starlette."""
    return cancelling(Starlette(routes=[Route(path, endpoint, methods=methods) for path, methods, endpoint in routes]))


def passed(handler):
    """Add a header to each response, above the cache."""
    if not inspect.iscoroutinefunction(handler):
        return handler

    @functools.wraps(handler)
    async def outer(*args, **kwargs):
        response = await handler(*args, **kwargs)
        if hasattr(response, "headers"):
            response.headers.append("x-passed", "1")
        return response

    return outer


FRAMEWORKS = {
    "fastapi": lambda site: compressing(fastapi_app([*endpoints(site), *views(site, object)])),
    "starlette": lambda site: compressing(starlette_app([*endpoints(site), *views(site, HTTPEndpoint)])),
}


def views(site, base):
    """Return (path, methods, class) of each class view, whose method is decorated; FastAPI knows of no such class, and calls an object's."""

    class Shelf(base):
        @cache_response(cache=site.cache, ignore=("self",))
        async def get(self, request: Request):
            return PlainTextResponse(site.shown("shelf", request.path_params["x"], request.url.query))

    class Box(base):
        @cache_response(cache=site.cache, ignore=("self",))
        async def get(self, request: Request):
            return PlainTextResponse(site.shown("box", request.path_params["x"], request.url.query))

    return [("/shelf/{x}", ["GET"], Shelf), ("/box/{x}", ["GET"], Box)]


def endpoints(site):  # noqa: C901, PLR0915 - a list of small handlers
    """Return (path, methods, handler) of every endpoint, decorated."""
    routes = []

    def at(path, *methods, **options):
        def add(fn):
            handler = passed(cache_response(cache=site.cache, **options)(fn))
            routes.append((path, list(methods or ["GET"]), handler))
            return fn

        return add

    count = site.count

    @at("/item/{x}", "GET", "HEAD", expire=300, prefix="t:item")
    async def item(request: Request):
        n = count("item")
        return JSONResponse({"x": request.path_params["x"], "query": request.url.query, "n": n})

    @at("/other", expire=300, prefix="t:other")
    async def other(request: Request):
        return JSONResponse({"other": count("other")})

    @at("/who", expire=300)
    async def who(request: Request):
        count("who")
        return JSONResponse({"auth": request.headers.get("authorization"), "cookie": request.headers.get("cookie")})

    @at("/low", cache_level=CacheLevel.LOW, params=("page",))
    async def low(request: Request):
        n = count("low")
        return JSONResponse(
            {"auth": request.headers.get("authorization"), "page": request.query_params.get("page"), "n": n}
        )

    @at("/public", cache_level=CacheLevel.LOW, public=True)
    async def public(request: Request):
        return JSONResponse({"n": count("public")})

    @at("/high", cache_level=CacheLevel.HIGH)
    async def high(request: Request):
        count("high")
        return PlainTextResponse(request.headers.get("accept-language", "none"))

    @at("/identity", identity=lambda request: request.headers.get("x-user"))
    async def identity(request: Request):
        count("identity")
        return JSONResponse({"user": request.headers.get("x-user")})

    @at("/batch", "POST")
    async def batch(request: Request):
        count("batch")
        return Response(await request.body(), media_type="application/json")

    @at("/form", "POST")
    async def form(request: Request):
        count("form")
        return JSONResponse({"a": (await request.form())["a"]})

    @at("/change", "PUT")
    async def change(request: Request):
        count("change")
        return Response()

    @at("/cookie")
    async def cookie(request: Request):
        response = JSONResponse({"n": count("cookie")})
        response.set_cookie("session", request.headers.get("x-user", "anonymous"))
        return response

    @at("/answer")
    async def answer(request: Request):
        """Answer with the status and headers that the query asks for."""
        n = count("answer")
        headers = dict(json.loads(request.query_params.get("headers", "{}")))
        return Response(f"answer {n}", int(request.query_params.get("status", "200")), headers)

    @at("/vary")
    async def vary(request: Request):
        count("vary")
        return Response(request.headers.get("x-color", "none"), headers={"Vary": "X-Color"})

    @at("/wide")
    async def wide(request: Request):
        count("wide")
        return PlainTextResponse("text " * 400)

    @at("/stream")
    async def stream(request: Request):
        count("stream")

        async def chunks():
            for i in range(3):
                yield f"{i}\n"

        return StreamingResponse(chunks())

    @at("/cut", stale_if_error=600)
    async def cut(request: Request):
        async def chunks():
            yield b"begun"
            raise RuntimeError("the stream broke")

        return PlainTextResponse("whole") if count("cut") % 2 else StreamingResponse(chunks())

    @at("/sse")
    async def sse(request: Request):
        count("sse")
        return StreamingResponse(site.events(), media_type="text/event-stream")

    @at("/background")
    async def background(request: Request):
        count("background")
        return Response("later", background=BackgroundTask(count, "task"))

    @at("/file")
    async def file(request: Request):
        count("file")
        return FileResponse(__file__)

    @at("/redirect", cache_statuses={308})
    async def redirect(request: Request):
        count("redirect")
        return RedirectResponse("/other", 308)

    @at("/big", max_body=1000)
    async def big(request: Request):
        count("big")
        return Response(b"x" * int(request.query_params["size"]))

    @at("/slow")
    async def slow(request: Request):
        n = count("slow")
        while not site.released.is_set():
            await asyncio.sleep(0.005)
        headers = {"Set-Cookie": "a=b"} if "cookie" in request.query_params else None
        if "error" in request.query_params:
            raise RuntimeError("the handler failed")
        return Response(f"slow {n}", headers=headers)

    @at("/sync/{x}")
    def sync(request: Request):
        site.together.wait(10)
        return Response(threading.current_thread().name)

    @at("/quiet", expose_status=False, honor_client_cache_control=False)
    async def quiet(request: Request):
        return Response(f"quiet {count('quiet')}")

    @asyncfan.batched
    async def load(keys):
        site.batches.append(sorted(keys))
        return {key: f"row {key}" for key in keys}

    @at("/loaded")
    async def loaded(request: Request):
        rows = await asyncfan.amap(load, (1, 2, 1))
        return Response(f"{rows} {await load(1)}", headers={"Cache-Control": "no-store"})

    @at("/fan")
    async def fan(request: Request):
        count("fan")

        async def one(i):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                site.ended.append(i)
                raise

        await asyncfan.amap(one, range(3))
        return Response("never")

    return routes
