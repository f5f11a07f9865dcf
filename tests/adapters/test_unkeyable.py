"""An argument that no key can be made of: the handler's author is told what to write; a client is never let down."""

import itertools
import re
import sys
import types
from pathlib import Path
from typing import Annotated, NamedTuple

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import blacksheep
import django_site  # noqa: F401 - it configures Django
import falcon.asgi
import falcon.testing
import tornado.web
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from fastapi import Depends, FastAPI, File, UploadFile
from flask import Flask
from litestar import Litestar
from litestar import get as litestar_get
from litestar.params import HeaderParameter
from quart import Quart
from sanic import Request as SanicRequest
from sanic import Sanic
from sanic.compat import Header
from sanic.response import text
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

import asyncfan
from asyncfan import Cache, UnkeyableArgumentError
from asyncfan.adapters import aiohttp, django, fastapi, flask, litestar, quart, sanic, starlette
from asyncfan.adapters import blacksheep as blacksheep_adapter
from asyncfan.adapters import falcon as falcon_adapter
from asyncfan.adapters import tornado as tornado_adapter
from asyncfan.http.serving import Server

NUMBERS = itertools.count()

WAYS = (
    "cannot be keyed by value. Do one of: ignore=({0!r},) if the result does not depend on it; key=lambda ...: ... to "
    "build the key from what it does depend on; register_key({1}, lambda value: ...) to say what its value is"
)


class Session:
    """What has no value to key by."""

    def __init__(self, *_):
        pass


class Moment(NamedTuple):
    """What has one, unless what is in it has not."""

    zone: object


def cache_response(framework, **options):
    """Decorate a handler of one of the frameworks that this module imports all of."""
    return asyncfan.cache_response(cache=Cache(), adapter=framework.Adapter, **options)


@pytest.fixture
def refused(monkeypatch):
    """Return what handlers were refused with: frameworks make a bare 500 of it."""
    errors, serve = [], Server.serve

    async def watched(self, adapter, visit):
        try:
            return await serve(self, adapter, visit)
        except UnkeyableArgumentError as error:
            errors.append(str(error))
            raise

    monkeypatch.setattr(Server, "serve", watched)
    return errors


def message(handler, parameter, kind=Session):
    """Return the whole text of the error."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    ways = WAYS.format(parameter, kind.__name__)
    return f"{__name__}.{handler}(): argument {parameter!r} of type {name} {ways}"


async def asked(app, **headers):
    """Return the response to one request."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/", headers=headers)


async def test_fastapi(refused):
    """A parsed argument: a file that is uploaded."""
    app = FastAPI()

    @app.post("/")
    @cache_response(fastapi)
    async def file(upload: Annotated[UploadFile, File()]):
        raise NotImplementedError

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/", files={"upload": b"a"})).status_code == 500
    kind = "starlette.datastructures.UploadFile"
    name = f"{__name__}.test_fastapi.<locals>.file"
    assert refused == [f"{name}(): argument 'upload' of type {kind} {WAYS.format('upload', 'UploadFile')}"]


async def test_what_dependencies_give_is_no_argument_to_key():
    """A session that is injected is neither refused nor in the key: it comes of the request, which is."""
    app = FastAPI()

    async def session_of_request():
        return Session()

    @app.get("/")
    @cache_response(fastapi)
    async def handler(session: Annotated[Session, Depends(session_of_request)]):
        return "x"

    await asked(app)
    assert "hit" in (await asked(app)).headers["cache-status"]


async def test_litestar(refused):
    """A parsed argument: a header that is turned into an object of the user's."""

    async def handler(session: Annotated[Session, HeaderParameter(name="X-Session")]) -> str:
        raise NotImplementedError

    handler.__annotations__["return"] = str
    app = Litestar(
        [litestar_get("/")(cache_response(litestar)(handler))],
        type_decoders=[(lambda kind: kind is Session, lambda kind, value: Session())],
        openapi_config=None,
    )
    assert (await asked(app, **{"X-Session": "1"})).status_code == 500
    assert refused == [message("test_litestar.<locals>.handler", "session")]


async def test_blacksheep(refused, monkeypatch):
    """A parsed argument: a header that is turned into an object of the user's."""
    turning = types.SimpleNamespace(can_convert=lambda kind: kind is Session, convert=lambda value, kind: Session())
    monkeypatch.setattr("blacksheep.server.bindings.converters", [turning])

    class FromSession(blacksheep.FromHeader[Session]):
        name = "X-Session"

    async def handler(session: FromSession):
        raise NotImplementedError

    handler.__annotations__["session"] = FromSession
    app = blacksheep.Application(router=blacksheep.Router())
    app.router.add_get("/", cache_response(blacksheep_adapter)(handler))
    await app.start()
    await asked(app, **{"X-Session": "1"})
    await app.stop()
    assert refused == [message("test_blacksheep.<locals>.handler", "session")]


def test_flask(refused):
    """What a decorator between the route and the view passes by place is named by the view's parameter."""
    app = Flask(__name__)

    def view(session):
        raise NotImplementedError

    cached = cache_response(flask)(view)
    app.add_url_rule("/", "view", lambda: cached(Session()))
    assert app.test_client().get("/").status_code == 500
    assert refused == [message("test_flask.<locals>.view", "session")]


async def test_quart(refused):
    """Likewise."""
    app = Quart(__name__)

    async def view(session):
        raise NotImplementedError

    cached = cache_response(quart)(view)

    async def with_session():
        return await cached(session=Session())

    app.add_url_rule("/", "view", with_session)
    assert (await asked(app)).status_code == 500
    assert refused == [message("test_quart.<locals>.view", "session")]


HTTP = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"", "headers": []}


def sanic_call(view):
    """Return how Sanic calls a handler."""
    request = SanicRequest(b"/1", Header(), "1.1", "GET", None, Sanic(f"unkeyable{next(NUMBERS)}"))
    request._match_info = {"number": 1}
    return view, (request,), {"number": 1}


def falcon_call(view):
    """Return how Falcon calls the responder of a resource."""
    return view, (object(), falcon.testing.create_asgi_req(), falcon.asgi.Response()), {}


def tornado_call(view):
    """Return how Tornado calls the method of a handler."""
    connection = types.SimpleNamespace(set_close_callback=lambda _: None)
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    request = HTTPServerRequest(connection=connection, start_line=line, headers=HTTPHeaders({"Host": "test"}))
    return view, (tornado.web.RequestHandler(tornado.web.Application(), request),), {}


# {adapter's module: how its framework calls a handler, and what the handler returns}
CALLS = {
    aiohttp: (lambda view: (view, (make_mocked_request("GET", "/"),), {}), lambda: web.Response(text="x")),
    django: (lambda view: (view, (AsyncRequestFactory().get("/"),), {}), lambda: HttpResponse("x")),
    falcon_adapter: (falcon_call, lambda: None),
    sanic: (sanic_call, lambda: text("x")),
    starlette: (lambda view: (view, (Request(HTTP),), {}), lambda: PlainTextResponse("x")),
    tornado_adapter: (tornado_call, lambda: None),
}


@pytest.fixture(params=CALLS, ids=lambda module: module.__name__.rpartition(".")[2])
def called(request):
    """Return what calls a view as one of the frameworks does, with what a decorator passes beside it."""
    how, answer = CALLS[request.param]
    runs = []

    async def view(*args, session, **kwargs):
        runs.append(session)
        return answer()

    cached = cache_response(request.param)(view)

    async def call(session):
        function, args, kwargs = how(cached)
        await function(*args, session=session, **kwargs)
        return runs

    call.handler = view.__qualname__
    return call


async def test_argument_of_a_decorator(called):
    """It is a mistake where it has no value to key by, whatever the framework."""
    with pytest.raises(UnkeyableArgumentError, match=f"^{re.escape(message(called.handler, 'session'))}$"):
        await called(Session())


async def test_argument_of_a_decorator_is_keyed(called):
    """What is passed beside the request, such as a user whom a decorator has found, tells requests apart."""
    for user in ("ann", "bob", "ann"):
        runs = await called(user)
    assert runs == ["ann", "bob"]


async def test_ways_out_lead_out():
    """What the message says to write works."""
    for options in ({"ignore": ("session",)}, {"key": lambda request, session: 1}):

        @cache_response(django, **options)
        async def view(request, session):
            return HttpResponse("x")

        for _ in range(2):
            answer = await view(AsyncRequestFactory().get("/"), Session())
        assert "hit" in answer["cache-status"]


async def test_result_of_key():
    """Whatever the framework: what key= returns is refused in words, such as the request itself."""

    @cache_response(starlette, key=lambda request: (request.url.path, request))
    async def view(request):
        raise NotImplementedError

    text = (
        f"{__name__}.test_result_of_key.<locals>.view(): argument 'key' of type starlette.requests.Request is what key= "
        "returned, and cannot be keyed by value. Let it return what identifies that, such as an id, or use "
        "register_key(Request, lambda value: ...)"
    )
    with pytest.raises(UnkeyableArgumentError, match=f"^{re.escape(text)}$"):
        await view(Request(HTTP))


async def test_one_requests_data_is_answered_without_the_cache(caplog):
    """An argument whose class has a value, but in which one client's is strange, bypasses; the log says so once."""

    @cache_response(django)
    async def view(request, moment):
        return HttpResponse("x")

    for moment in (Moment(1), Moment(Session()), Moment(Session())):
        answer = await view(AsyncRequestFactory().get("/"), moment)
    assert answer["cache-status"] == "asyncfan; fwd=bypass; detail=unkeyable"
    name = f"{__name__}.test_one_requests_data_is_answered_without_the_cache.<locals>.view"
    assert caplog.messages == [f"{name}: requests bypass the cache: Session has no value to key by"]


async def test_who_is_asking_is_answered_without_the_cache():
    """An identity that cannot be keyed is one that cannot be told from others: it shares nothing, and fails nobody."""

    @cache_response(starlette, identity=lambda request: Session())
    async def view(request):
        return PlainTextResponse("x")

    for _ in range(2):
        answer = await view(Request(HTTP))
    assert answer.headers["cache-status"] == "asyncfan; fwd=bypass; detail=unkeyable"
