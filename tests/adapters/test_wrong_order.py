"""A route below its cache is seen wherever a program may have the router that it belongs to."""

import flask
import pytest
import quart
import sanic
from aiohttp import web
from fastapi import APIRouter, FastAPI
from flask import Flask
from quart import Quart

from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response


class Held:
    """An application's parts, as programs keep them."""

    def __init__(self, router):
        self.router = router


ROUTERS = [
    *(FastAPI, APIRouter, lambda: Flask("site"), lambda: flask.Blueprint("site", "site")),
    *(
        lambda: Quart("site"),
        lambda: quart.Blueprint("site", "site"),
        web.RouteTableDef,
        lambda: sanic.Blueprint("site"),
    ),
]
IDS = ["fastapi", "fastapi router", "flask", "flask blueprint", "quart", "quart blueprint", "aiohttp", "sanic"]


@pytest.fixture(params=zip(ROUTERS, IDS, strict=True), ids=IDS)
def make(request):
    """Return a maker of routers."""
    return request.param[0]


refused = pytest.raises(TypeError, match=r"handler was registered without its cache")


def test_wrong_order_in_a_function_that_makes_the_application(make):
    """A router that no module names is seen where its handler is defined."""
    app = make()
    with refused:

        @cache_response(cache=Cache())
        @app.get("/")
        async def handler(request): ...


def test_wrong_order_below_an_attribute(make):
    """A router may belong to an object of the program's own."""
    site = Held(make())
    with refused:

        @cache_response(cache=Cache())
        @site.router.get("/")
        async def handler(request): ...


def test_wrong_order_in_a_class(make):
    """A router may be a variable of the class that its handlers are in."""

    class Views:
        router = make()
        with refused:

            @cache_response(cache=Cache())
            @router.get("/")
            async def handler(self, request): ...


@pytest.mark.parametrize("make", [flask.Blueprint, quart.Blueprint], ids=["flask", "quart"])
def test_wrong_order_in_a_nested_blueprint(make):
    """A blueprint inside of another keeps its handlers until the application has them."""
    outer, inner = make("outer", "site"), make("inner", "site")
    outer.register_blueprint(inner)
    with refused:

        @cache_response(cache=Cache())
        @inner.get("/")
        async def handler(): ...


def test_right_order_in_a_function_is_right(make):
    """The same, in order, is no mistake."""
    app = make()

    @app.get("/")
    @cache_response(cache=Cache())
    async def handler(request): ...

    assert handler.__wrapped__


def test_handler_may_be_had_with_and_without_a_cache(make):
    """A handler that has a name is registered twice on purpose."""
    app = make()

    async def handler(request): ...

    app.get("/plain")(handler)
    cached = cache_response(cache=Cache())(handler)
    cached.__name__ = "cached"  # some routers tell their handlers apart by it
    app.get("/cached")(cached)


SCRIPT = """
from fastapi import FastAPI
from asyncfan import cache_response

app = FastAPI()

@app.get("/")
@cache_response(expire=60)
async def page():
    return {}
"""


def test_handler_run_from_a_text_is_of_no_module():
    """As a notebook or a template runs it: its functions' ``__module__`` is None."""
    names = {"__builtins__": __builtins__}
    exec(SCRIPT, names)
    assert names["page"].__module__ is None
    assert names["app"].routes[-1].endpoint is names["page"]
