"""FastAPI: arguments arrive parsed, a returned value becomes a response by the route's own rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from fastapi.dependencies.utils import get_typed_signature
from starlette.background import BackgroundTasks
from starlette.requests import Request
from starlette.responses import Response

from ..http.messages import Declared, Draft, Visit
from . import starlette
from .fastapi_route import Route, context_of, refuse_registered, render_with

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
        refuse_registered(fn)
        super().__init__(fn)
        self._routes: dict[int, Route] = {}  # {id of the route: what is known of it}
        typed = get_typed_signature(fn).parameters
        declared = {kind: _parameter(typed, kind) for kind in (Request, Response)}
        self._names = {kind: name or f"asyncfan_{kind.__name__.lower()}" for kind, name in declared.items()}
        self._added = tuple(self._names[kind] for kind, name in declared.items() if name is None)
        self._tasks = _parameter(typed, BackgroundTasks)
        self.signature = _with_parameters(
            inspect.signature(fn),
            {self._names[kind]: kind for kind, name in declared.items() if name is None},
        )

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Visit | None:
        """Return the visit of a call by FastAPI, which passes everything by name."""
        request, sink = kwargs.get(self._names[Request]), kwargs.get(self._names[Response])
        if request is None or sink is None:
            return None
        for name in self._added:
            del kwargs[name]
        route = self._route(request.scope)
        return _Visit(
            request,
            args,
            kwargs,
            tuple(sink.raw_headers),
            sink,
            sink.status_code,
            self._queued(kwargs),
            route,
        )

    def declared(self, visit: Any) -> Declared:
        """Return what the route's dependency tree reads."""
        route: Route = visit.route
        return route.declared

    def arguments(self, visit: Any) -> Mapping[str, Any]:
        """Return the handler's arguments from headers, cookies and the body."""
        return {name: visit.kwargs[name] for name in visit.route.arguments if name in visit.kwargs}

    async def body(self, visit: Any) -> bytes | None:
        """Read the body where parameters don't hold it all."""
        return b"" if visit.route.parses_body else await super().body(visit)

    async def freeze(self, visit: Any, result: Any) -> tuple[Any, Draft | None]:
        """Draft what FastAPI would send for ``result``, without what guards add to each response."""
        raw, before = visit.sink.raw_headers, len(visit.extra)
        repeatable = (
            tuple(raw[:before]) == visit.extra
            and visit.status is None
            and self._queued(visit.kwargs) == visit.queued
        )
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

    def _route(self, scope: dict[str, Any]) -> Route:
        context = context_of(scope)
        route = self._routes.get(id(context))
        if route is None:
            route = self._routes[id(context)] = Route(scope, self._fn)
        return route


def _parameter(parameters: Mapping[str, inspect.Parameter], kind: type) -> str | None:
    """Return the name of the parameter of this kind: of several the last, which FastAPI fills."""
    found = None
    for name, parameter in parameters.items():
        annotation = parameter.annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if inspect.isclass(annotation) and issubclass(annotation, kind):
            found = name
    return found


def _with_parameters(signature: inspect.Signature, kinds: Mapping[str, type]) -> inspect.Signature:
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    parameters = list(signature.parameters.values())
    end = len(parameters) - any(p.kind is p.VAR_KEYWORD for p in parameters)
    return signature.replace(parameters=[*parameters[:end], *added, *parameters[end:]])
