"""The same endpoints as in `sites`, in Litestar: what the conformance suite asks of it."""

import asyncio
import json
import threading
from typing import Annotated, Any, ClassVar

import sites
from litestar import Controller, Litestar, Request, Response, get, post, put
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, FromQuery, HeaderParameter
from litestar.response import File, Redirect, ServerSentEvent, Stream
from within import Within

from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response


class LitestarSite(Within):
    """The endpoints in Litestar."""

    lacks: ClassVar = {
        "test_head_is_answered_from_a_get_and_makes_no_entry": "a handler of GET cannot be one of HEAD as well",
    }

    def __init__(self):
        super().__init__()
        compressing = CompressionConfig("gzip", exclude=["^/[^w]", "^/who"])
        routes = [*endpoints(self), *views(self)]
        app = Litestar(routes, openapi_config=None, after_request=_passed, compression_config=compressing)
        self.inner = sites.cancelling(app)


def _passed(response: Any) -> Any:
    response.headers["x-passed"] = response.headers.get("x-passed", "") + "1"
    return response


def views(site):
    """Return the controllers whose methods are decorated."""

    class Shelf(Controller):
        @get("/shelf/{x:str}", media_type="text/plain")
        @cache_response(cache=site.cache)
        async def get(self, x: FromPath[str], request: Request) -> str:
            return site.shown("shelf", x, request.scope["query_string"].decode())

    class Box(Controller):
        @get("/box/{x:str}", media_type="text/plain")
        @cache_response(cache=site.cache)
        async def get(self, x: FromPath[str], request: Request) -> str:
            return site.shown("box", x, request.scope["query_string"].decode())

    return [Shelf, Box]


def endpoints(site):  # noqa: C901, PLR0915 - a list of small handlers
    """Return every endpoint, decorated."""
    handlers = []

    def at(path, route=get, status=200, **options):
        def add(fn):
            cached = cache_response(cache=site.cache, **options)(fn)
            handlers.append(route(path, status_code=status)(cached))
            return fn

        return add

    count = site.count

    @at("/item/{x:str}", expire=300, prefix="t:item")
    async def item(x: FromPath[str], request: Request) -> dict[str, Any]:
        return {"x": x, "query": request.scope["query_string"].decode(), "n": count("item")}

    @at("/other", expire=300, prefix="t:other")
    async def other() -> dict[str, int]:
        return {"other": count("other")}

    @at("/who", expire=300)
    async def who(request: Request) -> dict[str, Any]:
        count("who")
        return {"auth": request.headers.get("authorization"), "cookie": request.headers.get("cookie")}

    @at("/low", cache_level=CacheLevel.LOW, params=("page",))
    async def low(request: Request, page: FromQuery[str | None] = None) -> dict[str, Any]:
        return {"auth": request.headers.get("authorization"), "page": page, "n": count("low")}

    @at("/public", cache_level=CacheLevel.LOW, public=True)
    async def public() -> dict[str, int]:
        return {"n": count("public")}

    @at("/high", cache_level=CacheLevel.HIGH)
    async def high(request: Request) -> str:
        count("high")
        return request.headers.get("accept-language", "none")

    @at("/identity", identity=lambda request: request.headers.get("x-user"))
    async def identity(user: Annotated[str, HeaderParameter(name="X-User")]) -> dict[str, str]:
        count("identity")
        return {"user": user}

    @at("/batch", post)
    async def batch(request: Request) -> Response[bytes]:
        count("batch")
        return Response(await request.body(), media_type="application/json")

    @at("/form", post)
    async def form(data: Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]) -> dict[str, str]:
        count("form")
        return {"a": data["a"]}

    @at("/change", put)
    async def change() -> str:
        count("change")
        return ""

    @at("/cookie")
    async def cookie(request: Request) -> Response[dict[str, int]]:
        response = Response({"n": count("cookie")})
        response.set_cookie("session", request.headers.get("x-user", "anonymous"))
        return response

    @at("/answer")
    async def answer(request: Request) -> Response[str]:
        """Answer with the status and headers that the query asks for."""
        n = count("answer")
        headers = json.loads(request.query_params.get("headers", "{}"))
        return Response(f"answer {n}", status_code=int(request.query_params.get("status", "200")), headers=headers)

    @at("/vary")
    async def vary(request: Request) -> Response[str]:
        count("vary")
        return Response(request.headers.get("x-color", "none"), headers={"Vary": "X-Color"}, media_type="text/plain")

    @at("/wide")
    async def wide() -> Response[str]:
        count("wide")
        return Response("text " * 400, media_type="text/plain")

    @at("/stream")
    async def stream() -> Stream:
        count("stream")

        async def chunks():
            for i in range(3):
                yield f"{i}\n"

        return Stream(chunks())

    @at("/cut", stale_if_error=600)
    async def cut() -> Response[Any]:
        async def chunks():
            yield "begun"
            raise RuntimeError("the stream broke")

        return Response("whole", media_type="text/plain") if count("cut") % 2 else Stream(chunks())

    @at("/sse")
    async def sse() -> ServerSentEvent:
        count("sse")
        return ServerSentEvent(chunk[6:-2] async for chunk in site.events())

    @at("/background")
    async def background() -> Response[str]:
        count("background")

        async def work() -> None:
            count("task")

        return Response("later", background=BackgroundTask(work))

    @at("/file")
    async def file() -> File:
        count("file")
        return File(__file__, filename="site.py")

    @at("/redirect", status=308, cache_statuses={308})
    async def redirect() -> Redirect:
        count("redirect")
        return Redirect("/other", status_code=308)

    @at("/big", max_body=1000)
    async def big(size: FromQuery[int]) -> bytes:
        count("big")
        return b"x" * size

    @at("/slow")
    async def slow(request: Request) -> Response[str]:
        n = count("slow")
        while not site.released.is_set():
            await asyncio.sleep(0.005)
        if "error" in request.query_params:
            raise RuntimeError("the handler failed")
        return Response(
            f"slow {n}",
            headers={"Set-Cookie": "a=b"} if "cookie" in request.query_params else None,
            media_type="text/plain",
        )

    @at("/sync/{x:str}")
    def sync(x: FromPath[str]) -> str:
        site.together.wait(10)
        return threading.current_thread().name

    @at("/quiet", expose_status=False, honor_client_cache_control=False)
    async def quiet() -> str:
        return f"quiet {count('quiet')}"

    @at("/audited", audit=True)
    async def audited(request: Request) -> str:
        return f"{request.headers.get('x-color')}, {request.headers.get('authorization')}"

    @at("/loaded")
    async def loaded() -> Response[str]:
        return Response(await site.loaded(), headers={"Cache-Control": "no-store"}, media_type="text/plain")

    @at("/fan")
    async def fan() -> str:
        return await site.fan()

    return handlers
