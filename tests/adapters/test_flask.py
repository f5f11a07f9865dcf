"""What is Flask's own: plain views, sessions, what stands between a route and its view."""

import asyncio
import re
import threading

import pytest
from flask import Blueprint, Flask, abort, after_this_request, jsonify, session
from flask.views import MethodView

from asyncfan import current_scope, scope
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response
from asyncfan.testing import MemoryStore

wrong_app = Flask("wrong_app")
wrong_blueprint = Blueprint("wrong_blueprint", __name__)


@pytest.fixture
def app():
    """Return an application with sessions."""
    app = Flask(__name__)
    app.secret_key = "for tests"
    return app


@pytest.fixture
def cache():
    """Return a cache of the test's own."""
    return Cache()


def asked(app, path="/", times=2, **options):
    """Return the responses to the same request, each by a new client."""
    return [app.test_client().get(path, **options) for _ in range(times)]


def test_view_runs_in_its_requests_thread_and_may_run_a_loop(app, cache):
    """A plain view is called where Flask would call it, with no event loop around."""
    threads = []

    async def one():
        return "x"

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        threads.append(threading.current_thread())
        return asyncio.run(one())

    first, second = asked(app)
    assert (first.text, second.text, threads) == ("x", "x", [threading.current_thread()])
    assert "hit" in second.headers["cache-status"]


async def test_view_may_be_asked_from_inside_of_a_loop(app, cache):
    """A test's event loop does not hinder a plain view."""

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        return "x"

    assert [response.text for response in asked(app)] == ["x", "x"]


@pytest.mark.parametrize("how", ["session", "after_this_request", "call_on_close"])
def test_view_with_more_to_do_is_not_stored(app, cache, how):
    """What would happen behind the response's back happens to each client's."""
    calls = []

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        calls.append(how)
        response = jsonify(n=len(calls))
        if how == "session":
            session["n"] = len(calls)
        elif how == "after_this_request":
            after_this_request(lambda response: response)
        else:
            response.call_on_close(list)
        return response

    assert [response.json["n"] for response in asked(app)] == [1, 2]


def test_guard_that_changes_the_session_does_not_hinder(app, cache):
    """What happens on every request, hit or not, is no reason not to store."""

    @app.before_request
    def count():
        session["n"] = 1

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        return "x"

    _, second = asked(app)
    assert "hit" in second.headers["cache-status"]
    assert "session=" in second.headers["set-cookie"]


def test_argument_of_a_decorator_is_keyed(app, cache):
    """What a decorator between the route and the view passes tells requests apart."""
    users = iter(["alice", "bob", "alice"])

    def with_user(view):
        def inner(**path):
            return view(next(users), **path)

        return inner

    @app.get("/<name>")
    @with_user
    @cache_response(cache=cache)
    def view(user, name):
        return f"{user} at {name}"

    assert [response.text for response in asked(app, "/x", 3)] == ["alice at x", "bob at x", "alice at x"]


def test_methods_of_a_view_are_handlers(app, cache):
    """A MethodView's instance, new for each request, is not in the key."""

    class Item(MethodView):
        @cache_response(cache=cache)
        def get(self, x):
            return x

    app.add_url_rule("/<x>", view_func=Item.as_view("item"))
    _, second = asked(app, "/1")
    assert (second.text, "hit" in second.headers["cache-status"]) == ("1", True)


def test_scope_of_a_guard_reaches_the_view_and_the_key(app, cache):
    """The tenant that a guard declares tells requests apart."""
    tenants = iter(["acme", "umbrella", "acme"])
    opened = []

    @app.before_request
    def enter():
        opened.append(scope(tenant=next(tenants)))
        opened[-1].__enter__()

    @app.teardown_request
    def leave(_):
        opened.pop().__exit__(None, None, None)

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        return current_scope()["tenant"]

    assert [response.text for response in asked(app, times=3)] == ["acme", "umbrella", "acme"]


@pytest.mark.real_time
@pytest.mark.parametrize("sort", ["plain", "async"])
def test_response_reaches_the_shared_tier(sort):
    """What a view answered is told the other processes before its event loop ends."""
    server = MemoryStore()
    told = []
    for _ in range(2):
        cache, app = Cache(store=server.connect(), memory_expire=60), Flask(__name__)

        def view():
            return "x"

        async def async_view():
            return "x"

        cached = cache_response(cache=cache, prefix="view")(view if sort == "plain" else async_view)
        app.add_url_rule("/", "view", cached)
        told.append(app.test_client().get("/").headers["cache-status"])
        asyncio.run(cache.aclose())
    assert told[0] == "asyncfan; fwd=miss; stored"
    assert told[1].startswith("asyncfan; hit")


def test_error_of_a_view_is_flasks_own(app, cache):
    """abort() ends in the application's error handler, and nothing is stored."""

    @app.errorhandler(404)
    def missing(_):
        return "nothing here", 404

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        abort(404)

    assert [(response.status_code, response.text) for response in asked(app)] == [(404, "nothing here")] * 2


def test_view_called_without_a_request_is_cached_by_its_arguments(cache):
    """Outside of a request a plain view is a plain cached function."""
    calls = []

    @cache_response(cache=cache)
    def view(x):
        calls.append(x)
        return x

    assert (view(1), view(1), view(2), calls) == (1, 1, 2, [1, 2])


@pytest.mark.parametrize("router", [wrong_app, wrong_blueprint], ids=["app", "blueprint"])
def test_decorators_in_the_wrong_order(router):
    """Above the route the cache would never be asked."""

    def wrong():
        raise NotImplementedError

    wrong.__name__ = f"wrong_{router.name}"
    router.get(f"/{wrong.__name__}")(wrong)
    message = (
        f"{wrong.__qualname__} was registered without its cache, because @cache_response stands above the route. "
        "Put it below, next to the function:\n"
        f"    @app.get(...)\n    @cache_response(...)\n    async def {wrong.__name__}(...): ..."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response(cache=Cache())(wrong)


def test_interrupted_view_leaves_no_flight_behind(app, cache):
    """A view that the process interrupts ends its request's loop, and the next request runs it anew."""
    endings = [KeyboardInterrupt(), None]

    @app.get("/")
    @cache_response(cache=cache)
    def view():
        ending = endings.pop(0)
        if ending is not None:
            raise ending
        return "x"

    with pytest.raises(KeyboardInterrupt):
        app.test_client().get("/")
    assert app.test_client().get("/").text == "x"
