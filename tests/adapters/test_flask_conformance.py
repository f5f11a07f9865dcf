"""Plain and async views of Flask keep what every framework's adapter keeps, behind two servers."""

import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flask_site import AsyncSite, PlainSite
from test_conformance import *  # noqa: F403 - the same suite, over the sites below

pytestmark = pytest.mark.real_time


@pytest.fixture(params=[PlainSite, AsyncSite], ids=["plain", "async"])
def site(request):
    """Return the endpoints, as views of one sort."""
    site = request.param()
    if reason := site.lacks.get(request.node.originalname):
        pytest.skip(f"flask: {reason}")
    return site


@pytest.fixture
def client(site, wsgi_server):
    """Return a client of a server that runs the site."""
    server, running = wsgi_server
    running["app"] = site
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client
