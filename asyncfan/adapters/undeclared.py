"""Frameworks whose handlers get the request itself, and whose routes declare nothing of what they read in it."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..http.messages import Declared
from .passed import Passed

__all__ = ["Undeclared"]

_NOTHING = Declared()


class Undeclared:
    """What their adapters have in common: a handler to run, and nothing known of it.

    Args:
        fn: The handler.
        own: Classes of what the framework itself passes beside the request, such as objects whose methods are handlers.
        of_object: Whether the first argument is such an object, of whatever class.
        runs_on_loop: Whether it is run as it is; by default, if it is an ``async def``.
        in_thread: What runs it otherwise.
    """

    signature: inspect.Signature | None = None

    def __init__(
        self,
        fn: Callable[..., Any],
        own: tuple[type, ...] = (),
        *,
        of_object: bool = False,
        runs_on_loop: bool | None = None,
        in_thread: Callable[..., Any] = asyncio.to_thread,
    ) -> None:
        if runs_on_loop is None:
            runs_on_loop = inspect.iscoroutinefunction(fn)
        self._run: Callable[..., Any] = fn if runs_on_loop else functools.partial(in_thread, fn)
        self._passed = Passed(fn, own, of_object=of_object)

    def declared(self, visit: Any) -> Declared:  # noqa: ARG002 - other frameworks declare by route
        """Nothing, of any route."""
        return _NOTHING

    def arguments(self, visit: Any) -> Mapping[str, Any]:
        """Return what a decorator between the route and the handler has passed; anything else is in the request."""
        return {} if len(visit.args) == 1 and not visit.kwargs else self._passed.more(visit)  # mostly the request alone

    async def call(self, visit: Any) -> Any:
        """Run the handler, a plain function in a thread."""
        return await self._run(*visit.args, **visit.kwargs)
