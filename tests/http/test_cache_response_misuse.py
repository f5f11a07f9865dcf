"""Each mistake with @cache_response fails where it is made, in words."""

import importlib
import re
import sys

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket

from asyncfan.adapters import register
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response

router = APIRouter()


async def handler():
    """Stand in for any handler."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expire": 0}, "expire must be > 0 seconds and finite, or None for good, got 0"),
        ({"max_body": -1}, "max_body must be >= 0 bytes, got -1"),
        (
            {"max_private_expire": 0},
            "max_private_expire must be > 0 seconds and finite, or None for as long as a given expire, got 0",
        ),
        (
            {"methods": ()},
            "methods must name at least one method, got none; None means GET, HEAD, POST and QUERY",
        ),
    ],
)
def test_impossible_option(options, message):
    """An option that makes no sense is refused at decoration."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cache_response(**options)


@pytest.mark.parametrize("option", ["ignore", "vary", "params", "methods"])
def test_one_name_for_several(option):
    """A bare string is no collection of names: its letters would be taken for them."""
    message = f"{option} must be several names, such as ('X-User',), got 'X-User'"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response(**{option: "X-User"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # a text would count as True: one person's response would be everybody's
        ({"public": "false"}, "public must be True or False, got 'false'"),
        ({"audit": None}, "audit must be True or False, got None"),
        ({"expose_status": 1}, "expose_status must be True or False, got 1"),
        ({"honor_client_cache_control": "no"}, "honor_client_cache_control must be True or False, got 'no'"),
        ({"identity": "user"}, "identity must be a function of the framework's request, got 'user'"),
        ({"key": "user"}, "key must be a function of the handler's arguments, got 'user'"),
        ({"max_body": "1 MiB"}, "max_body must be an int >= 0, in bytes, got '1 MiB'"),
        ({"vary": b"X-User"}, "vary must be several names, such as ('page',), got b'X-User'"),
        ({"params": 5}, "params must be several names, such as ('page',), got 5"),
        ({"cache_statuses": ["200"]}, "cache_statuses must be several numbers, such as (200, 404), got ['200']"),
        ({"cache": "redis"}, "cache must be a Cache, got 'redis'"),
        ({"adapter": "fastapi"}, "adapter must be an adapter's class, such as StarletteAdapter, got 'fastapi'"),
    ],
)
def test_option_of_the_wrong_type(options, message):
    """It is refused at decoration, not by a request, or by nobody."""
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response(**options)


def test_level_by_its_name():
    """A level is a CacheLevel."""
    with pytest.raises(TypeError, match=r"^cache_level must be a CacheLevel, got 'low'$"):
        cache_response(cache_level="low")


@pytest.mark.parametrize("thing", [staticmethod(handler), FastAPI, None])
def test_no_function(thing):
    """What is no function has no response."""
    message = f"@cache_response must stand directly above a function or method, got {thing!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response()(thing)


def test_websocket():
    """A WebSocket has no response."""

    async def talk(socket: WebSocket):
        raise NotImplementedError

    message = (
        f"{talk.__qualname__} takes a WebSocket, and has no response to cache. Take @cache_response away, "
        "or cache what it sends with @cache_function"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response()(talk)


def test_missing_parentheses():
    """The decorator is always called."""
    with pytest.raises(TypeError, match=re.escape("write @cache_response() with parentheses")):
        cache_response(handler)


def test_asynchronous_identity():
    """Who is asking must be known without waiting."""

    async def who(request):
        raise NotImplementedError

    message = "identity must return who is asking, got an async function, which returns a coroutine"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response(identity=who)


def test_generator():
    """A generator's stream cannot be stored."""

    async def rows():
        yield 1

    message = (
        "test_generator.<locals>.rows is a generator: its response is a stream, which @cache_response cannot "
        "store. Take @cache_response away, or cache what it iterates over with @cache_function"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response()(rows)


def test_decorators_in_the_wrong_order():
    """Above the route decorator the cache would never be asked."""
    router.get("/wrong")(handler)
    message = (
        "handler was registered without its cache, because @cache_response stands above the route. "
        "Put it below, next to the function:\n"
        "    @router.get(...)\n    @cache_response(...)\n    async def handler(...): ..."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response(cache=Cache())(handler)


async def test_unsafe_method():
    """A method that changes things is not skipped silently."""
    app = FastAPI()

    @app.delete("/")
    @cache_response(cache=Cache())
    async def drop():
        raise NotImplementedError

    message = (
        f"{__name__}.test_unsafe_method.<locals>.drop: a DELETE request changes something, so its handler "
        "must run every time, but @cache_response would skip it. Take @cache_response away, or, if DELETE "
        'only reads here, write @cache_response(methods=("DELETE",))'
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            await client.delete("/")


def test_adapter_of_a_wrong_form():
    """An adapter is registered by the text of its place."""
    with pytest.raises(ValueError, match=re.escape("adapter must be \"package.module:Class\", got 'module'")):
        register("framework.requests", "module")


async def test_methods_that_are_named_run_the_others():
    """Where methods= says what is cached, any other method runs the handler."""
    app = FastAPI()

    @app.delete("/")
    @cache_response(methods=("GET",), cache=Cache())
    async def drop():
        return "dropped"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.delete("/")).json() == "dropped"


TWINS = """
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response

cache = Cache()

@cache_response(cache=cache)
async def show(request): ...

@cache_response(cache=cache{option})
async def show(request, more): ...
"""


def test_two_handlers_of_one_name_and_prefix(tmp_path, monkeypatch):
    """What nobody could clear or count alone is refused where its module is loaded."""
    file = tmp_path / "their_twins.py"
    file.write_text(TWINS.format(option=""))
    monkeypatch.syspath_prepend(tmp_path)
    message = (
        f"their_twins.show is defined twice, in lines 7 and 10 of {file}, so that clearing and figures could not "
        'tell the two handlers apart. Give one of them another name, or a prefix of its own: @cache_response(prefix="show:2")'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        importlib.import_module("their_twins")


def test_prefix_of_its_own_makes_a_twin_another(tmp_path, monkeypatch):
    """With the prefix that the message asks for, it is no mistake."""
    (tmp_path / "their_others.py").write_text(TWINS.format(option=', prefix="show:2"'))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("their_others")


def test_module_that_is_edited_and_loaded_again_has_no_twins(tmp_path, monkeypatch):
    """A handler that has moved in its file is the same one."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "their_edited.py"
    text = TWINS.format(option=', prefix="show:2"').replace("cache = Cache()", "from asyncfan import cache")
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("their_edited")
    monkeypatch.setitem(sys.modules, "their_edited", module)
    file.write_text("\n\n" + text)
    importlib.reload(module)
