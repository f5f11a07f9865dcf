"""The ASGI middleware keeps what every framework's adapter keeps, in front of two frameworks and behind two servers."""

import sys
from pathlib import Path

import pytest
from starlette.endpoints import HTTPEndpoint

sys.path.insert(0, str(Path(__file__).parent))

import sites
from test_conformance import *  # noqa: F403 - the same suite, over the site below
from test_conformance import twice

from asyncfan.adapters.asgi import CacheMiddleware, Rule

pytestmark = pytest.mark.real_time

LACKS = {
    "test_unsafe_method_without_methods_is_refused": "a middleware lets what no rule names reach the application",
    "test_background_task_runs_once_a_request": "a middleware knows nothing of work that is done after a response",
    "test_what_cannot_be_repeated_passes_untouched": "a middleware knows nothing of work that is done after a response",
}

BASES = {"fastapi": object, "starlette": HTTPEndpoint}  # of class views


class MiddlewareSite(sites.Site):
    """The endpoints without a decorator, behind a middleware whose rules say the same."""

    def __init__(self, make):
        told = []

        def note(cache, **options):
            told.append(options)
            return lambda fn: fn

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sites, "cache_response", note)
            super().__init__(lambda site: [*sites.endpoints(site), *sites.views(site, BASES[make])])
        routes = self.inner
        rules = [self.rule(*route, dict(options)) for route, options in zip(routes, told, strict=True)]
        apps = {"fastapi": sites.fastapi_app, "starlette": sites.starlette_app}
        cached = CacheMiddleware(apps[make](routes), self.cache, [rule for rule in rules if rule])
        self.inner = sites.cancelling(sites.compressing(cached))

    @staticmethod
    def rule(path, methods, _handler, options):
        if path in {"/change", "/background"}:
            return None
        options.pop("ignore", None)
        if path == "/identity":
            options["identity"] = lambda scope: dict(scope["headers"]).get(b"x-user")
        return Rule(path.replace("{x}", "*"), methods=methods, **{"vary": (), **options})


@pytest.fixture(params=["fastapi behind uvicorn", "starlette behind hypercorn"])
def place(request):
    """Return which framework, and which server."""
    framework, _, server = request.param.split()
    return framework, server


@pytest.fixture
def site(place, request):
    """Return the endpoints in one framework, behind the middleware."""
    if reason := LACKS.get(request.node.originalname):
        pytest.skip(reason)
    return MiddlewareSite(place[0])


@pytest.fixture
def client(site, place, request):
    """Return a client of a server that runs the site."""
    return request.getfixturevalue("serve" if place[1] == "uvicorn" else "serve_behind_hypercorn")(site)


def test_stream_passes_untouched(client, site):
    """A response whose end is not in sight is sent in full, each time by the application."""
    first, second = twice(client, "/stream")
    assert first.content == second.content == b"0\n1\n2\n"
    assert site.calls["stream"] == 2


def test_what_is_under_no_rule_is_the_applications(client, site):
    """A path or a method that no rule names is not touched."""
    assert client.put("/change").status_code == 200
    _, second = twice(client, "/background")
    assert "cache-status" not in second.headers
    assert (site.calls["change"], site.calls["background"]) == (1, 2)
