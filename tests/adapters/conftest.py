"""A real server for the adapters' tests: uvicorn in a thread, reached through sockets."""

import threading
import time

import httpx
import pytest
import uvicorn


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
