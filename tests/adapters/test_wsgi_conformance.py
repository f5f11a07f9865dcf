"""The WSGI middleware keeps what every framework's adapter keeps, in front of Flask and behind two servers."""

import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest
import waitress.server

sys.path.insert(0, str(Path(__file__).parent))

from flask_site import FlaskSite
from test_conformance import *  # noqa: F403 - the same suite, over the site below
from test_conformance import twice

pytestmark = pytest.mark.real_time

# A middleware lets what nobody named reach the application; WSGI tells it neither of work to do afterwards nor of a
# client that has gone; and a request inside of this process needs ASGI.
del test_unsafe_method_without_methods_is_refused  # noqa: F821
del test_background_task_runs_once_a_request  # noqa: F821
del test_what_cannot_be_repeated_passes_untouched  # noqa: F821
del test_followers_of_a_disconnected_leader_elect_another  # noqa: F821
del test_many_hosts_do_not_grow_the_memory_of_keys  # noqa: F821


class Waitress(threading.Thread):
    """Waitress in a thread, running one application."""

    def __init__(self, app):
        super().__init__(daemon=True)
        self.server = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=24)
        self.port = self.server.effective_port

    def run(self):
        self.server.run()

    def stop(self):
        self.server.task_dispatcher.shutdown()
        self.server.trigger.pull_trigger(self.server.close)


class Threaded(ThreadingMixIn, WSGIServer):
    """The standard library's server, a thread a request."""

    daemon_threads = True
    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    """One that keeps no log."""

    def log_message(self, *_):
        pass


class Reference(threading.Thread):
    """wsgiref in a thread, running one application."""

    def __init__(self, app):
        super().__init__(daemon=True)
        self.server = make_server("127.0.0.1", 0, app, Threaded, Quiet)
        self.port = self.server.server_port

    def run(self):
        self.server.serve_forever(0.01)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module", params=[Waitress, Reference], ids=["waitress", "wsgiref"])
def server(request):
    """Return a server, and what it is to run."""
    running = {}

    def answer(environ, start_response):
        return running["app"](environ, start_response)

    server = request.param(answer)
    server.start()
    yield server, running
    server.stop()
    server.join(10)


@pytest.fixture
def site():
    """Return the endpoints behind the middleware."""
    site = FlaskSite()
    yield site
    site.inner.close()


@pytest.fixture
def client(site, server):
    """Return a client of a server that runs the site."""
    server, running = server
    running["app"] = site
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client


def test_stream_passes_untouched(client, site):
    """A response whose end is not in sight is sent in full, each time by the application."""
    first, second = twice(client, "/stream")
    assert first.content == second.content == b"0\n1\n2\n"
    assert site.calls["stream"] == 2
