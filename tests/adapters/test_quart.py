"""What is Quart's own: a client that leaves, sessions, what stands between a route and its handler."""

import pytest
from quart import Quart, jsonify, session
from quart.views import MethodView

from asyncfan import batched, gather, scope
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response
from asyncfan.testing import Gate


@pytest.fixture
def app():
    """Return an application with sessions."""
    app = Quart(__name__)
    app.secret_key = "for tests"
    return app


@pytest.fixture
def cache():
    """Return a cache of the test's own."""
    return Cache()


async def test_disconnected_client_ends_its_handlers_fan_out(app, cache):
    """A handler that is cancelled takes what it has started with it."""
    ended, gate = [], Gate()

    async def part():
        try:
            await gate.enter()
        finally:
            ended.append(1)

    @app.get("/")
    @cache_response(cache=cache)
    async def handler():
        async with scope(tenant="acme"):
            await gather(a=part, b=part)
        return "x"

    async def receive():
        if asked:
            await gate.reached()
            return {"type": "http.disconnect"}
        asked.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        raise NotImplementedError

    asked = []
    scope_of_asgi = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"", "headers": []}
    await app({**scope_of_asgi, "http_version": "1.1"}, receive, send)
    assert ended == [1, 1]


async def test_loaders_are_bound_to_the_request(app, cache):
    """Keys of one request travel together, and are not remembered for the next one."""
    batches = []

    @batched
    async def load(keys):
        batches.append(sorted(keys))
        return {key: key for key in keys}

    @app.get("/<x>")
    @cache_response(cache=cache)
    async def handler(x):
        async with scope(tenant="acme"):
            found = await gather(a=lambda: load(1), b=lambda: load(2))
            await load(1)
        return found

    client = app.test_client()
    for path in ("/1", "/2", "/2"):
        assert await (await client.get(path)).get_json() == {"a": 1, "b": 2}
    assert batches == [[1, 2], [1, 2]]


async def test_changed_session_is_not_stored(app, cache):
    """A session's cookie is for its own client."""
    calls = []

    @app.get("/")
    @cache_response(cache=cache)
    async def handler():
        calls.append(1)
        session["n"] = len(calls)
        return jsonify(n=len(calls))

    answers = [await app.test_client().get("/") for _ in range(2)]
    assert [await answer.get_json() for answer in answers] == [{"n": 1}, {"n": 2}]


async def test_methods_of_a_view_are_handlers(app, cache):
    """A MethodView's instance, new for each request, is not in the key."""

    class Item(MethodView):
        @cache_response(cache=cache)
        async def get(self, x):
            return x

    app.add_url_rule("/<x>", view_func=Item.as_view("item"))
    _, second = [await app.test_client().get("/1") for _ in range(2)]
    assert (await second.get_data(), "hit" in second.headers["cache-status"]) == (b"1", True)


async def test_argument_of_a_decorator_is_keyed(app, cache):
    """What a decorator between the route and the handler passes tells requests apart."""
    users = iter(["alice", "bob", "alice"])

    def with_user(handler):
        async def inner(**path):
            return await handler(next(users), **path)

        return inner

    @app.get("/<name>")
    @with_user
    @cache_response(cache=cache)
    async def handler(user, name):
        return f"{user} at {name}"

    texts = [await (await app.test_client().get("/x")).get_data(as_text=True) for _ in range(3)]
    assert texts == ["alice at x", "bob at x", "alice at x"]


async def test_handler_called_without_a_request_is_cached_by_its_arguments(cache):
    """Outside of a request it is a cached function."""
    calls = []

    @cache_response(cache=cache)
    async def handler(x):
        calls.append(x)
        return x

    assert [await handler(x) for x in (1, 1, 2)] == [1, 1, 2]
    assert calls == [1, 2]
