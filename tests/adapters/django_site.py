"""The same endpoints as in `sites`, in Django: what the conformance suite asks of it."""

import asyncio
import json
import threading
import types
from pathlib import Path
from typing import ClassVar

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import async_only_middleware
from django.views import View
from within import Within

from asyncfan.caching.calls.level import CacheLevel
from asyncfan.http import cache_response

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        APPEND_SLASH=False,
        ROOT_URLCONF="django_site",
        DEFAULT_CHARSET="utf-8",
        MIDDLEWARE=["django_site.with_urls", "django.middleware.common.CommonMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        SECRET_KEY="for tests",
        LOGGING_CONFIG=None,
    )
    django.setup()


urlpatterns = []  # each site has its own


@async_only_middleware
def with_urls(get_response):
    """Let a request find the endpoints of its own site, and add a header to each response."""

    async def middleware(request):
        request.urlconf = request.scope["urls"]
        compressed = GZipMiddleware(get_response) if request.path == "/wide" else get_response
        response = await compressed(request)
        response["x-passed"] = response.get("x-passed", "") + "1"
        return response

    return middleware


class DjangoSite(Within):
    """The endpoints in Django."""

    lacks: ClassVar = {
        "test_background_task_runs_once_a_request": "its responses have no work to do after they were sent"
    }

    def __init__(self):
        super().__init__()
        urls = types.ModuleType("urls")
        urls.urlpatterns = endpoints(self)
        app = get_asgi_application()

        async def inner(scope, receive, send):
            await app({**scope, "urls": urls}, receive, send)

        self.inner = inner


def endpoints(site):  # noqa: C901, PLR0915 - a list of small views
    """Return every endpoint, decorated."""
    patterns = []

    def at(route, **options):
        def add(fn):
            patterns.append(path(route.removeprefix("/"), cache_response(cache=site.cache, **options)(fn)))
            return fn

        return add

    count = site.count

    @at("/item/<str:x>", expire=300, prefix="t:item")
    async def item(request, x):
        return JsonResponse({"x": x, "query": request.META["QUERY_STRING"], "n": count("item")})

    @at("/other", expire=300, prefix="t:other")
    async def other(request):
        return JsonResponse({"other": count("other")})

    class Who(View):
        @cache_response(cache=site.cache, expire=300)
        async def get(self, request):
            count("who")
            return JsonResponse({"auth": request.headers.get("authorization"), "cookie": request.headers.get("cookie")})

    patterns.append(path("who", Who.as_view()))

    class Shelf(View):
        @cache_response(cache=site.cache)
        async def get(self, request, x):
            return HttpResponse(site.shown("shelf", x, request.META["QUERY_STRING"]))

    class Box(View):
        @cache_response(cache=site.cache)
        async def get(self, request, x):
            return HttpResponse(site.shown("box", x, request.META["QUERY_STRING"]))

    patterns.extend([path("shelf/<str:x>", Shelf.as_view()), path("box/<str:x>", Box.as_view())])

    @at("/low", cache_level=CacheLevel.LOW, params=("page",))
    async def low(request):
        auth, page = request.headers.get("authorization"), request.GET.get("page")
        return JsonResponse({"auth": auth, "page": page, "n": count("low")})

    @at("/public", cache_level=CacheLevel.LOW, public=True)
    async def public(request):
        return JsonResponse({"n": count("public")})

    @at("/high", cache_level=CacheLevel.HIGH)
    async def high(request):
        count("high")
        return HttpResponse(request.headers.get("accept-language", "none"))

    @at("/identity", identity=lambda request: request.headers.get("x-user"))
    async def identity(request):
        count("identity")
        return JsonResponse({"user": request.headers.get("x-user")})

    @at("/batch")
    async def batch(request):
        count("batch")
        return HttpResponse(request.body, content_type="application/json")

    @at("/form")
    async def form(request):
        count("form")
        return JsonResponse({"a": request.POST["a"]})

    @at("/change")
    async def change(request):
        count("change")
        return HttpResponse()

    @at("/cookie")
    async def cookie(request):
        response = JsonResponse({"n": count("cookie")})
        response.set_cookie("session", request.headers.get("x-user", "anonymous"))
        return response

    @at("/answer")
    async def answer(request):
        """Answer with the status and headers that the query asks for."""
        n = count("answer")
        headers = json.loads(request.GET.get("headers", "{}"))
        return HttpResponse(f"answer {n}", status=int(request.GET.get("status", "200")), headers=headers)

    @at("/vary")
    async def vary(request):
        count("vary")
        return HttpResponse(request.headers.get("x-color", "none"), headers={"Vary": "X-Color"})

    @at("/wide")
    async def wide(request):
        count("wide")
        return HttpResponse("text " * 400)

    @at("/stream")
    async def stream(request):
        count("stream")

        async def chunks():
            for i in range(3):
                yield f"{i}\n"

        return StreamingHttpResponse(chunks())

    @at("/cut", stale_if_error=600)
    async def cut(request):
        async def chunks():
            yield "begun"
            raise RuntimeError("the stream broke")

        return HttpResponse("whole") if count("cut") % 2 else StreamingHttpResponse(chunks())

    @at("/sse")
    async def sse(request):
        count("sse")
        return StreamingHttpResponse(site.events(), content_type="text/event-stream")

    @at("/background")
    async def background(request):
        """Return a template that is rendered later."""
        count("background")
        return TemplateResponse(request, engines["django"].from_string("later"))

    @at("/file")
    async def file(request):
        count("file")
        return FileResponse(Path(__file__).open("rb"))

    @at("/redirect", cache_statuses={308})
    async def redirect(request):
        count("redirect")
        response = HttpResponse(status=308)
        response["Location"] = "/other"
        return response

    @at("/big", max_body=1000)
    async def big(request):
        count("big")
        return HttpResponse(b"x" * int(request.GET["size"]))

    @at("/slow")
    async def slow(request):
        n = count("slow")
        while not site.released.is_set():
            await asyncio.sleep(0.005)
        if "error" in request.GET:
            raise RuntimeError("the view failed")
        return HttpResponse(f"slow {n}", headers={"Set-Cookie": "a=b"} if "cookie" in request.GET else None)

    @at("/sync/<str:x>")
    def sync(request, x):
        site.together.wait(10)
        return HttpResponse(threading.current_thread().name)

    @at("/quiet", expose_status=False, honor_client_cache_control=False)
    async def quiet(request):
        return HttpResponse(f"quiet {count('quiet')}")

    @at("/audited", audit=True)
    async def audited(request):
        return HttpResponse(f"{request.headers.get('x-color')}, {request.headers.get('authorization')}")

    @at("/loaded")
    async def loaded(request):
        return HttpResponse(await site.loaded(), headers={"Cache-Control": "no-store"})

    @at("/fan")
    async def fan(request):
        return HttpResponse(await site.fan())

    return patterns
