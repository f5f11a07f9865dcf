"""Litestar, Quart and Django keep what every framework's adapter keeps, behind two servers."""

import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from django_site import DjangoSite
from litestar_site import LitestarSite
from quart_site import QuartSite
from test_conformance import *  # noqa: F403 - the same suite, over the sites below

pytestmark = [
    pytest.mark.real_time,
    # Django's, of any file that it sends under ASGI
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning"),
]

SITES = {"django": DjangoSite, "litestar": LitestarSite, "quart": QuartSite}


@pytest.fixture(params=["uvicorn", "hypercorn"])
def asgi_server(request):
    """Return which server."""
    return request.param


@pytest.fixture(params=sorted(SITES))
def site(request):
    """Return the endpoints in one framework."""
    site = SITES[request.param]()
    if reason := site.lacks.get(request.node.originalname):
        pytest.skip(f"{request.param}: {reason}")
    return site


@pytest.fixture
def client(site, asgi_server, request):
    """Return a client of a server that runs the site."""
    if asgi_server == "uvicorn":
        yield request.getfixturevalue("serve")(site)
        return
    url, running = request.getfixturevalue("hypercorn_server")
    running["app"] = site
    with httpx.Client(base_url=url) as client:
        yield client
