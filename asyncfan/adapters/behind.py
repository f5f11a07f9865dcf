"""What the middlewares have in common: an application behind them, of which rules say what is cached."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from operator import methodcaller
from typing import Any, Generic, TypeVar

from ..caching.cache import Cache
from ..caching.cache import cache as default_cache
from ..http.messages import Declared, Draft
from ..http.rules import Rule, Rules

__all__ = ["Behind", "Ruled"]

App = TypeVar("App")


class Ruled(Generic[App]):
    """A middleware that asks its rules."""

    def __init__(self, app: App, cache: Cache | None = None, rules: Iterable[Rule] = ()) -> None:
        """Put the cache in front of an application.

        Args:
            app: The application.
            cache: Where the entries live; the default cache if None.
            rules: What to cache: `Rule` objects, the first that matches counts.

        Raises:
            ValueError: There is no rule, or one can never count.
            TypeError: One is no `Rule`.
        """
        self.app: App = app
        self._rules = Rules(rules, default_cache if cache is None else cache, methodcaller("again"))

    def __repr__(self) -> str:
        return f"<CacheMiddleware {', '.join(rule.path for rule in self._rules.rules)}>"


class Behind:
    """The part of their adapters that is the same: the application is taken for one big handler."""

    signature: inspect.Signature | None = None

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A middleware makes its visits itself."""

    def declared(self, visit: Any) -> Declared:
        """Return what the rule says that the application reads."""
        declared: Declared = visit.rule.declared
        return declared

    def arguments(self, visit: Any) -> Mapping[str, Any]:  # noqa: ARG002 - frameworks parse arguments
        """An application has none but the request."""
        return {}

    async def call(self, visit: Any) -> Any:
        """Ask the application."""
        return await visit.run()

    async def freeze(self, visit: Any, result: Any) -> tuple[Any, Draft | None]:  # noqa: ARG002 - as above
        """Draft what came whole."""
        return result, result.draft()

    def mark(self, visit: Any, result: Any, name: str, value: str) -> Any:  # noqa: ARG002 - as above
        """Add a header to what the application sends."""
        result.mark(name, value)
        return result
