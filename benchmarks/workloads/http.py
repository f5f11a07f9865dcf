"""What a hit costs a server.

Workload: one GET endpoint that returns a dict, JSON of 1.5 kB or 150 kB, asked over 32 connections that stay open;
    what caches has it. The server is uvicorn in a process of its own, on one core; the load is wrk's where that is
    installed, else that of sockets of our own. "prebuilt" is an endpoint that returns bytes made at its start.
Unit: us of the server's CPU a request; us a request. On an idle machine they are nearly the same.
Reading: asyncfan stores what would be sent, so a hit costs what sending prebuilt bytes costs. Peers that store the
    value serialise it again on every hit: on a large body that is all there is to see. The handler has no return
    annotation: with one, FastAPI serialises four times as fast, and so does a peer's hit.
Command: python -m benchmarks http
"""

import asyncio
import json
import subprocess
import sys
from functools import partial

from benchmarks.load import ask_for, ask_once
from benchmarks.workload import Bar, Contestants, Workload

SMALL, LARGE = 1_500, 150_000


def rows(size):
    """Return what the endpoint returns: about so many bytes as JSON."""
    return {"rows": [{"id": n, "name": f"item {n}", "price": n / 7, "tags": ["a", "b"]} for n in range(size // 75)]}


async def measure(make, milliseconds, *, size):
    command = [sys.executable, "-m", "benchmarks.serve", make.__module__, make.__name__, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def said(line=""):
            if line:
                print(line, file=server.stdin, flush=True)
            return float(server.stdout.readline())

        try:
            port = int(said())
            await ask_once(port, "/data")
            before = said("time")
            count, seconds = await ask_for(port, "/data", milliseconds)
            return {"cpu us": (said("time") - before) / count * 1e6, "us": seconds / count * 1e6}
        finally:
            server.kill()


fastapi_contestants = Contestants()
starlette_contestants = Contestants()


@fastapi_contestants.add("prebuilt", package="fastapi")
def prebuilt(size):
    from fastapi import FastAPI, Response

    app, body = FastAPI(), json.dumps(rows(size)).encode()

    @app.get("/data")
    async def data():
        return Response(body, media_type="application/json")

    return app


def _endpoint(size, decorate):
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.get("/data")
    @decorate
    async def data(request: Request):
        return rows(size)

    return app


@fastapi_contestants.add("asyncfan, middleware", package="fastapi")
def middleware(size):
    from asyncfan.adapters.asgi import CacheMiddleware, Rule

    return CacheMiddleware(uncached(size), rules=[Rule("/data")])


@fastapi_contestants.add("asyncfan, decorator", package="fastapi")
def decorator(size):
    from asyncfan import cache_response

    return _endpoint(size, cache_response())


@fastapi_contestants.add("uncached", package="fastapi")
def uncached(size):
    return _endpoint(size, lambda handler: handler)


@fastapi_contestants.add("fastapi-cache2", package="fastapi-cache2")
def fastapi_cache2(size):
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    FastAPICache.init(InMemoryBackend())
    return _endpoint(size, cache(expire=300))


@fastapi_contestants.add("cashews", package="cashews")
def cashews(size):
    from cashews import cache

    cache.setup("mem://")
    return _endpoint(size, cache(ttl=300, key="data"))


@fastapi_contestants.add("hishel", package="hishel")
def hishel(size):
    import anysqlite  # noqa: F401 - its extra
    from hishel import AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    return ASGICacheMiddleware(
        uncached(size), storage=AsyncSqliteStorage(database_path=":memory:", default_ttl=300), rfc=False
    )


@fastapi_contestants.add("Litestar, cache=300", package="litestar")
def litestar(size):
    from litestar import Litestar, get

    @get("/data", cache=300)
    async def data() -> dict:
        return rows(size)

    return Litestar([data])


@starlette_contestants.add("prebuilt", package="starlette")
def starlette_prebuilt(size):
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    body = json.dumps(rows(size)).encode()

    async def data(request):
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/data", data)])


@starlette_contestants.add("asyncfan, middleware", package="starlette")
def starlette_middleware(size):
    from asyncfan.adapters.asgi import CacheMiddleware, Rule

    return CacheMiddleware(starlette_uncached(size), rules=[Rule("/data")])


@starlette_contestants.add("asyncfan, decorator", package="starlette")
def starlette_decorator(size):
    from asyncfan import cache_response

    return _starlette(size, cache_response())


@starlette_contestants.add("uncached", package="starlette")
def starlette_uncached(size):
    return _starlette(size, lambda handler: handler)


def _starlette(size, decorate):
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    @decorate
    async def data(request):
        return JSONResponse(rows(size))

    return Starlette(routes=[Route("/data", data)])


def bare(size):
    """Answer without any framework: how much of a figure is the load generator's and the sockets'."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    body = json.dumps(rows(size)).encode()
    answer = head % len(body) + body

    class Connection(asyncio.Protocol):
        def connection_made(self, transport):
            self.write = transport.write

        def data_received(self, data):
            self.write(answer)

    async def serve(listener):
        server = await asyncio.get_running_loop().create_server(Connection, sock=listener)
        await server.serve_forever()

    serve.is_server = True
    return serve


fastapi_contestants.add("a bare socket")(bare)
starlette_contestants.add("a bare socket")(bare)


def _workload(name, title, size, contestants, bars):
    return Workload(
        name=name,
        title=title,
        figures=("cpu us", "us"),
        compared=("cpu us", "us"),
        reference="prebuilt",
        size=2_000,  # milliseconds of load
        quick_size=1_000,
        measure=partial(measure, size=size),
        contestants=contestants,
        bars=bars,
    )


DECORATOR = {"asyncfan, decorator": Bar(1.43, 1.18, "cpu us")}  # 0.70 and 0.85 of the requests in the same time
BOTH = {"asyncfan, middleware": Bar(1.0, 0.8, "cpu us"), **DECORATOR}

HTTP = _workload("http", "FastAPI, a hit of 1.5 kB", SMALL, fastapi_contestants, BOTH)
HTTP_LARGE = _workload("http-large", "FastAPI, a hit of 150 kB", LARGE, fastapi_contestants, BOTH)
HTTP_STARLETTE = _workload("http-starlette", "Starlette, a hit of 1.5 kB", SMALL, starlette_contestants, DECORATOR)
HTTP_STARLETTE_LARGE = _workload(
    "http-starlette-large", "Starlette, a hit of 150 kB", LARGE, starlette_contestants, DECORATOR
)
