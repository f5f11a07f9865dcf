"""What FastAPI would send is what the cache sends: each endpoint beside its undecorated twin."""

# ruff: noqa: B008, FAST002 - both of FastAPI's spellings are tested

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import threading
from collections import Counter
from typing import Annotated, Any, Optional

import httpx
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.security import APIKeyHeader, APIKeyQuery, HTTPBearer
from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from asyncfan.caching.cache import Cache
from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response
from asyncfan.testing import Gate

ADDED = {"etag", "cache-control", "vary", "age", "cache-status"}


class Item(BaseModel):
    name: str
    price: float | None = None
    note: str = Field(default="none", alias="theNote")


class Shown(BaseModel):
    name: str


@pydantic_dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass
class Plain:
    a: int


class LoudResponse(JSONResponse):
    media_type = "application/loud+json"

    def render(self, content: Any) -> bytes:
        return super().render(content).upper()


SESSIONS = Counter()


async def session():
    """Yield a new object for each request."""
    SESSIONS["session"] += 1
    yield object()


def value():
    """Return more than a response model shows."""
    return {"name": "n", "price": 1.5, "secret": "hidden"}


async def a_dict():
    """Return a plain dictionary."""
    return value()


async def a_model() -> Item:
    """Return a model with an alias."""
    return Item(name="n", theNote="x")


async def a_list() -> list[Item]:
    """Return a list of models."""
    return [Item(name="n")]


async def a_pydantic_dataclass() -> Point:
    """Return a pydantic dataclass."""
    return Point(1)


async def a_dataclass():
    """Return a plain dataclass."""
    return Plain(1)


async def nothing():
    """Return nothing."""


async def some_html():
    """Return text for a response class."""
    return "<p>hello</p>"


async def a_response():
    """Return a response."""
    return PlainTextResponse("teapot", 203, {"X-Own": "1"})


async def headers_set(response: Response):
    """Set headers and status on FastAPI's response."""
    response.headers["X-Own"] = "1"
    response.headers.append("X-Twice", "a")
    response.headers.append("X-Twice", "b")
    response.status_code = 203
    return value()


async def headers_ignored(response: Response):
    """Set headers that FastAPI will not send."""
    response.headers["X-Own"] = "1"
    return JSONResponse(value())


def a_plain_function(q: int = 1) -> Item:
    """Return a model from a thread."""
    return Item(name=str(q))


ENDPOINTS = [
    (a_dict, {}),
    (a_dict, {"response_model": Shown}),
    (a_dict, {"response_model": Item, "response_model_exclude_unset": True}),
    (a_dict, {"response_model": Item, "response_model_include": {"name"}}),
    (a_dict, {"response_model": Item, "response_model_exclude": {"name"}}),
    (a_dict, {"response_model": None}),
    (a_dict, {"response_class": LoudResponse}),
    (a_dict, {"status_code": 203}),
    (a_model, {}),
    (a_model, {"response_model_by_alias": False}),
    (a_model, {"response_model": Shown}),
    (a_list, {}),
    (a_pydantic_dataclass, {}),
    (a_dataclass, {}),
    (nothing, {}),
    (some_html, {"response_class": HTMLResponse}),
    (some_html, {"response_class": PlainTextResponse}),
    (a_response, {}),
    (headers_set, {}),
    (headers_set, {"response_model": Shown}),
    (headers_ignored, {}),
    (a_plain_function, {}),
]


@pytest.fixture
def cache():
    """Return a cache of the test's own."""
    return Cache()


def client_of(app):
    """Return a client inside the process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def without_added(response):
    """Return the headers that the cache did not add."""
    return sorted((k, v) for k, v in response.headers.multi_items() if k not in ADDED)


@pytest.mark.real_time  # plain functions run in anyio's threads
@pytest.mark.parametrize(("endpoint", "options"), ENDPOINTS, ids=lambda x: getattr(x, "__name__", None) or str(x)[:50])
@pytest.mark.parametrize("included", [False, True])
async def test_miss_and_hit_are_what_fastapi_sends(cache, endpoint, options, included):
    """Status, body and headers of a miss and of a hit are those of the undecorated endpoint."""
    app = FastAPI()
    router = APIRouter() if included else app
    router.get("/plain", **options)(endpoint)
    router.get("/cached", **options)(cache_response(cache=cache)(endpoint))
    if included:
        app.include_router(router, prefix="/v1", default_response_class=LoudResponse)
    prefix = "/v1" if included else ""
    async with client_of(app) as client:
        plain = await client.get(f"{prefix}/plain")
        for state in ("fwd=miss; stored", "hit"):
            cached = await client.get(f"{prefix}/cached")
            assert state in cached.headers["cache-status"]
            assert (cached.status_code, cached.content) == (plain.status_code, plain.content)
            assert without_added(cached) == without_added(plain)


async def test_response_model_hides_fields_on_a_hit(cache):
    """A field that the response model leaves out is in no stored byte."""
    app = FastAPI()
    app.get("/", response_model=Shown)(cache_response(cache=cache)(a_dict))
    async with client_of(app) as client:
        assert [(await client.get("/")).json() for _ in range(2)] == [{"name": "n"}] * 2


async def test_invalid_result_is_the_same_error(cache):
    """A value that breaks the response model is FastAPI's own error, and is not stored."""
    from fastapi.exceptions import ResponseValidationError

    app = FastAPI()
    app.get("/", response_model=Point)(cache_response(cache=cache)(a_dict))
    async with client_of(app) as client:
        for _ in range(2):
            with pytest.raises(ResponseValidationError):
                await client.get("/")


def test_openapi_is_unchanged():
    """The decorator leaves no trace in the schema."""

    async def endpoint(x: int, body: Item, q: Annotated[str, Query(min_length=2)] = "ab", h: str = Header()) -> Item:
        """Do it."""
        raise NotImplementedError

    schemas = []
    for fn in (endpoint, cache_response(cache=Cache())(endpoint)):
        app = FastAPI()
        app.post("/x/{x}")(fn)
        schemas.append(app.openapi())
    assert schemas[0] == schemas[1]


def test_signature_is_the_same_but_for_what_was_added():
    """Only keyword-only parameters with defaults are added, and only those that are missing."""

    async def endpoint(x: int, *, y: str = "y", **rest: Any) -> Item:
        raise NotImplementedError

    async def complete(req: Request, res: Response) -> Item:
        raise NotImplementedError

    plain = inspect.signature(endpoint, eval_str=True)  # as it is seen where the handler stands
    decorated = inspect.signature(cache_response(cache=Cache())(endpoint))
    own = [p for p in decorated.parameters.values() if not p.name.startswith("asyncfan_")]
    assert plain.replace(parameters=own) == plain
    assert decorated.return_annotation == plain.return_annotation
    assert len(decorated.parameters) == len(plain.parameters) + 2
    assert inspect.signature(cache_response(cache=Cache())(complete)) == inspect.signature(complete, eval_str=True)


async def test_request_parameter_is_found_in_any_form(cache):
    """A Request under any name, Annotated or not, reaches the handler once."""
    app = FastAPI()

    @app.get("/annotated")
    @cache_response(cache=cache)
    async def annotated(r: Annotated[Request, "the request"], q: int):
        return {"path": r.url.path, "q": q}

    @app.get("/plain")
    @cache_response(cache=cache)
    async def plain(whatever: Request):
        return {"path": whatever.url.path}

    async with client_of(app) as client:
        assert (await client.get("/annotated?q=1")).json() == {"path": "/annotated", "q": 1}
        assert (await client.get("/plain")).json() == {"path": "/plain"}


async def test_dependencies_are_never_in_the_key_but_always_run(cache):
    """A new session object a request does not keep requests apart, and its dependency runs for each."""
    app, calls = FastAPI(), SESSIONS
    calls.clear()

    @app.get("/a")
    @cache_response(cache=cache)
    async def a(db: Annotated[object, Depends(session)], q: int = 1):
        calls["a"] += 1
        return q

    @app.get("/b")
    @cache_response(cache=cache)
    async def b(db=Depends(session)):
        calls["b"] += 1

    async with client_of(app) as client:
        for path in ("/a", "/a", "/b", "/b"):
            await client.get(path)
    assert calls == {"session": 4, "a": 1, "b": 1}


@pytest.mark.parametrize("where", ["parameter", "route", "router"])
async def test_guard_rejects_anonymous_after_warm(cache, where):
    """Authentication runs before the cache: a stored answer helps nobody who may not have it."""
    guard = Depends(HTTPBearer())
    app, router = FastAPI(), APIRouter()
    decorate = cache_response(cache=cache)
    if where == "parameter":

        @decorate
        async def endpoint(token=guard):
            return token.credentials
    else:

        @decorate
        async def endpoint():
            return "secret"

    router.get("/", dependencies=[guard] if where == "route" else [])(endpoint)
    app.include_router(router, prefix="/v1", dependencies=[guard] if where == "router" else [])
    async with client_of(app) as client:
        for _ in range(2):
            assert (await client.get("/v1/", headers={"Authorization": "Bearer a"})).status_code == 200
        assert (await client.get("/v1/")).status_code in {401, 403}


async def who(client, name, users, where="headers"):
    """Ask as one user after the other."""
    return [(await client.get("/", **{where: {name: user}})).json() for user in users]


async def test_header_that_a_guard_reads_separates_people(cache):
    """A header declared by a dependency, of the route or of the router above, is part of the key."""
    app, router, calls = FastAPI(), APIRouter(), Counter()

    async def user(x_user: str = Header()):
        return x_user

    @router.get("/")
    @cache_response(cache=cache)
    async def endpoint(user: str = Depends(user)):
        calls["endpoint"] += 1
        return user

    app.include_router(router)
    async with client_of(app) as client:
        assert await who(client, "X-User", "aba") == list("aba")
        assert calls["endpoint"] == 2
        private = await client.get("/", headers={"X-User": "a"})
    assert private.headers["cache-control"].startswith("private")
    assert private.headers["vary"] == "authorization, cookie, x-user"


async def test_header_that_a_routers_guard_reads_separates_people(cache):
    """A dependency of include_router is seen although the route itself does not have it."""
    app, router = FastAPI(), APIRouter()

    async def remember(request: Request, x_tenant: str = Header()):
        request.state.tenant = x_tenant

    @router.get("/")
    @cache_response(cache=cache)
    async def endpoint(request: Request):
        return request.state.tenant

    app.include_router(router, dependencies=[Depends(remember)])
    async with client_of(app) as client:
        assert await who(client, "X-Tenant", "aba") == list("aba")


@pytest.mark.parametrize("level", CacheLevel)
@pytest.mark.parametrize(
    ("scheme", "where"),
    [(APIKeyHeader(name="X-Key"), "headers"), (APIKeyQuery(name="key"), "params")],
    ids=["header", "query"],
)
async def test_api_key_is_a_credential(cache, level, scheme, where):
    """What a security scheme reads is a credential at every level, wherever it is."""
    app = FastAPI()

    @app.get("/")
    @cache_response(cache=cache, cache_level=level)
    async def endpoint(key: str = Security(scheme)):
        return key

    name = "X-Key" if where == "headers" else "key"
    async with client_of(app) as client:
        assert await who(client, name, "abab", where) == list("abab")
        last = await client.get("/", **{where: {name: "a"}})
    assert ("credentials" if level is CacheLevel.LOW else "hit") in last.headers["cache-status"]
    assert level is CacheLevel.LOW or last.headers["cache-control"].startswith("private")


@pytest.mark.parametrize("options", [{}, {"public": True}, {"cache_level": CacheLevel.LOW}])
async def test_handlers_own_headers_and_cookies_are_arguments(cache, options):
    """A header or cookie that the handler takes as a parameter is part of the key, whatever the options."""
    app = FastAPI()

    @app.get("/header")
    @cache_response(cache=cache, **options)
    async def header(x_color: str = Header()):
        return x_color

    @app.get("/cookie")
    @cache_response(cache=cache, **options)
    async def cookie(theme: str = Cookie()):
        return theme

    async with client_of(app) as client:
        for color in ("red", "blue", "red"):
            assert (await client.get("/header", headers={"X-Color": color})).json() == color
            assert (await client.get("/cookie", headers={"Cookie": f"theme={color}"})).json() == color


async def test_cookie_that_a_guard_reads_is_keyed_when_public(cache):
    """public=True leaves the Cookie header out of the key, but not the cookies that a dependency declares."""
    app, calls = FastAPI(), Counter()

    async def theme(theme: str = Cookie()):
        return theme

    @app.get("/")
    @cache_response(cache=cache, public=True)
    async def endpoint(color: str = Depends(theme)):
        calls["endpoint"] += 1
        return color

    async with client_of(app) as client:
        for cookie in ("theme=red; id=1", "theme=blue; id=1", "theme=red; id=2"):
            color = cookie.partition(";")[0].partition("=")[2]
            assert (await client.get("/", headers={"Cookie": cookie})).json() == color
    assert calls["endpoint"] == 2


async def test_low_keys_the_declared_parameters(cache):
    """At LOW the parameters of the handler and its dependencies are keyed, aliases too, and no others."""
    app, calls = FastAPI(), Counter()

    async def page(page: int = 1, size: Annotated[int, Query(alias="pageSize")] = 10):
        return page, size

    @app.get("/")
    @cache_response(cache=cache, cache_level=CacheLevel.LOW)
    async def endpoint(q: str = "", where=Depends(page)):
        calls["endpoint"] += 1
        return [q, *where]

    async with client_of(app) as client:
        queries = (
            "q=a&page=2&pageSize=5",
            "utm=x&q=a&page=2&pageSize=5",
            "q=a&page=3&pageSize=5",
            "pageSize=6",
        )
        answers = [(await client.get(f"/?{query}")).json() for query in queries]
    assert answers == [["a", 2, 5], ["a", 2, 5], ["a", 3, 5], ["", 1, 6]]
    assert calls["endpoint"] == 3


async def test_bodies_are_keyed_by_value(cache):
    """Equal models share an entry however they were written; other values do not."""
    app, calls = FastAPI(), Counter()

    @app.post("/")
    @cache_response(cache=cache)
    async def endpoint(item: Item, times: Annotated[int, Body()] = 1):
        calls["endpoint"] += 1
        return [item, times]

    async with client_of(app) as client:
        for content in (
            '{"item": {"name": "a", "price": 1}, "times": 1}',
            '{"times": 1, "item": {"price": 1.0, "name": "a"}}',
            '{"item": {"name": "a"}, "times": 1}',
            '{"item": {"name": "a", "price": 1}, "times": 2}',
        ):
            await client.post("/", content=content, headers={"Content-Type": "application/json"})
    assert calls["endpoint"] == 3


async def test_body_that_a_dependency_reads_is_keyed(cache):
    """A body declared by a dependency only still tells requests apart."""
    app = FastAPI()

    async def item(item: Item):
        return item.name

    @app.post("/")
    @cache_response(cache=cache)
    async def endpoint(name: str = Depends(item)):
        return name

    async with client_of(app) as client:
        for name in "aba":
            assert (await client.post("/", json={"name": name})).json() == name


async def test_undeclared_body_is_keyed_and_left_for_the_handler(cache):
    """A handler that reads the body itself gets it, and its bytes are the key."""
    app, calls = FastAPI(), Counter()

    @app.post("/")
    @cache_response(cache=cache)
    async def endpoint(request: Request):
        calls["endpoint"] += 1
        return await request.json()

    async with client_of(app) as client:
        for number in (1, 2, 1):
            assert (await client.post("/", json=number)).json() == number
    assert calls["endpoint"] == 2


async def test_form_fields_are_keyed(cache):
    """Form fields are arguments."""
    app, calls = FastAPI(), Counter()

    @app.post("/form")
    @cache_response(cache=cache)
    async def form(a: Annotated[str, Form()]):
        calls["form"] += 1
        return a

    async with client_of(app) as client:
        for a in "aba":
            assert (await client.post("/form", data={"a": a})).json() == a
    assert calls["form"] == 2


async def test_headers_of_guards_belong_to_each_request(cache):
    """What a dependency writes on the response goes with its own request and is never stored; cookies too."""
    app, calls = FastAPI(), Counter()

    async def guard(response: Response):
        calls["guard"] += 1
        response.headers["X-Request-Number"] = str(calls["guard"])
        response.set_cookie("visit", str(calls["guard"]))

    @app.get("/", dependencies=[Depends(guard)])
    @cache_response(cache=cache)
    async def endpoint(response: Response):
        response.headers["X-Own"] = "1"
        return "body"

    async with client_of(app) as client:
        for number in ("1", "2", "3"):
            client.cookies.clear()
            response = await client.get("/")
            assert response.headers.get_list("x-request-number") == [number]
            assert response.headers.get_list("set-cookie") == [f"visit={number}; Path=/; SameSite=lax"]
            assert response.headers.get_list("x-own") == ["1"]
            assert response.headers.get_list("cache-control") == ["private, no-cache"]
    assert "hit" in response.headers["cache-status"]


@pytest.mark.parametrize("name", ["Cache-Control", "Vary"])
async def test_guards_word_against_storing_counts(cache, name):
    """no-store and Vary: * of a dependency keep the response out of the cache as the handler's own would."""
    app, calls = FastAPI(), Counter()

    async def guard(response: Response):
        response.headers[name] = "no-store" if name == "Cache-Control" else "*"

    @app.get("/", dependencies=[Depends(guard)])
    @cache_response(cache=cache)
    async def endpoint():
        calls["endpoint"] += 1

    async with client_of(app) as client:
        await client.get("/")
        await client.get("/")
    assert calls["endpoint"] == 2


@pytest.mark.real_time
async def test_background_tasks_run_as_often_as_they_were_added(cache):
    """A handler's background task keeps its response out of the cache; a guard's runs on every hit."""
    app, calls = FastAPI(), Counter()

    async def guard(tasks: BackgroundTasks):
        tasks.add_task(calls.update, ["guard task"])

    @app.get("/handler")
    @cache_response(cache=cache)
    async def handler(tasks: BackgroundTasks):
        calls["handler"] += 1
        tasks.add_task(calls.update, ["task"])

    @app.get("/guard", dependencies=[Depends(guard)])
    @cache_response(cache=cache)
    async def guarded(tasks: BackgroundTasks):
        calls["guarded"] += 1

    async with client_of(app) as client:
        for path in ("/handler", "/handler", "/guard", "/guard"):
            assert (await client.get(path)).status_code == 200
    assert calls == {"handler": 2, "task": 2, "guarded": 1, "guard task": 2}


async def test_http_errors_pass_through_unstored(cache):
    """An HTTPException is the framework's own answer, and the handler runs again next time."""
    app, calls = FastAPI(), Counter()

    @app.get("/")
    @cache_response(cache=cache)
    async def endpoint():
        calls["endpoint"] += 1
        raise HTTPException(404, "no such thing", {"X-Why": "test"})

    async with client_of(app) as client:
        for _ in range(2):
            response = await client.get("/")
            assert (response.status_code, response.headers["x-why"]) == (404, "test")
    assert calls["endpoint"] == 2


async def test_handler_runs_in_the_callers_task(cache):
    """What belongs to the request's task, such as its context, is there for the handler."""
    app, tasks = FastAPI(), []

    async def remember():
        tasks.append(asyncio.current_task())

    @app.get("/", dependencies=[Depends(remember)])
    @cache_response(cache=cache)
    async def endpoint():
        tasks.append(asyncio.current_task())

    async with client_of(app) as client:
        await client.get("/")
    assert tasks[0] is tasks[1]


async def test_ignored_and_chosen_arguments(cache):
    """ignore= takes a parameter out of the key, key= says what the key is."""
    app, calls = FastAPI(), Counter()

    @app.get("/ignore")
    @cache_response(cache=cache, ignore=("trace", "x_trace"))
    async def ignore(q: str, trace: str = "", x_trace: str = Header("")):
        calls["ignore"] += 1

    @app.get("/key")
    @cache_response(cache=cache, key=lambda q: q.lower())
    async def key(q: str):
        calls["key"] += 1

    async with client_of(app) as client:
        for i in range(3):
            await client.get(f"/ignore?q=a&trace={i}", headers={"X-Trace": str(i)})
            await client.get("/key", params={"q": "Aa" if i % 2 else "aA"})
        await client.get("/ignore?q=b")
        await client.get("/key?q=b")
    assert calls == {"ignore": 2, "key": 2}


async def test_one_handler_on_two_routes_keeps_their_models_apart(cache):
    """The same decorated handler behind two routes is serialised by each route's own model."""
    app = FastAPI()
    cached = cache_response(cache=cache)(a_dict)
    app.get("/all")(cached)
    app.get("/some", response_model=Shown)(cached)
    async with client_of(app) as client:
        for _ in range(2):
            assert "secret" in (await client.get("/all")).json()
            assert (await client.get("/some")).json() == {"name": "n"}


async def test_route_class_of_the_application_still_surrounds_the_handler(cache):
    """A custom APIRoute's own work is done once a request, not again by the cache."""
    from fastapi.routing import APIRoute

    calls = Counter()

    class Counting(APIRoute):
        def get_route_handler(self):
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                calls["route"] += 1
                return await inner(request)

            return handle

    app, router = FastAPI(), APIRouter(route_class=Counting)
    router.get("/")(cache_response(cache=cache)(a_dict))
    app.include_router(router)
    async with client_of(app) as client:
        await client.get("/")
        await client.get("/")
    assert calls["route"] == 2


async def test_handler_called_without_a_request_is_cached_by_its_arguments(cache, caplog):
    """Called as a function, the handler is cached as one, and the log says so once."""
    calls = Counter()

    @cache_response(cache=cache)
    async def endpoint(q: int):
        calls["endpoint"] += 1
        return q

    assert [await endpoint(1), await endpoint(1), await endpoint(2)] == [1, 1, 2]
    assert calls["endpoint"] == 2
    assert caplog.text.count("without a request") == 1


def test_optional_request_is_treated_as_fastapi_treats_it(cache):
    """FastAPI refuses Optional[Request]; decorated, it is refused the same way."""

    async def endpoint(request: Optional[Request] = None):  # noqa: UP045
        raise NotImplementedError

    def outcome(fn):
        try:
            FastAPI().get("/")(fn)
        except Exception as error:  # noqa: BLE001 - whatever FastAPI raises
            return type(error)
        return None

    assert outcome(cache_response(cache=cache)(endpoint)) is outcome(endpoint)


async def test_guards_max_age_shortens_the_expiry(cache):
    """A lifetime that a dependency sets counts like the handler's own."""
    app = FastAPI()

    async def guard(response: Response):
        response.headers["Cache-Control"] = "max-age=10"

    @app.get("/", dependencies=[Depends(guard)])
    @cache_response(cache=cache)
    async def endpoint():
        return "body"

    async with client_of(app) as client:
        await client.get("/")
        response = await client.get("/")
    assert response.headers["cache-status"] in {"asyncfan; hit; ttl=10", "asyncfan; hit; ttl=9"}
    assert response.headers.get_list("cache-control") == ["max-age=10"]


async def test_followers_of_a_response_that_taught_a_name_share_one_more_run(cache):
    """Requests that waited for a response with an unknown Vary are joined again under the better key."""
    app, calls, gate = FastAPI(), Counter(), Gate()

    @app.get("/")
    @cache_response(cache=cache)
    async def endpoint(request: Request):
        calls["endpoint"] += 1
        await gate.enter()
        return Response(request.headers.get("x-color"), headers={"Vary": "X-Color"})

    async with client_of(app) as client:
        requests = [asyncio.ensure_future(client.get("/", headers={"X-Color": "red"})) for _ in range(5)]
        other = asyncio.ensure_future(client.get("/", headers={"X-Color": "blue"}))
        await gate.reached()
        for _ in range(100):
            await asyncio.sleep(0)
        gate.open()
        assert {(await request).text for request in requests} == {"red"}
        assert (await other).text == "blue"
    assert calls["endpoint"] == 3


async def test_clear_during_a_run_keeps_its_response_out(cache):
    """A response that was being made when its prefix was cleared is sent, but not stored."""
    app, calls, gate = FastAPI(), Counter(), Gate()

    @app.get("/")
    @cache_response(prefix="t:fenced", cache=cache)
    async def endpoint():
        calls["endpoint"] += 1
        await gate.enter()

    async with client_of(app) as client:
        request = asyncio.ensure_future(client.get("/"))
        await gate.reached()
        cache.clear("t:fenced*")
        gate.open()
        assert (await request).status_code == 200
        await client.get("/")
    assert calls["endpoint"] == 2


async def test_plain_handler_without_a_request_is_cached_off_the_loop(cache):
    """Called as a function, a plain handler runs in a thread, once."""
    threads = []

    @cache_response(cache=cache)
    def endpoint(q: int):
        threads.append(threading.current_thread())
        return q

    assert [await endpoint(1), await endpoint(1)] == [1, 1]
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_headers_of_guards_reach_the_client_of_an_unstored_response(cache):
    """What a dependency writes is sent with a response that is not stored, too, once."""
    app = FastAPI()

    async def guard(response: Response):
        response.headers["X-Guard"] = "1"

    @app.get("/", dependencies=[Depends(guard)])
    @cache_response(cache=cache)
    async def endpoint(response: Response):
        response.set_cookie("a", "b")
        return "body"

    async with client_of(app) as client:
        response = await client.get("/")
    assert response.headers.get_list("x-guard") == ["1"]
    assert response.headers.get_list("set-cookie") == ["a=b; Path=/; SameSite=lax"]
    assert response.headers["cache-status"] == "asyncfan; fwd=miss; detail=set-cookie"
