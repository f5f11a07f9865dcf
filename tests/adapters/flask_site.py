"""The same endpoints as in `sites`, in Flask: behind the WSGI middleware, or each view decorated."""

import functools
import inspect
import json
import threading
import time
from collections import Counter
from typing import ClassVar

from flask import Flask, Response, after_this_request, jsonify, redirect, request, send_file
from flask.views import MethodView
from sites import Site, leaving

from asyncfan.adapters.wsgi import CacheMiddleware, Rule
from asyncfan.caching.cache import Cache
from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response


class FlaskSite:
    """A Flask application, and what the tests may see and steer of it: as `sites.Site`."""

    def __init__(self):
        self.calls = Counter()
        self.arrived = Counter()
        self.released = threading.Event()
        self.cache = Cache(maxsize=200)
        self.ended = []
        self.rules = []
        self.app = Flask(__name__)
        self.app.after_request(_passed)
        endpoints(self)
        self.inner = self.app

    count = Site.count
    shown = Site.shown

    def events(self):
        """Send one event, more of them when they are released, and go on until the client has left."""
        with leaving(self):
            yield b"data: 0\n\n"
            self.released.wait(10)
            for number in range(1, 2000):
                yield b"data: %d\n\n" % number
                time.sleep(0.005)

    def __call__(self, environ, start_response):
        self.arrived[environ["PATH_INFO"]] += 1
        return self.inner(environ, start_response)


def _passed(response):
    response.headers.add("x-passed", "1")
    return response


class RuledSite(FlaskSite):
    """It behind the middleware."""

    def __init__(self):
        super().__init__()
        self.inner = CacheMiddleware(self.app, self.cache, self.rules)

    def at(self, path, *methods, **options):
        """Write a rule for an endpoint."""
        if path not in {"/change", "/background"}:
            options["identity"] = (lambda environ: environ.get("HTTP_X_USER")) if "identity" in options else None
            self.rules.append(Rule(path.replace("<x>", "*"), methods=methods, **{"vary": (), **options}))
        return lambda view: view


class PlainSite(FlaskSite):
    """It with plain views, each decorated."""

    lacks: ClassVar = {
        "test_followers_of_a_disconnected_leader_elect_another": "WSGI does not tell of a client that has gone",
        "test_compression_is_of_an_answer_and_of_no_entry": "it compresses nothing by itself",
    }

    def at(self, path, *methods, **options):
        """Decorate a view."""

        def add(view):
            cached = cache_response(cache=self.cache, **options)(view)
            assert not inspect.iscoroutinefunction(cached)
            return cached

        return add


class AsyncSite(PlainSite):
    """It with async views, each decorated."""

    def at(self, path, *methods, **options):
        """Decorate a view, made async."""

        def add(view):
            @functools.wraps(view)
            async def async_view(*self, **path):
                return view(*self, **path)

            return cache_response(cache=self.cache, **options)(async_view)

        return add


def endpoints(site):  # noqa: C901, PLR0915 - a list of small handlers
    """Register every endpoint."""

    def at(path, *methods, **options):
        methods = methods or ("GET",)
        decorate = site.at(path, *methods, **options)
        return lambda view: site.app.route(path, methods=methods)(decorate(view))

    count = site.count

    @at("/item/<x>", "GET", "HEAD", expire=300, prefix="t:item")
    def item(x):
        return jsonify(x=x, query=request.query_string.decode(), n=count("item"))

    @at("/other", expire=300, prefix="t:other")
    def other():
        return jsonify(other=count("other"))

    @at("/who", expire=300)
    def who():
        count("who")
        return jsonify(auth=request.headers.get("authorization"), cookie=request.headers.get("cookie"))

    class Shelf(MethodView):
        @site.at("/shelf/<x>", "GET")
        def get(self, x):
            return site.shown("shelf", x, request.query_string.decode())

    class Box(MethodView):
        @site.at("/box/<x>", "GET")
        def get(self, x):
            return site.shown("box", x, request.query_string.decode())

    site.app.add_url_rule("/shelf/<x>", view_func=Shelf.as_view("shelf"))
    site.app.add_url_rule("/box/<x>", view_func=Box.as_view("box"))

    @at("/low", cache_level=CacheLevel.LOW, params=("page",))
    def low():
        return jsonify(auth=request.headers.get("authorization"), page=request.args.get("page"), n=count("low"))

    @at("/public", cache_level=CacheLevel.LOW, public=True)
    def public():
        return jsonify(n=count("public"))

    @at("/high", cache_level=CacheLevel.HIGH)
    def high():
        count("high")
        return request.headers.get("accept-language", "none")

    @at("/identity", identity=lambda request: request.headers.get("x-user"))
    def identity():
        count("identity")
        return jsonify(user=request.headers.get("x-user"))

    @at("/batch", "POST")
    def batch():
        count("batch")
        return Response(request.get_data(), mimetype="application/json")

    @at("/form", "POST")
    def form():
        count("form")
        return jsonify(a=request.form["a"])

    @at("/change", "PUT")
    def change():
        count("change")
        return ""

    @at("/background")
    def background():
        count("background")

        @after_this_request
        def work(response):
            count("task")
            return response

        return "later"

    @at("/cookie")
    def cookie():
        response = jsonify(n=count("cookie"))
        response.set_cookie("session", request.headers.get("x-user", "anonymous"))
        return response

    @at("/answer")
    def answer():
        n = count("answer")
        return Response(
            f"answer {n}", int(request.args.get("status", "200")), json.loads(request.args.get("headers", "{}"))
        )

    @at("/vary")
    def vary():
        count("vary")
        return request.headers.get("x-color", "none"), 200, {"Vary": "X-Color"}

    @at("/wide")
    def wide():
        count("wide")
        return "text " * 400

    @at("/stream")
    def stream():
        count("stream")
        return Response(f"{i}\n" for i in range(3))

    @at("/cut", stale_if_error=600)
    def cut():
        def chunks():
            yield "begun"
            raise RuntimeError("the stream broke")

        return "whole" if count("cut") % 2 else Response(chunks())

    @at("/sse")
    def sse():
        count("sse")
        return Response(site.events(), mimetype="text/event-stream")

    @at("/file")
    def file():
        count("file")
        return send_file(__file__)

    @at("/redirect", cache_statuses={308})
    def moved():
        count("redirect")
        response = redirect("/other", 308)
        response.autocorrect_location_header = False
        return response

    @at("/big", max_body=1000)
    def big():
        count("big")
        return b"x" * int(request.args["size"])

    @at("/slow")
    def slow():
        n = count("slow")
        site.released.wait(10)
        if "error" in request.args:
            raise RuntimeError("the handler failed")
        response = Response(f"slow {n}")
        if "cookie" in request.args:
            response.set_cookie("a", "b")
        return response

    @at("/sync/<x>")
    def sync(x):
        time.sleep(0.3)
        return threading.current_thread().name

    @at("/quiet", expose_status=False, honor_client_cache_control=False)
    def quiet():
        return f"quiet {count('quiet')}"
