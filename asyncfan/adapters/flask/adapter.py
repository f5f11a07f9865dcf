"""Flask: the request is around a view, not among its arguments; a plain view stays plain.

An async view runs in an event loop of its own each time: requests wait for each other across loops and threads.
Flask tells no view that its client has gone, and cancels none. It has no shutdown either:
``atexit.register(lambda: asyncio.run(cache.aclose()))``, where the cache shares a tier. Who is asking for whom can be
said in ``before_request`` with ``scope(tenant=...).__enter__()``.
"""

from __future__ import annotations

import functools
import inspect
from asyncio import to_thread
from collections.abc import Callable
from typing import Any

import flask
import flask.globals
import flask.views

from ...http.messages import Draft, RequestParts
from ..wsgi.environ import parts_of
from .views import Around, AroundVisit, encoded, with_headers

__all__ = ["Adapter"]

_CONTEXT: Any = vars(flask.globals).get("request_ctx", flask.globals.app_ctx)  # later versions have one for both


class Adapter(Around):
    """Ties one Flask view, a function or a method of a `MethodView`, to the cache."""

    loop_ends: bool = True

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self.blocking: bool = not inspect.iscoroutinefunction(fn)
        super().__init__(fn, flask.views.View)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AroundVisit | None:
        """Return the visit of the request around the call, if there is one."""
        if not flask.has_request_context():
            return None
        request = flask.request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - what it stands for
        return AroundVisit(request, args, kwargs, (), _behind())

    def parts(self, visit: AroundVisit) -> RequestParts:
        """Return the request's parts, from its environ."""
        return parts_of(visit.request.environ)

    async def body(self, visit: AroundVisit) -> bytes | None:
        """Read the body, which the request keeps for the view; None if a form was parsed from it before."""
        request: flask.Request = visit.request
        if "form" in request.__dict__ and not hasattr(request, "_cached_data"):
            return None
        return request.get_data()

    async def call(self, visit: AroundVisit) -> flask.Response:
        """Run the view, and make a response of what it returned."""
        view = functools.partial(self._fn, *visit.args, **visit.kwargs)
        run = view if not self.blocking else functools.partial(visit.thread.call if visit.thread else to_thread, view)
        return flask.current_app.make_response(await run())

    async def freeze(self, visit: AroundVisit, result: flask.Response) -> tuple[flask.Response, Draft | None]:
        """Draft a response that is whole, unless the view has changed the session, or asked for more to be done."""
        streams = result.is_streamed or result.direct_passthrough or result._on_close  # noqa: SLF001 - it has no other door
        if streams or visit.before != _behind():
            return result, None
        headers = encoded(result.get_wsgi_headers(visit.request.environ))
        return result, Draft(result.status_code, headers, result.get_data())

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> flask.Response:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        response: flask.Response = with_headers(flask.current_app.response_class(body, status), headers)
        return response


def _behind() -> tuple[bool, int]:
    """What is to happen to the response behind the view's back: the session's cookie, and after_this_request."""
    return flask.session.modified, len(_CONTEXT._after_request_functions)  # noqa: SLF001 - it has no other door
