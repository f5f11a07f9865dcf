"""What a client may ask for as often as it likes costs the application no more than once a while."""

import asyncio
import functools
import re

import httpx
import pytest
from fastapi import Body, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response, serving
from asyncfan.http.rules import Rule
from asyncfan.http.storing import StoreRule
from asyncfan.http.wishes import Wishes
from asyncfan.testing import ManualClock

WISHES = ["no-cache", "max-age=0", "no-store"]


def client(app):
    """Return a client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def calls(monkeypatch):
    """Let responses age by the event loop's clock; return what handlers count in."""
    time = asyncio.get_running_loop().time
    monkeypatch.setattr(serving, "StoreRule", functools.partial(StoreRule, clock=time))
    return []


def counted(calls):
    """Return an application that counts the runs of its one handler."""

    @cache_response(expire=100, cache=Cache(clock=asyncio.get_running_loop().time))
    async def handler(request: Request):
        calls.append(None)
        await asyncio.sleep(0.01)
        return PlainTextResponse(str(len(calls)))

    return Starlette(routes=[Route("/", handler)])


@pytest.mark.parametrize("wish", WISHES)
async def test_flood_of_wishes_reaches_the_handler_once_a_second(calls, wish):
    """Whoever asks for a fresh response again and again gets the stored one meanwhile."""
    async with client(counted(calls)) as site:
        await site.get("/")
        for _ in range(3):
            for _ in range(20):
                await site.get("/", headers={"Cache-Control": wish})
            await asyncio.sleep(1)
    assert len(calls) == 1 + 3


@pytest.mark.parametrize("wish", WISHES)
async def test_first_wish_is_granted_at_once(calls, wish):
    """One client that asks for a fresh response gets one, however fresh the stored one is."""
    async with client(counted(calls)) as site:
        assert (await site.get("/")).text == "1"
        assert (await site.get("/", headers={"Cache-Control": wish})).text == "2"


async def test_wishes_at_once_are_one_run(calls):
    """Many clients that press reload together wait for one response or get the stored one."""
    async with client(counted(calls)) as site:
        await site.get("/")
        await asyncio.gather(*(site.get("/", headers={"Cache-Control": "no-cache"}) for _ in range(50)))
    assert len(calls) == 2


async def test_wish_for_what_is_not_stored_is_granted(calls):
    """Where there is nothing to give instead, the handler runs."""
    async with client(counted(calls)) as site:
        for _ in range(3):
            await site.get("/", headers={"Cache-Control": "no-store"})
    assert len(calls) == 3


def test_wishes_for_one_key_leave_others_alone():
    """A second wish for another key is granted at once, and what is remembered is bounded."""
    clock = ManualClock()
    wishes = Wishes(clock)
    assert [wishes.grant("a"), wishes.grant("a"), wishes.grant("b")] == [True, False, True]
    clock.advance(1)
    assert wishes.grant("a")
    for number in range(3000):
        wishes.grant(str(number))
    assert int(re.sub(r"\D", "", repr(wishes))) <= 1024


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 900 + b"]" * 900, "unkeyable"),
        (b"[%b1]" % (b"1," * 40_000), "body"),
    ],
    ids=["deep", "long"],
)
async def test_parsed_body_that_is_too_deep_or_long_for_a_key_bypasses(content, said):
    """A client cannot have a key made that costs more than the handler."""
    app = FastAPI()

    @app.post("/")
    @cache_response(cache=Cache())
    async def handler(body: list = Body()) -> int:  # noqa: B008, FAST002 - as FastAPI has it
        return len(body)

    async def parts():  # its length is not told beforehand
        yield content

    async with client(app) as site:
        for sent in (content, parts()):
            found = await site.post("/", content=sent, headers={"Content-Type": "application/json"})
            assert (found.status_code, found.headers["cache-status"]) == (200, f"asyncfan; fwd=bypass; detail={said}")


async def test_long_body_bypasses():
    """A body above 64 KiB is not digested for a key, whether or not its length is told beforehand."""

    @cache_response(cache=Cache(), methods=("POST",))
    async def handler(request: Request):
        return PlainTextResponse(str(len(await request.body())))

    async def parts(size):
        yield b"x" * size

    async with client(Starlette(routes=[Route("/", handler, methods=["POST"])])) as site:
        for size, said in ((65536, "fwd=miss; stored"), (65537, "fwd=bypass; detail=body")):
            for sent in (b"x" * size, parts(size)):
                found = await site.post("/", content=sent, headers={"Content-Type": f"a/{type(sent).__name__}"})
                assert (found.text, found.headers["cache-status"]) == (str(size), f"asyncfan; {said}")


@given(st.text("ab-*", max_size=6).filter(lambda text: "**" not in text), st.text("ab-", max_size=9))
def test_star_stands_for_a_part_of_a_segment(pattern, segment):
    """A rule matches exactly what its pattern says, at least one character for each star."""
    wanted = "[^/]+".join(map(re.escape, pattern.split("*")))
    assert Rule(f"/{pattern}").matches(f"/{segment}") == bool(re.fullmatch(wanted, segment))


def test_no_path_takes_a_rule_long_to_read():
    """A path that almost matches, in many ways, is refused about as soon as any other."""
    assert not Rule("/*-*-*-*x").matches("/" + "a-" * 20_000)
