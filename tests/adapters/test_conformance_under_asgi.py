"""Litestar, Quart and Django keep what every framework's adapter keeps, behind two servers."""

import sys
from pathlib import Path

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


@pytest.fixture(params=sorted(SITES))
def site(request):
    """Return the endpoints in one framework."""
    site = SITES[request.param]()
    if reason := site.lacks.get(request.node.originalname):
        pytest.skip(f"{request.param}: {reason}")
    return site


@pytest.fixture(params=["serve", "serve_behind_hypercorn"], ids=["uvicorn", "hypercorn"])
def client(site, request):
    """Return a client of a server that runs the site."""
    return request.getfixturevalue(request.param)(site)
