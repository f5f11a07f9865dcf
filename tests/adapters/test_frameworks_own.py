"""What is peculiar to one framework: its ways to answer, to guard and to declare."""

import asyncio
import contextlib
import inspect
import re
import types

import blacksheep
import falcon
import falcon.asgi
import httpx
import pytest
import tornado.web
from aiohttp import ClientSession, FormData, web
from aiohttp.test_utils import TestServer
from blacksheep import FromCookie, FromHeader
from blacksheep.server.bindings import RequestUser
from blacksheep.server.controllers import Controller
from sanic import Blueprint
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from asyncfan.adapters.blacksheep import Adapter as BlackSheepAdapter
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response

pytestmark = pytest.mark.real_time


def client_of(app):
    """Return a client of an ASGI application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@contextlib.asynccontextmanager
async def tornado_client(handler):
    """Run one Tornado handler class, and give a client of it."""
    server = HTTPServer(tornado.web.Application([("/", handler)], cookie_secret="secret"))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sockets[0].getsockname()[1]}") as client:
            yield client
    finally:
        server.stop()
        await server.close_all_connections()


async def test_raised_answers_of_aiohttp_reach_each_client():
    """Five that wait for one handler get each its own 404: aiohttp sends a response object only once."""
    calls = []
    gate = asyncio.Event()

    @cache_response(cache=Cache())
    async def missing(request):
        calls.append(request)
        await gate.wait()
        raise web.HTTPNotFound(text="no such thing")

    app = web.Application()
    app.router.add_get("/", missing)
    async with asyncio.timeout(30), TestServer(app) as server, ClientSession() as client:
        answers = [asyncio.ensure_future(client.get(server.make_url("/"))) for _ in range(5)]
        while not calls:
            await asyncio.sleep(0)
        gate.set()
        found = [((await answer).status, await (await answer).text()) for answer in answers]
    assert found == [(404, "no such thing")] * 5


async def test_raised_redirect_of_aiohttp_is_stored():
    """A permanent redirect that is raised is an answer like any other."""
    calls = []

    @cache_response(cache=Cache())
    async def moved(request):
        calls.append(request)
        raise web.HTTPMovedPermanently("/new")

    app = web.Application()
    app.router.add_get("/", moved)
    async with TestServer(app) as server, ClientSession() as client:
        for _ in range(2):
            async with client.get(server.make_url("/"), allow_redirects=False) as answer:
                assert (answer.status, answer.headers["location"]) == (301, "/new")
    assert len(calls) == 1


async def test_multipart_form_of_aiohttp_can_be_parsed_after_it_was_keyed():
    """Equal uploads share an entry, others do not, and the handler reads them all."""
    calls = []

    @cache_response(cache=Cache())
    async def upload(request):
        calls.append(request)
        form = await request.post()
        return web.Response(text=form["file"].file.read().decode())

    app = web.Application()
    app.router.add_post("/", upload)
    async with TestServer(app) as server, ClientSession() as client:
        for text in ("one", "two"):
            form = FormData()
            form.add_field("file", text.encode(), filename="f.txt")
            async with client.post(server.make_url("/"), data=form) as answer:
                assert await answer.text() == text
    assert len(calls) == 2


async def test_body_that_a_middleware_of_aiohttp_read_in_part_bypasses():
    """What is left of a body is no key."""

    @web.middleware
    async def peek(request, handler):
        await request.content.read(1)
        return await handler(request)

    @cache_response(cache=Cache())
    async def rest(request):
        return web.Response(body=await request.read())

    app = web.Application(middlewares=[peek])
    app.router.add_post("/", rest)
    async with TestServer(app) as server, ClientSession() as client:
        for text in ("axx", "bxx"):
            async with client.post(server.make_url("/"), data=text.encode()) as answer:
                assert answer.headers["cache-status"] == "asyncfan; fwd=bypass; detail=body"
                assert await answer.text() == "xx"


async def test_headers_of_tornados_prepare_belong_to_each_request():
    """What prepare writes is sent along with a hit, as it is for this request, and is never stored."""
    calls = []

    class Handler(tornado.web.RequestHandler):
        def prepare(self):
            self.set_header("X-Request", self.request.headers["X-Request"])
            self.set_header("X-Kind", "prepared")

        @cache_response(cache=Cache())
        async def get(self):
            calls.append(self)
            self.set_header("X-Kind", "handled")
            self.write({"a": 1})

    async with tornado_client(Handler) as client:
        for number in ("1", "2"):
            answer = await client.get("/", headers={"X-Request": number})
            assert (answer.headers["x-request"], answer.headers["x-kind"]) == (number, "handled")
            assert answer.headers.get_list("content-type") == ["application/json; charset=UTF-8"]
            assert answer.json() == {"a": 1}
    assert len(calls) == 1


async def test_cookie_of_tornados_prepare_is_each_clients_own():
    """A session cookie that prepare sets is not stored, and caches in front must not store what carries it."""
    calls = []

    class Handler(tornado.web.RequestHandler):
        def prepare(self):
            self.set_cookie("session", self.request.headers["X-Request"])

        @cache_response(cache=Cache())
        async def get(self):
            calls.append(self)
            self.write("text")

    async with tornado_client(Handler) as client:
        for number in ("1", "2"):
            client.cookies.clear()
            answer = await client.get("/", headers={"X-Request": number})
            assert answer.headers.get_list("set-cookie") == [f"session={number}; Path=/"]
            assert answer.headers["cache-control"] == "private, no-cache"
    assert len(calls) == 1


async def test_page_that_a_method_of_tornado_finishes_is_stored():
    """What a method finishes, or renders, is stored; another decorated one that it calls only writes its part."""
    calls = []

    class Handler(tornado.web.RequestHandler):
        @cache_response(cache=Cache())
        async def part(self):
            self.write("a part, ")

        @cache_response(cache=Cache())
        async def get(self):
            calls.append(self)
            await self.part()
            await self.finish("<p>page</p>")

    async with tornado_client(Handler) as client:
        texts = [(await client.get("/")).text for _ in range(2)]
        known = await client.get("/", headers={"If-None-Match": (await client.get("/")).headers["etag"]})
    assert texts == ["a part, <p>page</p>"] * 2
    assert known.status_code == 304
    assert len(calls) == 1


async def test_headers_of_falcons_middleware_belong_to_each_request():
    """What a middleware writes before the responder is sent along with a hit, as it is for this request."""
    calls = []

    class Around:
        async def process_request(self, req, resp):
            resp.set_header("X-Request", req.get_header("X-Request"))
            resp.set_cookie("session", req.get_header("X-Request"), secure=False, http_only=False)

    class Resource:
        @cache_response(cache=Cache())
        async def on_get(self, req, resp):
            calls.append(self)
            resp.media = {"a": 1}
            resp.append_header("X-Many", "1")

    app = falcon.asgi.App(middleware=[Around()])
    app.add_route("/", Resource())
    async with client_of(app) as client:
        for number in ("1", "2"):
            client.cookies.clear()
            answer = await client.get("/", headers={"X-Request": number})
            assert answer.headers["x-request"] == number
            assert answer.headers.get_list("set-cookie") == [f"session={number}"]
            assert answer.headers["cache-control"] == "private, no-cache"
            assert (answer.json(), answer.headers["x-many"]) == ({"a": 1}, "1")
            assert answer.headers.get_list("content-type") == ["application/json"]
    assert len(calls) == 1


async def test_media_that_a_middleware_of_falcon_read_bypasses():
    """Where a middleware has read the body, the responder runs, and still gets the media."""

    class Around:
        async def process_request(self, req, resp):
            await req.get_media()

    class Resource:
        @cache_response(cache=Cache())
        async def on_post(self, req, resp):
            resp.media = await req.get_media()

    app = falcon.asgi.App(middleware=[Around()])
    app.add_route("/", Resource())
    async with client_of(app) as client:
        for number in (1, 2):
            answer = await client.post("/", json=number)
            assert (answer.json(), answer.headers["cache-status"]) == (number, "asyncfan; fwd=bypass; detail=body")


async def blacksheep_client(add):
    """Start a BlackSheep application, and return a client of it."""
    app = blacksheep.Application(router=blacksheep.Router())
    add(app)
    await app.start()
    return client_of(app)


class FromColor(FromHeader[str]):
    name = "X-Color"


async def test_header_and_cookie_parameters_of_blacksheep_are_in_the_key():
    """What a handler declares to read is part of its key, and of Vary; returned values become responses."""
    calls = []

    @cache_response(cache=Cache(), public=True)
    async def paint(color: FromColor, size: FromCookie[str]):
        calls.append(color)
        return {"color": color.value, "size": size.value}

    async with await blacksheep_client(lambda app: app.router.add_get("/", paint)) as client:
        for color, size in (("red", "1"), ("blue", "1"), ("red", "2"), ("red", "1")):
            answer = await client.get("/", headers={"X-Color": color, "Cookie": f"size={size}"})
            assert answer.json() == {"color": color, "size": size}
            assert answer.headers["vary"] == "cookie, x-color"
    assert len(calls) == 3


async def test_user_of_blacksheep_keeps_unknown_headers_apart():
    """A handler that is given its user depends on whatever header a guard took the user from."""
    calls = []

    @cache_response(cache=Cache())
    async def mine(user: RequestUser):
        calls.append(user)
        return "text"

    async with await blacksheep_client(lambda app: app.router.add_get("/", mine)) as client:
        for key in ("alice", "bob", "alice"):
            answer = await client.get("/", headers={"X-Api-Key": key})
            assert answer.headers["cache-control"].startswith("private")
    assert len(calls) == 2


async def test_method_of_a_blacksheep_controller_is_a_handler():
    """A controller's method finds its request behind self, and what a plain one returns is stored."""
    calls = []
    app = blacksheep.Application(router=blacksheep.Router())
    app.controllers_router = blacksheep.server.routing.RoutesRegistry()
    get = app.controllers_router.get

    class Home(Controller):
        @get("/home/{number}")
        @cache_response(cache=Cache())
        def show(self, number: int):
            calls.append(number)
            return {"number": number}

    await app.start()
    async with client_of(app) as client:
        assert [(await client.get("/home/7")).json() for _ in range(2)] == [{"number": 7}] * 2
    assert calls == [7]


def test_handlers_of_other_frameworks_keep_their_parameters():
    """A handler that BlackSheep could not call is left as it is."""

    @cache_response(cache=Cache(), adapter=BlackSheepAdapter)
    async def handler(*, a: int, **rest: int): ...

    assert list(inspect.signature(handler).parameters) == ["a", "rest"]


# ---- misuse: what a program would otherwise find out in production

ORDER = (
    "handler was registered without its cache, because @cache_response stands above the route. "
    "Put it below, next to the function:\n    {}\n    @cache_response(...)\n    async def handler(...): ..."
)
GUARD = (
    "{} is guarded below its cache, so that a hit would get by the guard. Put @cache_response below, "
    "next to the function:\n    {}\n    @cache_response(...)\n    async def {}(...): ..."
)


def handler_in_its_module(**names):
    """Return a handler whose module has these names."""
    scope = types.ModuleType("site").__dict__ | names
    exec("async def handler(request): ...", scope)
    return scope["handler"]


@pytest.mark.parametrize(
    ("router", "add", "route"),
    [
        (web.RouteTableDef(), lambda router: router.get("/"), "@routes.get(...)"),
        (Blueprint("site"), lambda router: router.get("/"), "@app.get(...)"),
        (blacksheep.Router(), lambda router: router.get("/"), "@app.router.get(...)"),
    ],
    ids=["aiohttp", "sanic", "blacksheep"],
)
def test_decorators_in_the_wrong_order(router, add, route):
    """Above the route decorator the cache would never be asked."""
    handler = handler_in_its_module(router=router)
    add(router)(handler)
    with pytest.raises(TypeError, match=f"^{re.escape(ORDER.format(route))}$"):
        cache_response(cache=Cache())(handler)


def test_tornados_guard_below_the_cache():
    """Under @cache_response a hit would not ask whether anybody is logged in."""

    async def get(self): ...

    name = get.__qualname__
    with pytest.raises(TypeError, match=f"^{re.escape(GUARD.format(name, '@authenticated', 'get'))}$"):
        cache_response(cache=Cache())(tornado.web.authenticated(get))


def test_falcons_guard_below_the_cache():
    """Under @cache_response a hit would not run the hook."""

    async def guard(req, resp, resource, params): ...

    async def on_get(self, req, resp): ...

    name = on_get.__qualname__
    with pytest.raises(TypeError, match=f"^{re.escape(GUARD.format(name, '@falcon.before(...)', 'on_get'))}$"):
        cache_response(cache=Cache())(falcon.before(guard)(on_get))
