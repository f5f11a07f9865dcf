"""What a decorator between the route and a handler passes tells requests apart, also where a framework fills the rest."""

import functools
import inspect

import blacksheep
import httpx
import pytest
from fastapi import FastAPI
from litestar import Litestar
from litestar import get as litestar_get

from asyncfan.adapters import blacksheep as blacksheep_adapter
from asyncfan.adapters import fastapi, litestar
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response

USER = "x-user"


def with_user(handler):
    """Pass who is asking as ``user``, which the framework does not hear of."""

    @functools.wraps(handler)
    async def inner(**filled):
        request = filled.get("request") or filled["asyncfan_request"]
        return await handler(user=request.headers.get(USER), **filled)

    signature = inspect.signature(handler)
    inner.__signature__ = signature.replace(parameters=[x for x in signature.parameters.values() if x.name != "user"])
    del inner.__annotations__["user"]
    return inner


def with_first(handler):
    """The same by position, for a handler that takes the request too."""

    @functools.wraps(handler)
    async def inner(request: blacksheep.Request):
        return await handler(request, request.headers.get_first(USER.encode()).decode())

    inner.__signature__ = inspect.Signature([inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    inner.__annotations__ = {"request": blacksheep.Request}
    return inner


async def in_fastapi():
    """FastAPI passes everything by name."""
    app = FastAPI()

    @app.get("/")
    @with_user
    @cache_response(cache=Cache(), adapter=fastapi.Adapter)
    async def mine(user: str) -> str:
        return user

    return app


async def in_litestar():
    """So does Litestar."""

    @litestar_get("/")
    @with_user
    @cache_response(cache=Cache(), adapter=litestar.Adapter)
    async def mine(user: str) -> str:
        return user

    return Litestar([mine], openapi_config=None)


async def in_blacksheep():
    """BlackSheep passes by position."""
    app = blacksheep.Application(router=blacksheep.Router())

    @app.router.get("/")
    @with_first
    @cache_response(cache=Cache(), adapter=blacksheep_adapter.Adapter)
    async def mine(request: blacksheep.Request, user: str) -> str:
        return blacksheep.text(user)

    await app.start()
    return app


@pytest.mark.parametrize("make", [in_fastapi, in_litestar, in_blacksheep], ids=["fastapi", "litestar", "blacksheep"])
async def test_user_whom_a_decorator_has_found_is_in_the_key(make):
    """Bob is not sent Ann's page; Ann is sent hers again."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(await make()), base_url="http://test") as client:
        answers = [await client.get("/", headers={USER: user}) for user in ("ann", "bob", "ann")]
    assert [answer.text.strip('"') for answer in answers] == ["ann", "bob", "ann"]
    assert [answer.headers["cache-status"].split("; ")[1] for answer in answers] == ["fwd=miss", "fwd=miss", "hit"]
