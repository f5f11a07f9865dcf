"""Bob is never sent what was made for Alice, however FastAPI told the handler who asks."""

# ruff: noqa: B008, FAST002 - FastAPI's spellings as people write them

import asyncio
from collections import Counter

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, File, Query, Request, Response
from fastapi.security import APIKeyQuery
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from asyncfan.caching.cache import Cache
from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response
from asyncfan.testing import Gate


@pytest.fixture
def cache():
    """Return a cache of the test's own."""
    return Cache()


def client_of(app):
    """Return a client inside the process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


class Who(BaseModel):
    name: str | None = None


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Badge(SecurityBase):
    """A security scheme without a model, which reads what nobody declared."""

    def __init__(self):
        self.scheme_name = "badge"

    async def __call__(self, request: Request):
        return request.headers.get("x-user")


async def by_request(request: Request):
    """Read the header by hand."""
    return request.headers.get("x-user")


async def by_connection(connection: HTTPConnection):
    """Read the header from what requests and sockets have in common."""
    return connection.headers.get("x-user")


async def by_another(user=Depends(by_request)):
    """Leave the reading to a dependency of its own."""
    return user


@pytest.mark.parametrize("guard", [by_request, by_connection, by_another, Badge()])
@pytest.mark.parametrize("level", CacheLevel)
async def test_header_that_a_guard_reads_by_hand_separates_people(cache, guard, level):
    """A guard that takes the whole request may read any header: none of them is shared between people."""
    app = FastAPI()

    @app.get("/", include_in_schema=False)
    @cache_response(cache=cache, cache_level=level)
    async def endpoint(user=Depends(guard)):
        return user

    async with client_of(app) as client:
        for name in ("alice", "bob", "alice"):
            response = await client.get("/", headers={"X-User": name})
            assert response.json() == name
    assert level is CacheLevel.LOW or response.headers["cache-status"].startswith("asyncfan; hit")


async def test_guard_of_a_router_that_takes_the_request_separates_people(cache):
    """A dependency above the route, whose result nobody takes, may leave what it read in the request's state."""
    app, router = FastAPI(), APIRouter()

    async def remember(request: Request):
        request.state.user = request.headers["x-user"]

    @router.get("/")
    @cache_response(cache=cache)
    async def endpoint(request: Request):
        return request.state.user

    app.include_router(router, dependencies=[Depends(remember)])
    async with client_of(app) as client:
        for name in ("alice", "bob"):
            assert (await client.get("/", headers={"X-User": name})).json() == name


def with_pool(cache, **options):
    """Return an application whose handler gets an object that a dependency takes from the application."""
    app, calls = FastAPI(), Counter()

    async def pool(request: Request):
        return request.app

    @app.get("/")
    @cache_response(cache=cache, **options)
    async def endpoint(pool=Depends(pool)):
        calls["endpoint"] += 1

    return app, calls


async def test_object_from_the_request_is_no_part_of_the_key(cache):
    """A dependency that takes the request only to find a pool costs no hit, whatever proxies add to requests."""
    app, calls = with_pool(cache)
    async with client_of(app) as client:
        for n in "12":
            headers = {"X-Request-ID": n, "X-Forwarded-For": f"10.0.0.{n}", "Traceparent": n, "User-Agent": n}
            response = await client.get("/", headers=headers)
    assert response.headers["cache-status"].startswith("asyncfan; hit")
    assert calls["endpoint"] == 1


async def test_caches_in_front_do_not_share_what_a_guard_may_tell_apart(cache):
    """No list of names says what such a response depends on, so a cache in front asks each time."""
    app, _ = with_pool(cache)
    async with client_of(app) as client:
        anonymous = await client.get("/")
        known = await client.get("/", headers={"X-User": "alice"})
    assert anonymous.headers["vary"].startswith("*")
    assert known.headers["cache-control"] == "private, max-age=300"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [({}, 300), ({"expire": 3600}, 3600), ({"expire": 3600, "max_private_expire": 60}, 60)],
    ids=["nothing", "expire", "both"],
)
async def test_response_for_one_person_is_short_lived_unless_told_otherwise(cache, said, seconds):
    """Rights change; who writes how long a response is good for has thought of that."""
    app = FastAPI()

    @app.get("/")
    @cache_response(cache_level=CacheLevel.HIGH, cache=cache, **said)
    async def mine():
        return {}

    async with client_of(app) as client:
        response = await client.get("/", headers={"Authorization": "Bearer a"})
    assert response.headers["cache-control"] == f"private, max-age={seconds}"


async def test_vary_says_what_guards_read(cache):
    """With vary=, even an empty one, headers that it does not name are no part of the key."""
    app, calls = with_pool(cache, vary=())
    async with client_of(app) as client:
        for name in ("alice", "bob"):
            response = await client.get("/", headers={"X-User": name})
    assert calls["endpoint"] == 1
    assert response.headers["vary"] == "authorization, cookie"


async def test_guard_that_takes_the_request_may_read_any_parameter(cache):
    """At LOW the query is keyed as a whole where a guard may read parameters that nobody declares."""
    app = FastAPI()

    async def user(request: Request):
        return request.query_params["user"]

    @app.get("/user")
    @cache_response(cache=cache, cache_level=CacheLevel.LOW)
    async def read(user=Depends(user)):
        return user

    async with client_of(app) as client:
        for name in ("alice", "bob"):
            assert (await client.get(f"/user?user={name}")).json() == name


async def test_model_of_all_parameters_declares_them_all(cache):
    """At LOW a query model that takes whatever comes keys whatever comes."""
    app = FastAPI()

    @app.get("/")
    @cache_response(cache=cache, cache_level=CacheLevel.LOW)
    async def endpoint(found: Anything = Query()):
        return found

    async with client_of(app) as client:
        for color in ("red", "blue"):
            assert (await client.get(f"/?color={color}")).json() == {"color": color}


@pytest.mark.parametrize("options", [{"params": ("page",)}, {"ignore": ("api_key",)}, {"key": lambda user: 1}])
async def test_credentials_in_the_query_are_keyed_whatever_the_options(cache, options):
    """An API key in the query separates people although the options leave the query out of the key."""
    app = FastAPI()

    @app.get("/")
    @cache_response(cache=cache, **options)
    async def endpoint(user: str = Depends(APIKeyQuery(name="api_key"))):
        return user

    async with client_of(app) as client:
        for name in ("alice", "bob"):
            assert (await client.get(f"/?api_key={name}")).json() == name


async def test_key_does_not_show_credentials_in_the_query(cache):
    """The text of a key has a digest where the query has an API key."""
    app = FastAPI()

    @app.get("/")
    @cache_response(cache=cache)
    async def endpoint(user: str = Depends(APIKeyQuery(name="api_key"))):
        return user

    async with client_of(app) as client:
        await client.get("/?api_key=s3cret")
    assert not any("s3cret" in key for op in cache.operations for key in op.table)


async def test_rewritten_path_is_the_one_that_counts(cache):
    """Where a middleware rewrites the path, requests are told apart as the routes tell them apart."""
    app = FastAPI()

    @app.get("/{tenant}")
    @cache_response(cache=cache)
    async def endpoint(tenant: str):
        return tenant

    async def outer(scope, receive, send):
        await app({**scope, "path": "/" + dict(scope["headers"])[b"x-tenant"].decode()}, receive, send)

    async with client_of(outer) as client:
        for tenant in ("one", "two"):
            assert (await client.get("/", headers={"X-Tenant": tenant})).json() == tenant


async def test_fields_left_out_of_a_body_are_not_fields_of_their_default(cache):
    """A handler can tell a field that was sent from one that was not, so the key does as well."""
    app = FastAPI()

    @app.post("/", response_model_exclude_unset=True)
    @cache_response(cache=cache)
    async def endpoint(who: Who) -> Who:
        return who

    async with client_of(app) as client:
        for body in ({"name": None}, {}):
            assert (await client.post("/", json=body)).json() == body


async def test_name_taught_during_a_run_separates_who_waits_for_it(cache):
    """Another request teaches the route a Vary while some wait for a run: each still gets the answer for its header."""
    app, gate = FastAPI(), Gate()

    @app.get("/{place}")
    @cache_response(cache=cache)
    async def endpoint(place: str, request: Request):
        if place == "slow" and request.headers["x-color"] == "red":
            await gate.enter()
        return Response(request.headers["x-color"], headers={"Vary": "X-Color"})

    async with client_of(app) as client:
        red = asyncio.ensure_future(client.get("/slow", headers={"X-Color": "red"}))
        await gate.reached()
        blue = asyncio.ensure_future(client.get("/slow", headers={"X-Color": "blue"}))
        for _ in range(100):  # until it waits for the other's run
            await asyncio.sleep(0)
        await client.get("/fast", headers={"X-Color": "green"})
        gate.open()
        assert [(await red).text, (await blue).text] == ["red", "blue"]


async def test_equal_multipart_forms_share_an_entry(cache):
    """The boundary of a form, which every client makes up anew, is no part of the key."""
    app, calls = FastAPI(), Counter()

    @app.post("/")
    @cache_response(cache=cache)
    async def endpoint(file: bytes = File()):
        calls["endpoint"] += 1
        return len(file)

    async with client_of(app) as client:
        for content in (b"a", b"a", b"bc"):
            assert (await client.post("/", files={"file": content})).json() == len(content)
    assert calls["endpoint"] == 2
