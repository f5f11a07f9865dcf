"""FastAPI: arguments arrive parsed, a returned value becomes a response by the route's own rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import Response

from ...http.messages import LONGEST_BODY, Declared, Draft, Visit
from .. import starlette
from .route import Routes, render_with
from .signature import parameter_of, refuse_misplaced, resolved, with_parameters

__all__ = ["Adapter"]


@dataclass(slots=True)
class _Visit(Visit):
    sink: Any = None  # the Response that FastAPI keeps for one request: guards and the handler write on it
    status: int | None = None  # what guards wrote
    queued: int = 0  # background tasks of guards
    route: Any = None  # what is known of the Route


class Adapter(starlette.Adapter):
    """Ties one FastAPI handler to the cache; adds the Request and Response parameters that it lacks."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn)
        self._routes = Routes(fn)
        own = resolved(fn)
        typed = own.parameters
        refuse_misplaced(fn, typed)
        request, sink = parameter_of(typed, Request), parameter_of(typed, Response)
        self._request, self._sink = request or "asyncfan_request", sink or "asyncfan_response"
        kinds = ((request, self._request, Request), (sink, self._sink, Response))
        added: dict[str, type] = {name: kind for found, name, kind in kinds if found is None}
        self._added = tuple(added)
        self._tasks = parameter_of(typed, BackgroundTasks)
        self.signature: inspect.Signature | None = with_parameters(own, added)

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of a call by FastAPI, which passes everything by name."""
        request, sink = kwargs.get(self._request), kwargs.get(self._sink)
        if request is None or sink is None:
            return None
        for name in self._added:
            del kwargs[name]
        queued, route = self._queued(kwargs), self._routes.at(request.scope)
        return _Visit(request, args, kwargs, tuple(sink.raw_headers), sink, sink.status_code, queued, route)

    def declared(self, visit: Any) -> Declared:
        """Return what the route's dependency tree reads."""
        declared: Declared = visit.route.declared
        return declared

    def arguments(self, visit: Any) -> Mapping[str, Any]:
        """Return the handler's arguments from headers, cookies, the body, and from a decorator below the route."""
        found = {name: visit.kwargs[name] for name in visit.route.arguments if name in visit.kwargs}
        return {**found, **self._passed.beside(visit, visit.route.filled)}

    async def body(self, visit: Any) -> bytes | None:
        """Read the body where parameters don't hold it all; None if they hold more than makes a key."""
        if not visit.route.parses_body:
            return await super().body(visit)
        read = getattr(visit.request, "_body", b"")  # for the parameters; not a form's
        return None if len(read) > LONGEST_BODY else b""

    async def freeze(self, visit: Any, result: Any) -> tuple[Any, Draft | None]:
        """Draft what FastAPI would send for ``result``, without what guards add to each response."""
        raw, before = visit.sink.raw_headers, len(visit.extra)
        same = tuple(raw[:before]) == visit.extra and self._queued(visit.kwargs) == visit.queued
        repeatable = same and visit.status is None
        if isinstance(result, Response):
            response, draft = await super().freeze(visit, result)
            return response, draft if repeatable else None
        response = await render_with(visit.route, visit.request, result, visit.sink, raw[before:])
        _, draft = await super().freeze(visit, response)
        response.raw_headers.extend(raw[:before])
        if draft is None or not repeatable:
            return response, None
        return response, Draft(draft.status, draft.headers, draft.body, merges=True)

    def mark(self, visit: Any, result: Any, name: str, value: str) -> Any:
        """Set a header of the handler's response, or of the one that FastAPI will make."""
        (result if isinstance(result, Response) else visit.sink).headers[name] = value
        return result

    def _queued(self, kwargs: dict[str, Any]) -> int:
        return len(kwargs[self._tasks].tasks) if self._tasks else 0
