"""Falcon on ASGI, to be run by any ASGI server."""

import inspect
from contextlib import AsyncExitStack

from falcon.asgi import App, SSEvent
from sites import cancelling
from spoken import Answer, Ask, Site, chunks_of

from asyncfan.http import cache_response


class FalconAsk(Ask):
    def query(self):
        return self.request.query_string

    def header(self, name):
        return self.request.get_header(name)

    async def body(self):
        return await self.request.stream.read()

    async def form(self, name):
        return (await self.request.get_media())[name]


class Around:
    """A middleware: it may write on the response before the responder does."""

    def __init__(self, site):
        self.site = site

    async def process_request(self, req, resp):
        req.context.stack = AsyncExitStack()
        await req.context.stack.enter_async_context(self.site.around(req.path, req.get_header("x-tenant")))

    async def process_response(self, req, resp, resource, succeeded):
        resp.append_header("x-passed", "1")
        await req.context.stack.aclose()


class FalconSite(Site):
    lacks = dict.fromkeys(("test_compression_is_of_an_answer_and_of_no_entry",), "it compresses nothing by itself")

    def __init__(self):
        super().__init__()
        app = App(middleware=[Around(self)])
        app.add_error_handler(Exception, self.fail)
        for path, methods, options, endpoint in self.routes():
            responder = self.responder(options, endpoint)
            kind = type(endpoint.__name__.title(), (), {f"on_{method.lower()}": responder for method in methods})
            app.add_route(path.replace("{x}", "{x:path}"), kind())
        shelf, box = self.views()
        app.add_route("/shelf/{x}", shelf())
        app.add_route("/box/{x}", box())
        self.inner = cancelling(app)

    async def __call__(self, scope, receive, send):
        await self.inner(scope, receive, send)

    @staticmethod
    async def fail(req, resp, error, params):
        resp.status, resp.text = 500, "failed"

    def ask(self, request):
        return FalconAsk(request, request.context.get("x"))

    def responder(self, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def on(resource, req, resp, x=None):
                req.context.x = x
                self.write(resp, await endpoint(self.ask(req)))

        else:

            def on(resource, req, resp, x=None):
                self.write(resp, endpoint(self.ask(req)))

        return self.decorated(options, on, endpoint)

    def views(site):  # noqa: N805 - the resources have a self of their own
        class Shelf:
            @cache_response(cache=site.cache)
            async def on_get(self, req, resp, x):
                resp.text = site.shown("shelf", x, req.query_string)

        class Box:
            @cache_response(cache=site.cache)
            async def on_get(self, req, resp, x):
                resp.text = site.shown("box", x, req.query_string)

        return Shelf, Box

    def write(self, resp, answer: Answer):
        if answer.file:
            resp.stream = chunks_of(answer.file)
            return
        resp.status = answer.status
        if answer.kind == "text/event-stream":
            resp.sse = (SSEvent(chunk[6:-2]) async for chunk in answer.body)
            return
        if answer.stream:
            resp.stream = answer.body
            return
        resp.content_type = answer.kind
        if isinstance(answer.body, str):
            resp.text = answer.body
        else:
            resp.data = answer.body
        for name, value in answer.headers.items():
            if name.lower() == "set-cookie":
                resp.append_header(name, value)
            else:
                resp.set_header(name, value)
        if answer.cookie:
            resp.set_cookie("session", answer.cookie)
        if answer.later:

            async def later():
                answer.later()

            resp.schedule(later)
