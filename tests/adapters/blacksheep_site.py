"""BlackSheep, to be run by any ASGI server: every other handler does not take the request."""

import functools
import inspect
from contextvars import ContextVar

import blacksheep
from blacksheep import Application, Content, Cookie, Request, Response, Router, StreamedContent
from blacksheep.server.compression import GzipMiddleware
from blacksheep.server.controllers import Controller
from blacksheep.server.routing import RoutesRegistry
from blacksheep.server.sse import ServerSentEventsResponse, TextServerSentEvent
from sites import cancelling
from spoken import Answer, Ask, Site, chunks_of

from asyncfan.http import cache_response

_request = ContextVar("request")  # of the middleware, for handlers without one


class BlackSheepAsk(Ask):
    def query(self):
        return self.request.url.query.decode() if self.request.url.query else ""

    def header(self, name):
        value = self.request.get_first_header(name.encode())
        return None if value is None else value.decode()

    async def body(self):
        return await self.request.read()

    async def form(self, name):
        return (await self.request.form())[name]


class BlackSheepSite(Site):
    lacks = dict.fromkeys(
        ("test_background_task_runs_once_a_request", "/background"),
        "its responses have no work to do after they were sent",
    )

    def __init__(self):
        super().__init__()
        self.app = Application(router=Router())

        async def around(request, handler):
            header = request.get_first_header(b"x-tenant")
            _request.set(request)
            async with self.around(request.path, None if header is None else header.decode()):
                response = await handler(request)
            response.add_header(b"x-passed", b"1")
            return response

        async def compressing(request, handler, compressed=GzipMiddleware()):  # noqa: B008 - it keeps nothing
            if request.path != "/wide":
                return await handler(request)
            response = await compressed(request, handler)
            response.add_header(b"vary", b"accept-encoding")  # before 2.6.4 BlackSheep does not say it by itself
            return response

        self.app.middlewares.append(around)
        self.app.middlewares.append(compressing)
        for number, (path, methods, options, endpoint) in enumerate(self.routes()):
            handler = self.handler(options, endpoint) if number % 2 else self.handler_without(options, endpoint)
            for method in methods:
                self.app.router.add(method, path.replace("{x}", "{path:x}"), handler)
        self.views()
        self.inner = cancelling(self.app)

    async def __call__(self, scope, receive, send):
        if not self.app.started:
            await self.app.start()
        await self.inner(scope, receive, send)

    def ask(self, request):
        return BlackSheepAsk(request, (request.route_values or {}).get("x"))

    def views(site):  # noqa: N805 - the views have a self of their own
        site.app.controllers_router = registry = RoutesRegistry()

        class Shelf(Controller):
            @registry.get("/shelf/{x}")
            @cache_response(cache=site.cache)
            async def get(self, request: Request, x: str):
                return blacksheep.text(site.shown("shelf", x, site.ask(request).query()))

        class Box(Controller):
            @registry.get("/box/{x}")
            @cache_response(cache=site.cache)
            def get(self, request: Request, x: str):
                return blacksheep.text(site.shown("box", x, site.ask(request).query()))

    def handler(self, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler(request: Request):
                return self.response(await endpoint(self.ask(request)))

        else:

            def handler(request: Request):
                return self.response(endpoint(self.ask(request)))

        return self.decorated(options, handler, endpoint)

    def handler_without(self, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler():
                return self.response(await endpoint(self.ask(_request.get())))

        else:

            def handler():
                return self.response(endpoint(self.ask(_request.get())))

        return self.decorated(options, handler, endpoint)

    def response(self, answer: Answer):
        kind = answer.kind.encode()
        if answer.file:
            return Response(200, None, StreamedContent(kind, functools.partial(chunks_of, answer.file)))
        if answer.kind == "text/event-stream":
            return ServerSentEventsResponse(lambda: (TextServerSentEvent(x[6:-2].decode()) async for x in answer.body))
        if answer.stream:

            async def chunks():
                async for chunk in answer.body:
                    yield chunk

            return Response(200, None, StreamedContent(kind, chunks))
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        response = Response(answer.status, headers, Content(kind, body))
        if answer.cookie:
            response.set_cookie(Cookie("session", answer.cookie))
        return response
