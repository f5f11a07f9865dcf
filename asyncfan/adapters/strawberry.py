"""Strawberry: a scope around each GraphQL operation. At shutdown: ``cache.aclose``, as the framework around it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from ..context import scope

__all__ = ["OperationScope"]


class _Operation(SchemaExtension):
    """One operation's."""

    def __init__(self, values: Callable[[ExecutionContext], Mapping[str, Any]] | None) -> None:
        self._values = values

    async def on_operation(self) -> AsyncIterator[None]:
        """Resolve inside of the scope."""
        async with scope(**(self._values(self.execution_context) if self._values else {})):
            yield


class OperationScope:
    """Resolve each operation inside ``async with scope(...)``: loaders ask once for a key, and end with it.

    Give it to the schema as it is: ``strawberry.Schema(Query, extensions=[OperationScope(who)])``. Every operation gets
    an extension of its own, so that none sees the values of another one. Execute the schema asynchronously.

    Args:
        values: Called with Strawberry's `ExecutionContext`, gives what the scope declares, such as
            ``{"principal": context.context["user_id"]}``, for cached functions of ``CacheLevel.HIGH``.

    Cancellation:
        A cancelled operation ends its own resolvers, and the loads that nobody else waits for.
    """

    def __init__(self, values: Callable[[ExecutionContext], Mapping[str, Any]] | None = None) -> None:
        self._values = values

    def __call__(self) -> SchemaExtension:
        """Return the extension of one operation."""
        return _Operation(self._values)

    def __repr__(self) -> str:
        return f"<OperationScope of {self._values!r}>"
