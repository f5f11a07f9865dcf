"""What Litestar knows of a route, and how the route turns a value into a response."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Template
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp
from litestar.utils import is_async_callable

from ...http.messages import Declared, Visit
from ..unanswering import refuse_dependency

__all__ = ["Route", "RouteVisit", "with_request"]

_PLAIN = {cls.to_asgi_response for cls in (Response, Redirect, Template)}  # neither streams nor files
_ANYTHING = frozenset({"request", "headers", "cookies", "scope", "socket", "query"})  # names that Litestar fills


@dataclass(slots=True)
class RouteVisit(Visit):
    """A visit, and what is known of its route."""

    route: Route = field(kw_only=True)


class Route:
    """One route of a handler, worked out once.

    Attributes:
        handler: The route's own, kept alive so that its id stays its own.
        declared: What it, its guards and its dependencies read.
        filled: Names of its parameters.
        arguments: Names of those that come in headers or cookies.
    """

    def __init__(self, handler: HTTPRouteHandler, path: Iterable[str], fn: Callable[..., Any]) -> None:
        self.handler = handler
        model = handler.create_kwargs_model(path_parameters=dict.fromkeys(path))  # type: ignore[arg-type]
        own = handler.parsed_fn_signature.parameters
        providers = [each.provide for batch in model.dependency_batches for each in batch]
        refuse_dependency(fn, [each.dependency for each in providers])
        takes_all = any(not _ANYTHING.isdisjoint(each.parsed_fn_signature.parameters) for each in providers)
        opaque = takes_all or bool(handler.resolve_guards())
        # (name of the parameter, and in the request)
        heads = [(each.field_name, each.field_alias.lower().encode()) for each in model.expected_header_params]
        cookies = [(each.field_name, each.field_alias.encode()) for each in model.expected_cookie_params]
        mine = {name for name, _ in [*heads, *cookies] if name in own}
        self.filled: frozenset[str] = frozenset(own)
        self.arguments: tuple[str, ...] = tuple(sorted(mine))
        self.declared: Declared = Declared(
            query=None if opaque else frozenset(each.field_alias for each in model.expected_query_params),
            own_headers=frozenset(
                [header for name, header in heads if name in mine] + [b"cookie" for name, _ in cookies if name in mine]
            ),
            headers=frozenset(header for name, header in heads if name not in mine),
            cookies=frozenset(cookie for name, cookie in cookies if name not in mine),
            opaque=opaque,
        )
        returns, media = handler.parsed_fn_signature.return_type.annotation, handler.media_type
        self._is_app: bool = returns is ASGIApp or is_async_callable(returns)
        self._options: dict[str, Any] = {
            "media_type": getattr(media, "value", media),
            "status_code": handler.status_code,
            "type_encoders": handler.resolve_type_encoders(),
        }

    def response_of(self, result: Any) -> Response[Any] | None:
        """Return the response for what the handler returned; None where only Litestar's own code can make it."""
        if self.handler.resolve_return_dto() is not None or self._is_app:
            return None
        if isinstance(result, Response):
            return result
        return self.handler.resolve_response_class()(content=result, **self._options)

    def render(self, result: Any, request: Any) -> ASGIResponse | None:
        """Return what the route would send; None for a stream, a file, or what has work to do afterwards."""
        response = self.response_of(result)
        if response is None or response.background is not None or type(response).to_asgi_response not in _PLAIN:
            return None
        return response.to_asgi_response(app=None, request=request, **self._options)


def with_request(signature: inspect.Signature) -> inspect.Signature:
    """Return ``signature`` with the keyword-only parameter more that Litestar fills with the request."""
    request = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request[Any, Any, Any])
    parameters = list(signature.parameters.values())
    end = len(parameters) - any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return signature.replace(parameters=[*parameters[:end], request, *parameters[end:]])
