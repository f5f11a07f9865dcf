"""Tornado, under its own server."""

import asyncio
import inspect
import logging
from pathlib import Path

from spoken import Answer, Ask, Site
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.routing import AnyMatches, PathMatches, Rule, RuleRouter
from tornado.web import Application, RequestHandler

from asyncfan import scope
from asyncfan.http import cache_response

logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
logging.getLogger("tornado.application").setLevel(logging.CRITICAL)


class TornadoAsk(Ask):
    def query(self):
        return self.request.request.query

    def header(self, name):
        return self.request.request.headers.get(name)

    async def body(self):
        return self.request.request.body

    async def form(self, name):
        return self.request.get_body_argument(name)


class Handler(RequestHandler):
    """What every handler of the site is: its tenant, and its end with its client."""

    def initialize(self, site):
        self.site = site

    def prepare(self):
        self.task = asyncio.current_task()
        self.site.arrived[self.request.path] += 1
        tenant = self.request.headers.get("x-tenant")
        if tenant:  # entered for the rest of the request's task
            scope(tenant=tenant).__enter__()

    def on_connection_close(self):
        self.task.cancel()

    def finish(self, chunk=None):
        if not self._headers_written:
            self.add_header("x-passed", "1")
        return super().finish(chunk)

    def write_error(self, status_code, **kwargs):
        self.finish(f"error {status_code}")


class TornadoSite(Site):
    ends_what_breaks = True
    lacks = dict.fromkeys(
        ("test_background_task_runs_once_a_request", "/background"),
        "its responses have no work to do after they were sent",
    )

    def ask(self, handler):
        return TornadoAsk(handler, handler.path_kwargs.get("x"))

    async def serve(self):
        """Start the server; return its port and what ends it."""
        rules = []
        for path, methods, options, endpoint in self.routes():
            handler = self.method(options, endpoint)
            kind = type(endpoint.__name__.title(), (Handler,), {method.lower(): handler for method in methods})
            rules.append((path.replace("{x}", "(?P<x>.*)"), kind, {"site": self}))
        shelf, box = self.views()
        rules += [("/shelf/(?P<x>.*)", shelf, {"site": self}), ("/box/(?P<x>.*)", box, {"site": self})]
        compressing = Rule(PathMatches("/wide"), Application(rules, compress_response=True))
        server = HTTPServer(RuleRouter([compressing, Rule(AnyMatches(), Application(rules))]))
        sockets = bind_sockets(0, "127.0.0.1", backlog=512)
        server.add_sockets(sockets)

        async def end():
            server.stop()
            await server.close_all_connections()
            await self.cache.aclose()

        return sockets[0].getsockname()[1], end

    def views(site):  # noqa: N805 - the handlers have a self of their own
        class Shelf(Handler):
            @cache_response(cache=site.cache)
            async def get(self, x):
                self.write(site.shown("shelf", x, self.request.query))

        class Box(Handler):
            @cache_response(cache=site.cache)
            def get(self, x):
                self.finish(site.shown("box", x, self.request.query))

        return Shelf, Box

    def method(self, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler(handler, x=None):
                async with scope():
                    await self.speak(handler, await endpoint(self.ask(handler)))

        else:

            def handler(handler, x=None):
                self.write(handler, endpoint(self.ask(handler)))

        return self.decorated(options, handler, endpoint)

    async def speak(self, handler, answer: Answer):
        if not answer.stream and not answer.file:
            return self.write(handler, answer)
        if answer.file:
            handler.write(Path(answer.file).read_bytes())
            return await handler.flush()
        handler.set_header("Content-Type", answer.kind)
        async for chunk in answer.body:
            handler.write(chunk)
            await handler.flush()
        return None

    def write(self, handler, answer: Answer):
        handler.set_status(answer.status)
        handler.set_header("Content-Type", answer.kind)
        for name, value in answer.headers.items():
            handler.set_header(name, value)
        if answer.cookie:
            handler.set_cookie("session", answer.cookie)
        handler.finish(answer.body)  # most methods only write, but what they finish must be stored as well
