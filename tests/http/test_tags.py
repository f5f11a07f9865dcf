"""A response has tags, as a value has: of its handler's arguments, or as the handler says."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asyncfan import current_load
from asyncfan.adapters.asgi import CacheMiddleware, Rule
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response
from asyncfan.testing import MemoryStore


def client(app):
    """Return a client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def until(condition):
    """Wait for what happens in another thread."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


class Users:
    """An endpoint that answers with an argument, decorated as a test wants it; ``made`` are its responses so far."""

    def __init__(self, cache=None, say=lambda: None, **options):
        self.cache = Cache() if cache is None else cache
        self.made = []
        app = FastAPI()

        @app.get("/users/{user}")
        @cache_response(expire=60, cache=self.cache, prefix="users", **options)
        async def get_user(user: int):
            say()
            self.made.append(user)
            return user

        self.client = client(app)

    async def get(self, *users):
        """Get some users' responses; return the last one's Cache-Status."""
        for user in users:
            response = await self.client.get(f"/users/{user}")
            assert response.json() == user
        return response.headers["cache-status"].removeprefix("asyncfan; ")


@pytest.mark.parametrize(
    "tags", ["user:{user}", ("all", "user:{user}"), lambda user: [f"user:{user}"]], ids=["text", "texts", "function"]
)
async def test_tags_are_filled_in_from_the_arguments(tags):
    """One user's responses go, whichever endpoint made them; another's stay."""
    users = Users(tags=tags)
    await users.get(1, 2)
    assert users.cache.clear_tags("user:1").count == 1
    await users.get(1, 2)
    assert users.made == [1, 2, 1]


async def test_a_response_and_what_it_was_made_of_go_together():
    """One clear reaches values of functions and the endpoints' responses alike."""
    cache, rows = Cache(), []

    @cache.cache_function(expire=60, tags="row:{number}")
    async def load(number):
        rows.append(number)
        return number

    app = FastAPI()

    @app.get("/rows/{number}")
    @cache_response(expire=60, cache=cache, tags="row:{number}")
    async def get_row(number: int):
        return await load(number)

    for _ in range(2):
        await client(app).get("/rows/7")
    cache.clear_tags("row:7")
    await client(app).get("/rows/7")
    assert rows == [7, 7]


@pytest.mark.real_time
async def test_a_plain_handler_tags_in_its_thread():
    """FastAPI runs a ``def`` in a thread, where the load is the same."""
    cache, made = Cache(), []
    app = FastAPI()

    @app.get("/")
    @cache_response(expire=60, cache=cache)
    def page():
        current_load().tag("page")
        made.append(1)

    for _ in range(2):
        await client(app).get("/")
        await client(app).get("/")
        cache.clear_tags("page")
    assert len(made) == 2


async def test_an_application_behind_the_middleware_tags():
    """The application says what a response is about, which knows no decorator."""
    cache, made = Cache(), []

    async def page(request: Request):
        current_load().tag("page")
        made.append(1)
        return PlainTextResponse("page")

    app = client(CacheMiddleware(Starlette(routes=[Route("/", page)]), rules=[Rule("/", expire=60)], cache=cache))
    for _ in range(2):
        await app.get("/")
        await app.get("/")
        cache.clear_tags("page")
    assert len(made) == 2


@pytest.mark.parametrize("early", [True, False], ids=["tags=", "current_load"])
async def test_a_response_from_before_a_clear_of_its_tag_is_neither_stored_nor_joined(early):
    """The handler began before, so it may have seen what was there before."""
    cache, go, made = Cache(), asyncio.Event(), []

    async def page(request: Request):
        made.append(1)
        number = len(made)
        await go.wait()
        current_load().tag("page")
        return PlainTextResponse(f"{number}")

    page = cache_response(expire=60, cache=cache, tags="page" if early else ())(page)
    app = client(Starlette(routes=[Route("/", page)]))
    before = asyncio.create_task(app.get("/"))
    await asyncio.sleep(1)
    cache.clear_tags("page")
    after = asyncio.create_task(app.get("/"))
    await asyncio.sleep(1)
    go.set()
    assert [(await one).text for one in (before, after)] == ["1", "2"]
    assert (await app.get("/")).text == "2"


@pytest.mark.real_time
async def test_a_clear_of_a_tag_reaches_other_processes():
    """Of a response that another process made, its tags are known too."""
    server = MemoryStore()
    one, other = (Users(Cache(store=server), tags="user:{user}") for _ in range(2))
    await one.get(1)
    await until(lambda: not one.cache.writes)
    await other.get(1)
    assert (one.made, other.made) == ([1], [])
    one.cache.clear_tags("user:1")
    await until(lambda: not len(other.cache))
    await other.get(1)
    assert other.made == [1]
    for users in (one, other):
        await users.cache.aclose()


async def test_a_skipped_response_is_sent_and_not_stored():
    """The handler knows best: nothing is kept, here or by a cache in front."""
    users = Users(say=lambda: current_load().skip())
    assert await users.get(1, 1) == "fwd=miss; detail=skipped"
    assert users.made == [1, 1]


async def test_a_handler_says_how_long_its_response_lives():
    """It may say more than the decorator and less, and caches in front hear it."""
    for seconds in (5, 600):

        def say(seconds=seconds):
            current_load().expire = seconds

        users = Users(say=say)
        await users.get(1)
        assert (await users.client.get("/users/1")).headers["cache-control"] == f"max-age={seconds}"
        assert await users.get(1) in {f"hit; ttl={seconds}", f"hit; ttl={seconds - 1}"}


@pytest.mark.parametrize(
    ("tags", "error", "says"),
    [
        ("user:{name}", ValueError, "tags name 'name', but the function has the parameters user"),
        ("", ValueError, "a tag must not be empty"),
        (7, TypeError, "tags must be texts"),
    ],
)
def test_tags_that_make_no_sense_are_refused_where_they_are_written(tags, error, says):
    """As those of a cached function."""
    with pytest.raises(error, match=says):

        @cache_response(tags=tags)
        async def get_user(user: int): ...
