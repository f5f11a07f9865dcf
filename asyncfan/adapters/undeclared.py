"""Frameworks whose handlers get the request itself, and whose routes declare nothing of what they read in it."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..http.messages import Declared

__all__ = ["Undeclared"]

_NOTHING = Declared()


class Undeclared:
    """What their adapters have in common: a handler to run, and nothing known of it."""

    signature: inspect.Signature | None = None

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        runs_on_loop: bool | None = None,
        in_thread: Callable[..., Any] = asyncio.to_thread,
    ) -> None:
        if runs_on_loop is None:
            runs_on_loop = inspect.iscoroutinefunction(fn)
        self._run: Callable[..., Any] = fn if runs_on_loop else functools.partial(in_thread, fn)

    def declared(self, visit: Any) -> Declared:  # noqa: ARG002 - other frameworks declare by route
        """Nothing, of any route."""
        return _NOTHING

    def arguments(self, visit: Any) -> Mapping[str, Any]:  # noqa: ARG002 - other frameworks parse arguments
        """None: what is not in the request is in its path."""
        return {}

    async def call(self, visit: Any) -> Any:
        """Run the handler, a plain function in a thread."""
        return await self._run(*visit.args, **visit.kwargs)
