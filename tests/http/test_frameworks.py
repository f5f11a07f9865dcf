"""Which framework a call comes from is known by classes, never by looks."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import asyncfan
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


OTHERS = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from their_framework import Request, Response
from asyncfan import Cache, cache_response

calls = []

@cache_response(cache=Cache())
async def handler(resource, request):
    calls.append(request)
    return Response(b"text")

async def main():
    assert "their_adapter" not in sys.modules
    print([(await handler(None, Request())).body for _ in range(2)], len(calls), "their_adapter" in sys.modules)

asyncio.run(main())
"""


def test_third_party_registers_by_entry_point(tmp_path):
    """A distribution's entry point names its framework's module and its adapter, which is loaded by the first request."""
    (tmp_path / "their_framework.py").write_text(
        "class Request: pass\nclass Response:\n    def __init__(self, body): self.body, self.headers = body, {}\n"
    )
    (tmp_path / "their_adapter.py").write_text(
        "from asyncfan.adapters.undeclared import Undeclared\n"
        "from asyncfan.http.messages import Draft, RequestParts, Visit\n"
        "class Adapter(Undeclared):\n"
        "    def open(self, args, kwargs): return Visit(args[1], args, kwargs)\n"
        "    def parts(self, visit): return RequestParts('GET', 'http', b'/', b'', [])\n"
        "    async def freeze(self, visit, result): return result, Draft(200, (), result.body)\n"
        "    def emit(self, visit, status, headers, body): return type('Made', (), {'body': body})()\n"
        "    def mark(self, visit, result, name, value): return result\n"
    )
    told = tmp_path / "their_framework-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: their-framework\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[asyncfan.adapters]\ntheir_framework = their_adapter:Adapter\n")
    found = subprocess.run(
        [sys.executable, "-c", OTHERS, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.splitlines() == ["[b'text', b'text'] 1 True"]


def test_entry_points_are_read_only_where_no_request_is_known():
    """A known framework's request is found without reading any distribution's metadata."""
    code = (
        "import asyncio, sys; from starlette.requests import Request; from starlette.responses import Response\n"
        "from asyncfan.http import cache_response, frameworks\n"
        "@cache_response()\nasync def handler(request): return Response()\n"
        "scope = {'type': 'http', 'method': 'GET', 'path': '/', 'query_string': b'', 'headers': []}\n"
        "asyncio.run(handler(Request(scope)))\nassert not frameworks._discovered\n"
        "asyncio.run(handler(1))\nassert frameworks._discovered\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


BROKEN = """
import asyncio, warnings
try:
    import flask
except RuntimeError:
    pass
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from asyncfan import cache_response

calls = []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")

    @cache_response(expire=60)
    async def handler(request: Request):
        calls.append(request)
        return PlainTextResponse("x")

    @cache_response(expire=60)
    async def plain(number: int):
        return number

print([f"{warning.category.__name__}: {warning.message}" for warning in caught])
scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
for _ in range(2):
    print(asyncio.run(handler(Request(scope))).status_code, asyncio.run(plain(1)), len(calls))
"""


def test_framework_that_cannot_be_imported_is_no_matter_of_others(tmp_path):
    """One that raises at import is named in a warning, once, and handlers of other frameworks are cached."""
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").write_text("from . import globals\nraise RuntimeError('wrong version')\n")
    (tmp_path / "flask" / "globals.py").write_text("")
    paths = os.pathsep.join([str(tmp_path), str(Path(asyncfan.__file__).parents[1])])
    env = {**os.environ, "PYTHONPATH": paths}
    ran = subprocess.run([sys.executable, "-c", BROKEN], env=env, capture_output=True, text=True, check=True)
    warned, *answers = ran.stdout.splitlines()
    assert answers == ["200 1 1", "200 1 1"]
    assert warned == (
        "['RuntimeWarning: @cache_response leaves flask out, because asyncfan.adapters.flask cannot be imported: "
        "RuntimeError: wrong version']"
    )


async def test_adapter_that_cannot_be_imported_fails_its_own_handlers(monkeypatch):
    """A request of that framework is not answered as if it were any argument."""
    monkeypatch.setattr(frameworks, "_ADAPTERS", {"their.requests": "no_such_module:Adapter"})

    class Theirs:
        __module__ = "their.requests"

    @cache_response(cache=Cache())
    async def endpoint(request):
        raise NotImplementedError

    with pytest.raises(ModuleNotFoundError, match=r"no_such_module"):
        await endpoint(Theirs())
