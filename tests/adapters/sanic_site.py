"""Sanic, under its own server: every other endpoint is a method of an HTTPMethodView."""

import inspect
import itertools
import socket
from contextlib import AsyncExitStack

from sanic import Sanic
from sanic.response import HTTPResponse, file_stream, text
from sanic.views import HTTPMethodView
from spoken import Answer, Ask, Site

from asyncfan.http import cache_response

_NUMBERS = itertools.count()


class SanicAsk(Ask):
    def query(self):
        return self.request.query_string

    def header(self, name):
        return self.request.headers.get(name)

    async def body(self):
        return self.request.body

    async def form(self, name):
        return self.request.form.get(name)


class SanicSite(Site):
    ends_what_breaks = True
    lacks = dict.fromkeys(
        ("test_background_task_runs_once_a_request", "/background"),
        "its responses have no work to do after they were sent",
    ) | {"test_compression_is_of_an_answer_and_of_no_entry": "it compresses nothing by itself"}

    def ask(self, request):
        return SanicAsk(request, request.match_info.get("x"))

    async def serve(self):
        """Start the server; return its port and what ends it."""
        app = Sanic(f"site{next(_NUMBERS)}", configure_logging=False)
        app.config.ACCESS_LOG = False
        app.config.TOUCHUP = False  # it can be done once a process
        app.config.FALLBACK_ERROR_FORMAT = "text"

        @app.on_request
        async def enter(request):
            request.ctx.stack = AsyncExitStack()
            await request.ctx.stack.enter_async_context(self.around(request.path, request.headers.get("x-tenant")))

        @app.on_response
        async def leave(request, response):
            response.headers.add("x-passed", "1")
            await request.ctx.stack.aclose()

        app.after_server_stop(lambda _: self.cache.aclose())
        for number, (path, methods, options, endpoint) in enumerate(self.routes()):
            handler = self.view(methods, options, endpoint) if number % 2 else self.function(options, endpoint)
            app.add_route(handler, path.replace("{x}", "<x:path>"), methods=methods)
        shelf, box = self.views()
        app.add_route(shelf.as_view(), "/shelf/<x:str>")
        app.add_route(box.as_view(), "/box/<x:str>")
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        server = await app.create_server(sock=listener, return_asyncio_server=True)
        await server.startup()
        await server.before_start()
        await server.after_start()
        await server.start_serving()

        async def end():
            await server.before_stop()
            server.server.close()
            for connection in list(server.connections):
                connection.abort()
            await server.after_stop()
            Sanic.unregister_app(app)

        return listener.getsockname()[1], end

    def function(self, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler(request, x=None):
                return await self.speak(request, await endpoint(self.ask(request)))

        else:

            def handler(request, x=None):
                return self.response(endpoint(self.ask(request)))

        return self.decorated(options, handler, endpoint)

    def view(self, methods, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler(view, request, x=None):
                return await self.speak(request, await endpoint(self.ask(request)))

        else:

            def handler(view, request, x=None):
                return self.response(endpoint(self.ask(request)))

        handler = self.decorated(options, handler, endpoint)
        name = endpoint.__name__.title()
        return type(name, (HTTPMethodView,), {method.lower(): handler for method in methods}).as_view()

    def views(site):  # noqa: N805 - the views have a self of their own
        class Shelf(HTTPMethodView):
            @cache_response(cache=site.cache)
            async def get(self, request, x):
                return text(site.shown("shelf", x, request.query_string))

        class Box(HTTPMethodView):
            @cache_response(cache=site.cache)
            def get(self, request, x):
                return text(site.shown("box", x, request.query_string))

        return Shelf, Box

    async def speak(self, request, answer: Answer):
        if answer.file:
            return await file_stream(answer.file)
        if not answer.stream:
            return self.response(answer)
        response = await request.respond(content_type=answer.kind)
        async for chunk in answer.body:
            await response.send(chunk)
        await response.eof()
        return None

    def response(self, answer: Answer):
        response = HTTPResponse(answer.body, answer.status, answer.headers, answer.kind)
        if answer.cookie:
            response.add_cookie("session", answer.cookie)
        if answer.later:
            answer.later()
        return response
