"""Django: the request is a view's first argument, what it returns is the response; middlewares finish it afterwards.

Under ASGI a client that hangs up cancels its view, and the fan-out and the loads that it waits for. Django has no
shutdown: ``atexit.register(lambda: asyncio.run(cache.aclose()))``, where the cache shares a tier. A middleware may put
``async with scope(tenant=...)`` around the next one. Guards stand above: a hit has passed ``@login_required``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django import conf  # not settings: looked at too early they are an error
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, RawPostDataException
from django.views import View

from ...http.auditing import Watched
from ...http.messages import Draft, RequestParts, Visit
from ..asgi import scope as asgi_scope
from ..misplaced import refuse_guard
from ..undeclared import Undeclared
from ..wsgi import environ as wsgi_environ
from .response import around, draft_of, response_of

__all__ = ["Adapter"]


class Adapter(Undeclared):
    """Ties one Django view, a function or a method of a `View`, to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, (HttpRequest, View), runs_on_loop=iscoroutinefunction(fn), in_thread=_in_djangos_own)
        refuse_guard(fn, "django.contrib.auth.decorators", "@login_required")

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of the request among the arguments."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, HttpRequest):
                return Visit(value, args, kwargs)
        return None

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, its scheme and host as Django's settings have them told."""
        request: Any = visit.request
        scope = getattr(request, "scope", None)
        parts = wsgi_environ.parts_of(request.environ) if scope is None else asgi_scope.parts_of(scope)
        if conf.settings.USE_X_FORWARDED_HOST or conf.settings.USE_X_FORWARDED_PORT:
            others = [pair for pair in parts.headers if pair[0] != b"host"]
            parts = parts._replace(headers=[*others, (b"host", request.get_host().encode())])
        return parts._replace(scheme=request.scheme, query=request.META["QUERY_STRING"].encode())

    def arguments(self, visit: Visit) -> Mapping[str, Any]:
        """Return what is not in the URL: arguments that came from a decorator, the language, the time zone."""
        match = visit.request.resolver_match
        more = self._passed.more(visit) if match is None else self._passed.more(visit, match.args, match.kwargs)
        return {**more, **around()}

    async def body(self, visit: Visit) -> bytes | None:
        """Read the body, which the request keeps for the view."""
        request: Any = visit.request
        try:
            return request.body  # type: ignore[no-any-return]
        except (RawPostDataException, RequestDataTooBig):  # a form was read before, or is too large for the memory
            return None

    def watch(self, visit: Visit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request, but not by ``META``."""
        known = visit.request.__dict__
        known["COOKIES"] = Watched(visit.request.COOKIES, lambda name: saw("cookie", name))
        known["headers"] = Watched(visit.request.headers, lambda name: saw("header", name))

    async def freeze(self, visit: Visit, result: Any) -> tuple[Any, Draft | None]:
        """Draft a plain response; none that streams, has yet to be rendered, or that a cookie will be added to."""
        return result, draft_of(visit.request, result)

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> HttpResponse:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        return response_of(status, headers, body)

    def mark(self, visit: Visit, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - others need it
        """Set a header of the view's response."""
        if hasattr(result, "headers"):
            result[name] = value
        return result


async def _in_djangos_own(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await sync_to_async(fn)(*args, **kwargs)  # where all plain views of a request run
