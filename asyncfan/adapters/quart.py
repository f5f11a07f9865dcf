"""Quart: the request is around a handler, not among its arguments.

At shutdown: ``app.after_serving(cache.aclose)``. A client that hangs up cancels its handler, and the fan-out and the
loads that it waits for. Who is asking for whom: ``scope(tenant=...).__enter__()`` in ``before_request``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

import quart
import quart.globals
import quart.views
from quart.wrappers.response import DataBody

from ..http.messages import Draft, RequestParts
from .asgi.scope import parts_of
from .flask.views import Around, AroundVisit, encoded, with_headers
from .unanswering import refuse_websocket

__all__ = ["Adapter"]

_CONTEXT: Any = vars(quart.globals).get("request_ctx", quart.globals.app_ctx)  # later versions have one for both


class Adapter(Around):
    """Ties one Quart handler, a function or a method of a `MethodView`, to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = self._run = fn
        if not inspect.iscoroutinefunction(fn):
            self._run = functools.partial(asyncio.to_thread, fn)
        super().__init__(fn, quart.views.View)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AroundVisit | None:
        """Return the visit of the request around the call, if there is one."""
        if quart.has_websocket_context():
            refuse_websocket(self._fn, quart.current_app.view_functions[str(quart.websocket.endpoint)])
        if not quart.has_request_context():
            return None
        request = quart.request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - what it stands for
        return AroundVisit(request, args, kwargs, (), _behind())

    def parts(self, visit: AroundVisit) -> RequestParts:
        """Return the request's parts, from its ASGI scope."""
        return parts_of(visit.request.scope)

    async def body(self, visit: AroundVisit) -> bytes | None:
        """Read the body, which the request keeps for the handler; None if a form was parsed from it before."""
        request: Any = visit.request
        return await request.get_data() if request._form is None else None  # noqa: SLF001 - it has no other door

    async def call(self, visit: AroundVisit) -> Any:
        """Run the handler, and make a response of what it returned."""
        return await quart.current_app.make_response(await self._run(*visit.args, **visit.kwargs))

    async def freeze(self, visit: AroundVisit, result: Any) -> tuple[Any, Draft | None]:
        """Draft a response that is whole, unless the handler has changed the session, or asked for more to be done."""
        if type(getattr(result, "response", None)) is not DataBody or visit.before != _behind():
            return result, None
        return result, Draft(result.status_code, encoded(result.headers), await result.get_data())

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> quart.Response:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        make: Any = quart.current_app.response_class
        response: quart.Response = with_headers(make(body, status), headers)
        return response


def _behind() -> tuple[bool, int]:
    """What is to happen to the response behind the handler's back: the session's cookie, and after_this_request."""
    return quart.session.modified, len(_CONTEXT._after_request_functions)  # noqa: SLF001 - it has no other door
