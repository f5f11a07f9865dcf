"""Starlette: the request is an argument, what a handler returns is the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

from ..http.auditing import Watched
from ..http.messages import Draft, RequestParts, Visit
from .asgi.scope import parts_of
from .undeclared import Undeclared

__all__ = ["Adapter"]


class _Prebuilt(Response):
    """A response whose parts are ready: nothing is encoded or counted again."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.body = body
        self.background = None


class Adapter(Undeclared):
    """Ties one Starlette handler, a function or a method of an HTTPEndpoint, to the cache."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, (Request, HTTPEndpoint), in_thread=run_in_threadpool)  # Starlette's own

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of the request among the arguments."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, Request):
                return Visit(value, args, kwargs)
        return None

    def parts(self, visit: Visit) -> RequestParts:
        """Return the request's parts, from its ASGI scope."""
        return parts_of(visit.request.scope)

    async def body(self, visit: Visit) -> bytes | None:
        """Read the body, which the request keeps for the handler; None if somebody has consumed it."""
        request: Request = visit.request
        try:
            return await request.body()
        except RuntimeError:  # a form was parsed from it before
            return None

    def watch(self, visit: Visit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request."""
        request: Any = visit.request
        request._cookies = Watched(request.cookies, lambda name: saw("cookie", name))  # noqa: SLF001 - has no other door
        request._headers = Watched(request.headers, lambda name: saw("header", name))  # noqa: SLF001

    async def freeze(self, visit: Visit, result: Any) -> tuple[Any, Draft | None]:  # noqa: ARG002 - FastAPI's needs it
        """Draft a plain response; none that streams, sends itself or has work to do after it was sent."""
        if not isinstance(result, Response) or result.background is not None or not _is_plain(type(result)):
            return result, None
        return result, Draft(result.status_code, tuple(result.raw_headers), bytes(result.body))

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:  # noqa: ARG002 - others need it
        """Return a response of ready parts."""
        return _Prebuilt(status, headers, body)

    def mark(self, visit: Visit, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - FastAPI's needs it
        """Set a header of the handler's response."""
        if isinstance(result, Response):
            result.headers[name] = value
        return result


def _is_plain(cls: type[Response]) -> bool:
    return cls.__call__ is Response.__call__ or cls.__module__ == "starlette.templating"  # rendered when made
