"""What Flask and Quart have in common: views that are registered by name, with the request around them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask.sansio.app import App
from flask.sansio.blueprints import Blueprint
from werkzeug.datastructures import Headers

from ...http.auditing import Watched
from ...http.messages import Declared, Visit
from ..misplaced import near, refuse_registered
from ..passed import Passed

__all__ = ["Around", "AroundVisit", "encoded", "with_headers"]

_NOTHING = Declared()


@dataclass(slots=True)
class AroundVisit(Visit):
    """A visit whose request is around it.

    Attributes:
        before: What guards had asked for behind the response's back, when the view was called.
        thread: The request's own, where the view is plain.
    """

    before: Any = None
    thread: Any = None


class Around:
    """The part of their adapters that is the same."""

    signature: inspect.Signature | None = None

    def __init__(self, fn: Callable[..., Any], view: type) -> None:
        refuse_registered(fn, _registered(fn), "@app.get(...)")
        self._passed = Passed(fn, (view,))

    def declared(self, visit: AroundVisit) -> Declared:  # noqa: ARG002 - other frameworks declare by route
        """Their routes declare nothing but their path."""
        return _NOTHING

    def arguments(self, visit: AroundVisit) -> Mapping[str, Any]:
        """Return the arguments that are not in the path, but came from a decorator between the route and the view."""
        return self._passed.more(visit, (), visit.request.view_args)

    def watch(self, visit: AroundVisit, saw: Callable[[str, str], None]) -> None:
        """Tell of the headers and cookies that are read of the request."""
        request: Any = visit.request
        request.__dict__["cookies"] = Watched(request.cookies, lambda name: saw("cookie", name))
        request.headers = Watched(request.headers, lambda name: saw("header", name))

    def mark(self, visit: AroundVisit, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - others need it
        """Set a header of the view's response."""
        result.headers[name] = value
        return result


def with_headers(response: Any, headers: list[tuple[bytes, bytes]]) -> Any:
    """Return a new response with these headers in the place of its own."""
    response.headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
    return response


def encoded(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers as they travel."""
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)


def _registered(fn: Callable[..., Any]) -> Iterator[Any]:
    for router in near(fn, App, Blueprint):
        if isinstance(router, App):
            yield from router.view_functions.values()
        else:  # it keeps each route as a closure, until it is registered itself
            yield from (cell.cell_contents for later in router.deferred_functions for cell in later.__closure__ or ())
