"""Real servers for the adapters' tests: uvicorn, Hypercorn and the frameworks' own, in threads, through sockets."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import hypercorn.asyncio
import pytest
import uvicorn
from hypercorn.config import Config

sys.path.insert(0, str(Path(__file__).parent))

from wsgi_servers import Reference, Waitress


class Server(threading.Thread):
    """uvicorn in a thread of its own, running whatever application a test gives it.

    Attributes:
        app: The application that answers from now on.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.app = None
        config = uvicorn.Config(self.answer, port=0, log_level="critical", ws="none", lifespan="off", interface="asgi3")
        self.server = uvicorn.Server(config)

    async def answer(self, scope, receive, send):
        await self.app(scope, receive, send)

    def run(self):
        self.server.run()

    @property
    def url(self):
        """Where it listens."""
        return "http://{}:{}".format(*self.server.servers[0].sockets[0].getsockname())

    def __enter__(self):
        self.start()
        deadline = time.monotonic() + 10
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        assert self.server.started
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.join(10)


@pytest.fixture(scope="session")
def server():
    """The one server of the session."""
    with Server() as server:
        yield server


@pytest.fixture
def serve(server):
    """Let the server run an application, and return a client of it."""
    with httpx.Client(base_url=server.url) as client:

        def start(app):
            server.app = app
            return client

        yield start


class Hypercorn(threading.Thread):
    """Hypercorn in a thread, running whatever application a test gives it.

    Attributes:
        app: The application that answers from now on.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.app = None
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.ended = threading.Event()

    @property
    def url(self):
        """Where it listens."""
        return "http://{}:{}".format(*self.socket.getsockname())

    async def answer(self, scope, receive, send):
        if scope["type"] == "http":
            await self.app(scope, receive, send)

    def run(self):
        config = Config()
        config.bind = [f"fd://{self.socket.fileno()}"]
        config.errorlog = None

        async def until_ended():
            while not self.ended.is_set():
                await asyncio.sleep(0.01)

        asyncio.run(hypercorn.asyncio.serve(self.answer, config, shutdown_trigger=until_ended))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(10)
        with contextlib.suppress(OSError):
            self.socket.close()


@pytest.fixture(scope="session")
def hypercorn_server():
    """The one Hypercorn of the session."""
    with Hypercorn() as server:
        yield server


@pytest.fixture
def serve_behind_hypercorn(hypercorn_server):
    """Let Hypercorn run an application, and return a client of it."""
    with httpx.Client(base_url=hypercorn_server.url) as client:

        def start(app):
            hypercorn_server.app = app
            return client

        yield start


@pytest.fixture(scope="session")
def loop_thread():
    """The one event loop in a thread that frameworks' own servers run in."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def serve_itself(loop_thread):
    """Let a framework's own server run a site, and return a client of it."""

    def wait(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop_thread).result(10)

    with contextlib.ExitStack() as stack:

        def start(site):
            port, end = wait(site.serve())
            stack.callback(lambda: wait(end()))
            return stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}"))

        yield start


@pytest.fixture(scope="session", params=[Waitress, Reference], ids=["waitress", "wsgiref"])
def wsgi_server(request):
    """Return a server, and what it is to run."""
    running = {}

    def answer(environ, start_response):
        return running["app"](environ, start_response)

    server = request.param(answer)
    server.start()
    yield server, running
    server.stop()
    server.join(10)
