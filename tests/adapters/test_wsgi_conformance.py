"""The WSGI middleware keeps what every framework's adapter keeps, in front of Flask and behind two servers."""

import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flask_site import RuledSite
from test_conformance import *  # noqa: F403 - the same suite, over the site below
from test_conformance import twice

pytestmark = pytest.mark.real_time

LACKS = {
    "test_unsafe_method_without_methods_is_refused": "a middleware lets what no rule names reach the application",
    "test_background_task_runs_once_a_request": "a middleware knows nothing of work that is done after a response",
    "test_what_cannot_be_repeated_passes_untouched": "a middleware knows nothing of work that is done after a response",
    "test_followers_of_a_disconnected_leader_elect_another": "WSGI does not tell of a client that has gone",
    "test_compression_is_of_an_answer_and_of_no_entry": "it compresses nothing by itself",
}


@pytest.fixture
def site(request):
    """Return the endpoints behind the middleware."""
    if reason := LACKS.get(request.node.originalname):
        pytest.skip(reason)
    site = RuledSite()
    yield site
    site.inner.close()


@pytest.fixture
def client(site, wsgi_server):
    """Return a client of a server that runs the site."""
    server, running = wsgi_server
    running["app"] = site
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client


def test_stream_passes_untouched(client, site):
    """A response whose end is not in sight is sent in full, each time by the application."""
    first, second = twice(client, "/stream")
    assert first.content == second.content == b"0\n1\n2\n"
    assert site.calls["stream"] == 2
