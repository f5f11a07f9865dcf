"""Which framework a call comes from is known by classes, never by looks."""

import subprocess
import sys
from unittest.mock import Mock

import httpx
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asyncfan.adapters import register
from asyncfan.adapters.starlette import Adapter
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response, frameworks


def _client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_importing_it_loads_no_framework():
    """`import asyncfan.http`, and decorating, load no web framework."""
    code = (
        "import sys; from asyncfan.http import cache_response\n"
        "@cache_response()\nasync def f(request): ...\n"
        "assert not {'fastapi', 'starlette', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_a_frameworks_own_request_is_one():
    """An outgoing request or a mock, which look like one, are not taken for one."""

    class Special(Request):
        pass

    assert isinstance(frameworks.adapter_of([Special({"type": "http"})], print), Adapter)
    assert frameworks.adapter_of([httpx.Request("GET", "http://test"), Mock(), 1, None], print) is None


async def test_registered_framework_is_found(monkeypatch):
    """A third party's adapter is loaded when its framework's request shows up."""
    monkeypatch.setattr(frameworks, "_ADAPTERS", dict(frameworks._ADAPTERS))

    class Theirs(Request):
        __module__ = "their.requests"

    register("their.requests", "asyncfan.adapters.starlette:Adapter")
    calls = []

    @cache_response(cache=Cache())
    async def endpoint(request):
        calls.append(request)
        return PlainTextResponse("x")

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    for _ in range(2):
        assert (await endpoint(Theirs(scope))).body == b"x"
    assert len(calls) == 1


async def test_explicit_adapter_wins():
    """adapter= is used whatever the arguments look like."""
    made = []

    class Mine(Adapter):
        def __init__(self, fn):
            super().__init__(fn)
            made.append(fn)

    @cache_response(cache=Cache(), adapter=Mine)
    async def endpoint(request):
        return PlainTextResponse("x")

    async with _client(Starlette(routes=[Route("/", endpoint)])) as client:
        for _ in range(2):
            response = await client.get("/")
    assert "hit" in response.headers["cache-status"]
    assert len(made) == 1


async def test_methods_of_a_class_are_handlers():
    """An HTTPEndpoint's methods find the request behind self."""
    calls = []

    class Endpoint(HTTPEndpoint):
        @cache_response(cache=Cache())
        async def get(self, request):
            calls.append(self)
            return PlainTextResponse(type(self).__name__)

    async with _client(Starlette(routes=[Route("/", Endpoint)])) as client:
        assert [(await client.get("/")).text for _ in range(2)] == ["Endpoint"] * 2
    assert len(calls) == 1
