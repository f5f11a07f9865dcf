"""Falcon on ASGI: a responder is given request and response, writes on the response and returns nothing.

At shutdown: a middleware with ``async def process_shutdown(self, scope, event): await cache.aclose()``. Its
``process_request`` and ``process_response`` run in the responder's task, so they may enter and leave
``scope(tenant=...)``. Falcon lets a responder end whose client has hung up; where a middleware around the application
cancels it, what it has started is cancelled too. What is raised (``HTTPError``, ``HTTPStatus``) is not stored.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from falcon.asgi import Request, Response
from falcon.asgi.stream import BoundedStream

from ..http.auditing import Watched
from ..http.messages import Draft, RequestParts
from .asgi.scope import parts_of
from .in_place import Placed, drafted, overlaid, placed
from .misplaced import refuse_guard
from .undeclared import Undeclared

__all__ = ["Adapter"]


class Adapter(Undeclared):
    """Ties one responder of a resource to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, (Request, Response), of_object=True)
        refuse_guard(fn, "falcon.hooks", "@falcon.before(...)")

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Placed | None:
        """Return the visit of the request and the response among the arguments."""
        values = (*args, *kwargs.values())
        request = next((value for value in values if isinstance(value, Request)), None)
        response = next((value for value in values if isinstance(value, Response)), None)
        if request is None or response is None:
            return None
        visit = placed(request, args, kwargs, response, tuple(response._asgi_headers()))  # noqa: SLF001 - as they are sent
        visit.kept = copy.copy(response._cookies), len(response._registered_callbacks or ())  # noqa: SLF001
        return visit

    def parts(self, visit: Placed) -> RequestParts:
        """Return the request's parts, with the path that a middleware may have rewritten."""
        request: Request = visit.request
        method = "" if visit.inner else request.method
        return parts_of({**request.scope, "method": method, "path": request.path})

    async def body(self, visit: Placed) -> bytes | None:
        """Read the body, and lay it out for the responder again; None if somebody has read some of it."""
        request: Any = visit.request
        if request._stream is not None:  # noqa: SLF001
            return None
        body: bytes = await request.stream.read()
        event = {"type": "http.request", "body": body, "more_body": False}
        request._stream = BoundedStream(request.stream._receive, event, len(body))  # noqa: SLF001 - it is read only once
        return body

    async def call(self, visit: Placed) -> None:
        """Run the responder, a plain function in a thread."""
        with visit.running():
            await super().call(visit)

    def watch(self, visit: Placed, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers that are read of the request, of which cookies are one."""
        visit.request._asgi_headers = Watched(visit.request._asgi_headers, lambda name: saw("header", name))  # noqa: SLF001

    async def freeze(self, visit: Placed, result: Any) -> tuple[Any, Draft | None]:
        """Draft what was written; no stream, no events, nothing with work to do after it was sent."""
        response: Any = visit.response
        later = len(response._registered_callbacks or ()) != visit.kept[1]  # noqa: SLF001
        if response.stream is not None or response.sse is not None or later:
            return result, None
        body = await response.render_body() or b""
        return result, drafted(visit, response.status_code, response._asgi_headers(), bytes(body))  # noqa: SLF001

    def emit(self, visit: Placed, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Write these parts on the response, in the place of what was written."""
        response: Any = visit.response
        response.status, response.text, response.media, response.stream, response.sse = status, None, None, None, None
        response.data = body
        response._headers, response._extra_headers, response._cookies = {}, [], visit.kept[0]  # noqa: SLF001
        for name, value in overlaid(visit, headers):
            pair = name.decode(), value.decode("latin-1")
            if pair[0] in response._headers:  # noqa: SLF001
                response._extra_headers.append(pair)  # noqa: SLF001
            else:
                response._headers[pair[0]] = pair[1]  # noqa: SLF001

    def mark(self, visit: Placed, result: Any, name: str, value: str) -> Any:
        """Set a header of the response."""
        visit.response.set_header(name, value)
        return result
