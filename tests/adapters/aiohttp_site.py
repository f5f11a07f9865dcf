"""aiohttp.web, under its own server: every other endpoint is a method of a View."""

import inspect

from aiohttp import web
from spoken import Answer, Ask, Site

from asyncfan.http import cache_response


class AiohttpAsk(Ask):
    def query(self):
        return self.request.query_string

    def header(self, name):
        return self.request.headers.get(name)

    async def body(self):
        return b"".join([chunk async for chunk in self.request.content.iter_any()])

    async def form(self, name):
        return (await self.request.post())[name]


class AiohttpSite(Site):
    lacks = dict.fromkeys(
        ("test_background_task_runs_once_a_request", "/background"),
        "its responses have no work to do after they were sent",
    )

    def ask(self, request):
        return AiohttpAsk(request, request.match_info.get("x"))

    async def serve(self):
        """Start the server; return its port and what ends it."""

        @web.middleware
        async def around(request, handler):
            async with self.around(request.path, request.headers.get("x-tenant")):
                response = await handler(request)
            if not response.prepared:
                response.headers.add("x-passed", "1")
            return response

        @web.middleware
        async def compressing(request, handler):
            response = await handler(request)
            if request.path == "/wide":
                response.enable_compression()
                response.headers.add("Vary", "Accept-Encoding")  # aiohttp does not say it by itself
            return response

        app = web.Application(middlewares=[around, compressing])
        app.on_cleanup.append(lambda _: self.cache.aclose())
        for number, (path, methods, options, endpoint) in enumerate(self.routes()):
            handler = self.view(methods, options, endpoint) if number % 2 else self.function(options, endpoint)
            for method in methods:
                app.router.add_route(method, path, handler)
        shelf, box = self.views()
        app.router.add_view("/shelf/{x}", shelf)
        app.router.add_view("/box/{x}", box)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
        return runner.addresses[0][1], runner.cleanup

    def function(self, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler(request):
                return await self.speak(request, await endpoint(self.ask(request)))

        else:

            def handler(request):
                return self.response(endpoint(self.ask(request)))

        return self.decorated(options, handler, endpoint)

    def view(self, methods, options, endpoint):
        if inspect.iscoroutinefunction(endpoint):

            async def handler(view):
                return await self.speak(view.request, await endpoint(self.ask(view.request)))

        else:

            def handler(view):
                return self.response(endpoint(self.ask(view.request)))

        handler = self.decorated(options, handler, endpoint)
        return type("View", (web.View,), {method.lower(): handler for method in methods})

    def views(site):  # noqa: N805 - the views have a self of their own
        class Shelf(web.View):
            @cache_response(cache=site.cache)
            async def get(self):
                return site.view_shown("shelf", self)

        class Box(web.View):
            @cache_response(cache=site.cache)
            async def get(self):
                return site.view_shown("box", self)

        return Shelf, Box

    def view_shown(self, name, view):
        return web.Response(text=self.shown(name, view.request.match_info["x"], view.request.query_string))

    async def speak(self, request, answer: Answer):
        if answer.file:
            return web.FileResponse(answer.file)
        if not answer.stream:
            return self.response(answer)
        response = web.StreamResponse(headers={"Content-Type": answer.kind})
        await response.prepare(request)
        async for chunk in answer.body:
            await response.write(chunk)
        return response

    def response(self, answer: Answer):
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        response = web.Response(body=body, status=answer.status, headers=answer.headers, content_type=answer.kind)
        if answer.cookie:
            response.set_cookie("session", answer.cookie)
        if answer.later:
            answer.later()
        return response
