"""With audit=True, a handler that reads what is not in its key is told so, once, with the right code."""

import re
import warnings
from typing import Annotated

import httpx
import pytest
from fastapi import Cookie, FastAPI, Header, Request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asyncfan.adapters.starlette import Adapter
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response


def client(app):
    """Return a client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def site(read, **options):
    """Return an application whose handler reads something of its request."""

    @cache_response(cache=Cache(), audit=True, **options)
    async def handler(request: Request):
        return PlainTextResponse(str(read(request)))

    return client(Starlette(routes=[Route("/", handler, methods=["GET", "POST"])]))


NAME = f"{__name__}.site.<locals>.handler"
OTHERS = NAME + " reads the {} {!r}, which is not in its key: one client gets another's response."
PUBLIC = "Take public=True away, or write @cache_response(public=True, vary=('Authorization',))"
ALL = (
    f"{NAME} reads all headers of a request, which are not in its key. Read them by name, and name those that matter: "
    "@cache_response(vary=(...))"
)


@pytest.mark.parametrize(
    ("read", "options", "message"),
    [
        (
            lambda request: request.headers.get("X-Color"),
            {},
            f"{OTHERS.format('header', 'X-Color')} Write @cache_response(vary=('X-Color',))",
        ),
        (
            lambda request: request.cookies.get("theme"),
            {"identity": lambda _: "alice"},
            f"{OTHERS.format('cookie', 'theme')} Write @cache_response(vary=('Cookie',))",
        ),
        (
            lambda request: request.headers["Authorization"],
            {"public": True},
            f"{OTHERS.format('header', 'Authorization')} {PUBLIC}",
        ),
        (
            lambda request: dict(request.headers),
            {},
            ALL,
        ),
    ],
    ids=["header", "cookie", "public", "all"],
)
async def test_what_is_not_in_the_key_is_told_once(read, options, message, caplog):
    """A warning and the log name the header or cookie, and the code that puts it in the key."""
    headers = {"Authorization": "secret", "X-Color": "red"}
    async with site(read, **options) as inside:
        with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
            await inside.get("/", headers=headers)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await inside.get("/?again", headers=headers)
    assert [record.getMessage() for record in caplog.records].count(message) == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("read", "options"),
    [
        (lambda request: request.headers.get("X-Color"), {"vary": ("x-color",)}),
        (lambda request: request.headers.get("Authorization"), {}),
        (lambda request: request.cookies.get("theme"), {}),
        (lambda request: request.headers.get("Host"), {}),
        (lambda request: request.headers.get("Authorization"), {"identity": lambda _: "alice"}),
    ],
    ids=["named", "authorization", "cookie", "host", "resolved"],
)
async def test_what_is_in_the_key_is_not_told(read, options):
    """Nothing is said of what the key depends on."""
    async with site(read, **options) as inside:
        await inside.get("/", headers={"Authorization": "x"})


async def test_declared_parameters_are_in_the_key():
    """What FastAPI's own parameters declare is no surprise."""
    app = FastAPI()

    @app.get("/")
    @cache_response(cache=Cache(), audit=True)
    async def handler(request: Request, x_color: Annotated[str, Header()] = "", theme: Annotated[str, Cookie()] = ""):
        return [x_color, theme, request.headers.get("x-color"), request.cookies.get("theme")]

    async with client(app) as inside:
        response = await inside.get("/", headers={"X-Color": "red", "Cookie": "theme=dark"})
    assert response.json() == ["red", "dark", "red", "dark"]


async def test_watched_headers_are_headers_all_the_same():
    """A handler finds in them what it would find without the audit."""

    def read(request):
        headers = request.headers
        return headers.getlist("x-a"), "x-a" in headers, len(headers) > 0, headers.raw[0][0], min(headers)

    async with site(read, vary=("x-a", "*")) as inside:
        response = await inside.get("/", headers=[("x-a", "1"), ("x-a", "2")])
    assert response.text == "(['1', '2'], True, True, b'host', 'accept')"


async def test_form_is_parsed_all_the_same():
    """The framework's own look at the content type is not the handler's."""

    @cache_response(cache=Cache(), audit=True)
    async def handler(request):
        return PlainTextResponse((await request.form())["a"])

    async with client(Starlette(routes=[Route("/", handler, methods=["POST"])])) as inside:
        assert (await inside.post("/", data={"a": "1"})).text == "1"


async def test_adapter_that_cannot_watch():
    """A framework whose requests cannot be watched is refused, in words."""

    class Blind(Adapter):
        watch = None

    @cache_response(cache=Cache(), audit=True, adapter=Blind)
    async def handler(request):
        raise NotImplementedError

    message = (
        f"{__name__}.test_adapter_that_cannot_watch.<locals>.handler: audit=True needs an adapter that has "
        "watch(visit, saw)"
    )
    async with client(Starlette(routes=[Route("/", handler)])) as inside:
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            await inside.get("/")
