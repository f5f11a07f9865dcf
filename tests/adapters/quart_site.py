"""The same endpoints as in `sites`, in Quart: what the conformance suite asks of it."""

import asyncio
import json
import threading
from typing import ClassVar

from quart import Quart, Response, after_this_request, jsonify, make_response, redirect, request, send_file
from quart.views import MethodView
from within import Within

from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response


class QuartSite(Within):
    """The endpoints in Quart."""

    lacks: ClassVar = {"test_compression_is_of_an_answer_and_of_no_entry": "it compresses nothing by itself"}

    def __init__(self):
        super().__init__()
        self.inner = Quart(__name__)
        self.inner.after_request(_passed)
        endpoints(self, self.inner)


def _passed(response):
    response.headers.add("x-passed", "1")
    return response


def endpoints(site, app):  # noqa: C901, PLR0915 - a list of small handlers
    """Register every endpoint, decorated."""

    def at(path, *methods, **options):
        def add(fn):
            return app.route(path, methods=methods or ("GET",))(cache_response(cache=site.cache, **options)(fn))

        return add

    count = site.count

    @at("/item/<x>", "GET", "HEAD", expire=300, prefix="t:item")
    async def item(x):
        return {"x": x, "query": request.query_string.decode(), "n": count("item")}

    @at("/other", expire=300, prefix="t:other")
    async def other():
        return {"other": count("other")}

    @at("/who", expire=300)
    async def who():
        count("who")
        return {"auth": request.headers.get("authorization"), "cookie": request.headers.get("cookie")}

    class Shelf(MethodView):
        @cache_response(cache=site.cache)
        async def get(self, x):
            return site.shown("shelf", x, request.query_string.decode())

    class Box(MethodView):
        @cache_response(cache=site.cache)
        async def get(self, x):
            return site.shown("box", x, request.query_string.decode())

    app.add_url_rule("/shelf/<x>", view_func=Shelf.as_view("shelf"))
    app.add_url_rule("/box/<x>", view_func=Box.as_view("box"))

    @at("/low", cache_level=CacheLevel.LOW, params=("page",))
    async def low():
        return {"auth": request.headers.get("authorization"), "page": request.args.get("page"), "n": count("low")}

    @at("/public", cache_level=CacheLevel.LOW, public=True)
    async def public():
        return {"n": count("public")}

    @at("/high", cache_level=CacheLevel.HIGH)
    async def high():
        count("high")
        return request.headers.get("accept-language", "none")

    @at("/identity", identity=lambda request: request.headers.get("x-user"))
    async def identity():
        count("identity")
        return jsonify(user=request.headers.get("x-user"))

    @at("/batch", "POST")
    async def batch():
        count("batch")
        return Response(await request.get_data(), content_type="application/json")

    @at("/form", "POST")
    async def form():
        count("form")
        return {"a": (await request.form)["a"]}

    @at("/change", "PUT")
    async def change():
        count("change")
        return ""

    @at("/cookie")
    async def cookie():
        response = jsonify(n=count("cookie"))
        response.set_cookie("session", request.headers.get("x-user", "anonymous"))
        return response

    @at("/answer")
    async def answer():
        """Answer with the status and headers that the query asks for."""
        n = count("answer")
        headers = dict(json.loads(request.args.get("headers", "{}")))
        return f"answer {n}", int(request.args.get("status", "200")), headers

    @at("/vary")
    async def vary():
        count("vary")
        return request.headers.get("x-color", "none"), {"Vary": "X-Color"}

    @at("/stream")
    async def stream():
        count("stream")

        async def chunks():
            for i in range(3):
                yield f"{i}\n"

        return chunks()

    @at("/cut", stale_if_error=600)
    async def cut():
        async def chunks():
            yield "begun"
            raise RuntimeError("the stream broke")

        return "whole" if count("cut") % 2 else chunks()

    @at("/sse")
    async def sse():
        count("sse")
        response = await make_response(site.events(), {"Content-Type": "text/event-stream"})
        response.timeout = None
        return response

    @at("/background")
    async def background():
        count("background")

        @after_this_request
        async def work(response):
            count("task")
            return response

        return "later"

    @at("/file")
    async def file():
        count("file")
        return await send_file(__file__)

    @at("/redirect", cache_statuses={308})
    async def moved():
        count("redirect")
        return redirect("/other", 308)

    @at("/big", max_body=1000)
    async def big():
        count("big")
        return b"x" * int(request.args["size"])

    @at("/slow")
    async def slow():
        n = count("slow")
        while not site.released.is_set():
            await asyncio.sleep(0.005)
        if "error" in request.args:
            raise RuntimeError("the handler failed")
        return f"slow {n}", {"Set-Cookie": "a=b"} if "cookie" in request.args else {}

    @at("/sync/<x>")
    def sync(x):
        site.together.wait(10)
        return threading.current_thread().name

    @at("/quiet", expose_status=False, honor_client_cache_control=False)
    async def quiet():
        return f"quiet {count('quiet')}"

    @at("/audited", audit=True)
    async def audited():
        return f"{request.headers.get('x-color')}, {request.headers.get('authorization')}"

    @at("/loaded")
    async def loaded():
        return await site.loaded(), {"Cache-Control": "no-store"}

    @at("/fan")
    async def fan():
        return await site.fan()
