"""What is Litestar's own: layers, guards, dependencies, and what the route makes of a value."""

import dataclasses
from typing import Annotated, Any

import httpx
import pytest
from litestar import Controller, Litestar, Request, Response, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.dto import DataclassDTO, DTOConfig
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter

from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response

CALLS = []


@pytest.fixture
def cache():
    """Return a cache of the test's own."""
    CALLS.clear()
    return Cache()


async def asked(handler, *headers, **options):
    """Return the responses to one request after the other."""
    app = Litestar([handler], openapi_config=None, **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answers = []
        for each in headers or ({}, {}):
            answers.append(await client.get("/", headers=each))
            client.cookies.clear()
        return answers


async def test_value_becomes_bytes_by_the_routes_rules(cache):
    """A dataclass is encoded once; the miss and the hit are what Litestar sends without a cache."""

    @dataclasses.dataclass
    class Point:
        x: int

    def point():
        async def handler() -> Point:
            CALLS.append(1)
            return Point(1)

        handler.__annotations__["return"] = Point
        return handler

    plain, _ = await asked(get("/", media_type="application/vnd.x+json")(point()))
    miss, hit = await asked(get("/", media_type="application/vnd.x+json")(cache_response(cache=cache)(point())))
    assert plain.content == miss.content == hit.content
    assert plain.headers["content-type"] == miss.headers["content-type"] == hit.headers["content-type"]
    assert len(CALLS) == 3


async def test_layers_add_to_each_response(cache):
    """Headers, cookies and hooks of the layers above are on hits, as on misses, and not stored twice."""

    async def after(response: Response[Any]) -> Response[Any]:
        response.headers["x-count"] = str(len(CALLS))
        CALLS.append("after")
        return response

    @get("/")
    @cache_response(cache=cache)
    async def handler() -> dict[str, int]:
        return {"n": 1}

    layers = {"response_headers": {"x-layer": "1"}, "response_cookies": {"c": "1"}, "after_request": after}
    first, second = await asked(handler, **layers)
    assert "hit" in second.headers["cache-status"]
    assert [response.headers["x-count"] for response in (first, second)] == ["0", "1"]
    assert second.headers.get_list("x-layer") == ["1"]
    assert second.headers.get_list("set-cookie") == first.headers.get_list("set-cookie") != []


async def test_guard_rejects_anonymous_after_warm(cache):
    """Guards run on hits, and what they read counts as a credential."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if "x-key" not in connection.headers:
            raise NotAuthorizedException

    @get("/", guards=[guard])
    @cache_response(cache=cache)
    async def handler(request: Request[Any, Any, Any]) -> str:
        return request.headers["x-key"]

    answers = await asked(handler, {"X-Key": "a"}, {"X-Key": "b"}, {"X-Key": "a"}, {})
    assert [answer.status_code for answer in answers] == [200, 200, 200, 401]
    assert [answer.text for answer in answers[:3]] == ["a", "b", "a"]
    assert "hit" in answers[2].headers["cache-status"]


async def test_header_of_a_dependency_and_of_the_handler_are_keyed(cache):
    """Parameters that come in headers tell requests apart, whoever declares them."""

    async def user(key: Annotated[str, HeaderParameter(name="X-Key")]) -> str:
        return key

    @get("/", dependencies={"user": Provide(user)})
    @cache_response(cache=cache)
    async def handler(user: NamedDependency[str], color: Annotated[str, HeaderParameter(name="X-Color")]) -> str:
        return f"{user} {color}"

    pairs = ("a red", "b red", "a blue", "a red")
    headers = [dict(zip(("X-Key", "X-Color"), pair.split(), strict=True)) for pair in pairs]
    answers = await asked(handler, *headers)
    assert [answer.text for answer in answers] == list(pairs)
    assert "hit" in answers[3].headers["cache-status"]
    assert {"x-key", "x-color"} <= set(answers[0].headers["vary"].split(", "))


async def test_methods_of_a_controller_are_handlers(cache):
    """A controller's handler finds the request behind self."""

    class Items(Controller):
        @get("/")
        @cache_response(cache=cache)
        async def items(self) -> str:
            return type(self).__name__

    _, second = await asked(Items)
    assert (second.text, "hit" in second.headers["cache-status"]) == ("Items", True)


async def test_return_dto_is_sent_but_not_stored(cache):
    """A DTO has no door for ready bytes: its response is the same with the cache as without it."""

    @get("/", return_dto=DataclassDTO[Annotated[User, DTOConfig(exclude={"secret"})]])
    @cache_response(cache=cache)
    async def handler() -> User:
        CALLS.append(1)
        return User("alice", "x")

    answers = await asked(handler)
    assert [answer.json() for answer in answers] == [{"name": "alice"}] * 2
    assert len(CALLS) == 2


def test_decorators_in_the_wrong_order():
    """Above the route there is no function to cache."""
    with pytest.raises(TypeError, match=r"^@cache_response must stand directly above a function or method, got "):
        cache_response()(get("/")(handler_of_nothing))


async def handler_of_nothing() -> None:
    """Stand in for any handler."""


@dataclasses.dataclass
class User:
    name: str
    secret: str
