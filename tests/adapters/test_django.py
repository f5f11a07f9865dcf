"""What is Django's own: guards, languages, forms and sessions, and templates that are rendered later."""

import re
import sys
import types
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import django_site  # noqa: F401 - it configures Django
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils import translation
from django.views import View

from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response


@pytest.fixture
def cache():
    """Return a cache of the test's own."""
    return Cache()


def request(path="/", **headers):
    """Return a request as Django makes it from an ASGI scope."""
    return AsyncRequestFactory().get(path, headers=headers)


def counting(calls, make=lambda request, n: HttpResponse(f"{n}")):
    """Return a view that counts its calls."""

    async def view(request, *args, **kwargs):
        calls.append(1)
        return make(request, len(calls))

    return view


async def test_language_is_keyed(cache):
    """What a middleware has chosen by a cookie or a header tells requests apart, as in Django's own cache."""
    view = cache_response(cache=cache)(counting([], lambda request, n: HttpResponse(translation.get_language())))
    texts = []
    for language in ("ko", "en", "ko"):
        with translation.override(language):
            texts.append((await view(request())).content.decode())
    assert texts == ["ko", "en", "ko"]


@pytest.mark.parametrize("why", ["token", "session", "messages"])
async def test_what_is_for_one_client_is_not_stored(cache, why):
    """A form's token, a changed session and messages are for their own client."""
    calls = []

    def make(request, n):
        if why == "token":
            get_token(request)
        elif why == "session":
            request.session = types.SimpleNamespace(modified=True)
        else:
            request._messages = types.SimpleNamespace(used=True)
        return HttpResponse(f"{n}")

    view = cache_response(cache=cache)(counting(calls, make))
    assert [(await view(request())).content for _ in range(2)] == [b"1", b"2"]


async def test_template_is_stored_once_it_is_rendered(cache):
    """A template response that has yet to be rendered passes; a rendered one is plain bytes."""

    def make(request, n):
        response = TemplateResponse(request, engines["django"].from_string("{{ n }}"), {"n": n})
        return response.render() if "render" in request.GET else response

    calls = []
    view = cache_response(cache=cache)(counting(calls, make))
    for path, last in (("/", 2), ("/?render=1", 3)):
        for _ in range(2):
            response = await view(request(path))
            body = response.render().content if "render" not in path else response.content
        assert body == b"%d" % last


async def test_forwarded_host_is_the_host_where_settings_say_so(cache):
    """What a view may build its links from tells requests apart."""
    view = cache_response(cache=cache)(counting([], lambda request, n: HttpResponse(request.get_host())))
    with override_settings(USE_X_FORWARDED_HOST=True):
        texts = [(await view(request(**{"x-forwarded-host": host}))).content for host in ("a", "b", "a")]
    assert texts == [b"a", b"b", b"a"]


async def test_argument_of_a_decorator_is_keyed(cache):
    """What a decorator between the route and the view passes tells requests apart."""

    @cache_response(cache=cache)
    async def view(request, user):
        return HttpResponse(user)

    assert [(await view(request(), user)).content for user in ("alice", "bob", "alice")] == [b"alice", b"bob", b"alice"]


async def test_methods_of_a_view_are_handlers(cache):
    """A class-based view's instance, new for each request, is not in the key."""

    class Item(View):
        @cache_response(cache=cache)
        async def get(self, request, x):
            return HttpResponse(x)

    view = Item.as_view()
    _, second = [await view(request(), x="1") for _ in range(2)]
    assert (second.content, "hit" in second["cache-status"]) == (b"1", True)


async def test_request_of_wsgi_is_one_too(cache):
    """The same view under a WSGI server, which calls it through Django's own bridge."""
    view = cache_response(cache=cache)(counting([]))
    answers = [await view(RequestFactory().get("/x")) for _ in range(2)]
    assert "hit" in answers[1]["cache-status"]


def test_guard_below_the_cache():
    """A hit would get by a guard that stands below."""

    async def view(request):
        raise NotImplementedError

    message = (
        f"{view.__qualname__} is guarded below its cache, so that a hit would get by the guard. Put "
        "@cache_response below, next to the function:\n"
        "    @login_required\n    @cache_response(...)\n    async def view(...): ..."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        cache_response(cache=Cache())(login_required(view))
