"""A decorated handler may leave its last response to be sent where it fails, and each route has its figures."""

import asyncio
import functools

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response, serving
from asyncfan.http.messages import Draft
from asyncfan.http.storing import StoreRule
from asyncfan.testing import ManualClock, MemoryStore


@pytest.fixture(autouse=True)
async def clock(monkeypatch):
    """Let responses age by the event loop's clock."""
    time = asyncio.get_running_loop().time
    monkeypatch.setattr(serving, "StoreRule", functools.partial(StoreRule, clock=time))


def client(app):
    """Return a client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


class Site:
    """One handler, whose answers a test chooses."""

    def __init__(self, *answers, cache=None, **options):
        self.answers = list(answers)
        self.cache = Cache(clock=asyncio.get_running_loop().time) if cache is None else cache

        @cache_response(expire=10, cache=self.cache, prefix="page", **options)
        async def handler(request: Request):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.client = client(Starlette(routes=[Route("/", handler)]))

    async def get(self, **headers):
        """Return text and Cache-Status of a request."""
        response = await self.client.get(
            "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return response.text, response.headers.get("cache-status", "").removeprefix("asyncfan; ")


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("broken"), *(PlainTextResponse("sorry", status) for status in (500, 502, 503, 504))],
    ids=["error", "500", "502", "503", "504"],
)
async def test_expired_response_is_sent_where_the_handler_fails(failure):
    """With stale_if_error, an exception or a server's error is answered by the last success."""
    site = Site(PlainTextResponse("old"), failure, PlainTextResponse("new"), stale_if_error=60)
    await site.get()
    await asyncio.sleep(15)
    assert await site.get() == ("old", "fwd=stale; ttl=-5")
    assert (await site.get())[0] == "old"  # the handler has a pause
    await asyncio.sleep(5)
    assert await site.get() == ("new", "fwd=miss; stored")


async def test_nothing_is_sent_after_its_time():
    """A failure is a failure once the old response is too old, and where nobody allowed it."""
    for options, pause in (({"stale_if_error": 60}, 71), ({}, 15)):
        site = Site(PlainTextResponse("old"), PlainTextResponse("sorry", 503), **options)
        await site.get()
        await asyncio.sleep(pause)
        assert (await site.get())[0] == "sorry"


async def test_response_says_itself_how_long_it_may_stand_in():
    """A response's own stale-if-error goes before the option."""
    headers = {"Cache-Control": "max-age=10, stale-if-error=20"}
    site = Site(PlainTextResponse("old", headers=headers), *[PlainTextResponse("sorry", 503)] * 2)
    await site.get()
    await asyncio.sleep(15)
    assert (await site.get())[0] == "old"
    await asyncio.sleep(20)
    assert (await site.get())[0] == "sorry"


@pytest.mark.parametrize("forbids", ["must-revalidate", "proxy-revalidate", "s-maxage=10"])
async def test_response_may_forbid_to_be_sent_when_stale(forbids):
    """What must not be sent when stale is not, whatever the option says."""
    headers = {"Cache-Control": f"max-age=10, {forbids}"}
    site = Site(PlainTextResponse("old", headers=headers), PlainTextResponse("sorry", 503), stale_if_error=60)
    await site.get()
    await asyncio.sleep(15)
    assert (await site.get())[0] == "sorry"


async def test_handlers_are_not_run_in_the_background():
    """A decorated handler's request is over when its response is sent: stale-while-revalidate is the middleware's."""
    headers = {"Cache-Control": "max-age=10, stale-while-revalidate=60"}
    site = Site(*[PlainTextResponse(str(n), headers=headers) for n in range(2)])
    await site.get()
    await asyncio.sleep(15)
    assert await site.get() == ("1", "fwd=miss; stored")


@pytest.mark.real_time  # the tier listens in a thread of its own
async def test_expired_response_is_shared_among_processes(monkeypatch):
    """Where processes share a tier, one may serve in an outage what another has stored."""
    time = ManualClock()
    monkeypatch.setattr(serving, "StoreRule", functools.partial(StoreRule, clock=time))
    store = MemoryStore(clock=time)
    caches = [Cache(clock=time, store=store.connect()) for _ in range(2)]
    one = Site(PlainTextResponse("old"), cache=caches[0], stale_if_error=60)
    other = Site(PlainTextResponse("sorry", 503), cache=caches[1], stale_if_error=60)
    await one.get()
    await asyncio.wait(caches[0].writes)
    time.advance(15)
    assert await other.get() == ("old", "fwd=stale; ttl=-5")
    for cache in caches:
        await cache.aclose()


@pytest.mark.parametrize(("status", "expected"), [(200, 304), (203, 304), (301, 301), (404, 404)])
async def test_condition_counts_for_a_success_alone(status, expected):
    """If-None-Match turns a success into 304; a redirect or an error stays what it is."""
    site = Site(PlainTextResponse("x", status), cache_statuses={200, 203, 301, 404})
    for _ in range(2):
        assert (await site.client.get("/", headers={"If-None-Match": "*"})).status_code == expected


async def test_each_route_has_its_figures():
    """cache.stats() has a line for each decorated handler, with its hit ratio and the time that hits saved."""
    app, cache = FastAPI(), Cache(clock=asyncio.get_running_loop().time)

    @app.get("/slow/{n}")
    @cache_response(cache=cache, prefix="slow")
    async def slow(n: int):
        await asyncio.sleep(2)
        return Response(str(n))

    async with client(app) as inside:
        for n in (1, 1, 1, 2):
            await inside.get(f"/slow/{n}")
    (stats,) = cache.stats().functions
    assert (stats.hits, stats.misses, stats.hit_ratio) == (2, 2, 0.5)
    assert stats.time_saved == pytest.approx(4.0, rel=0.1)
    assert "slow" in str(cache.stats())


def test_vary_that_is_no_list_of_names_keeps_a_response_out():
    """A response that varies on nobody knows what is not stored."""
    assert StoreRule(60.0).lifetime(Draft(200, [(b"vary", b"Accept Language")], b""), private=False) == "vary"
