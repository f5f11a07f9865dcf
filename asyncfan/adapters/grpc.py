"""gRPC (``grpc.aio``): a scope around each RPC.

At shutdown, behind ``await server.wait_for_termination()``: ``await cache.aclose()``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio

from ..context import scope

__all__ = ["RpcScope"]

Values = Callable[[Any], Mapping[str, Any]]


class RpcScope(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types of its own
    """Run each method inside ``async with scope(...)``: loaders ask once for a key, and end with the RPC.

    The first interceptor: ``grpc.aio.server(interceptors=[RpcScope(who), ...])``. Those behind it see each method as
    it is; those before it would see one that yields messages as one that writes them.

    Args:
        values: Called with the method's `grpc.aio.ServicerContext`, gives what the scope declares, such as
            ``{"principal": user_of(context.invocation_metadata())}``, for cached functions of ``CacheLevel.HIGH``.

    Cancellation:
        A client that cancels, or whose deadline passes, ends its own method, and the loads that nobody else waits for.
    """

    def __init__(self, values: Values | None = None) -> None:
        self._values = values

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return the method's `grpc.RpcMethodHandler` with the scope around it, None where there is no method."""
        found: Any = await continuation(handler_call_details)
        if found is None:
            return None
        kinds = [("unary", "stream")[streams] for streams in (found.request_streaming, found.response_streaming)]
        kind = "_".join(kinds)
        run = self._around(getattr(found, kind), streams=found.response_streaming)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(run, found.request_deserializer, found.response_serializer)

    def _scope(self, context: Any) -> scope:
        return scope(**(self._values(context) if self._values else {}))

    def _around(self, method: Callable[..., Any], *, streams: bool) -> Callable[..., Any]:
        async def run(request: Any, context: Any) -> Any:
            async with self._scope(context):
                return await method(request, context)

        async def write(request: Any, context: Any) -> None:
            # not a generator: gRPC would leave that of a cancelled RPC to another task, which can't leave the scope
            async with self._scope(context), aclosing(method(request, context)) as messages:
                async for message in messages:
                    await context.write(message)

        def run_in_thread(request: Any, context: Any) -> Any:
            with self._scope(context):
                return method(request, context)

        def write_in_thread(request: Any, context: Any) -> Iterator[Any]:
            with self._scope(context):
                yield from method(request, context)

        if inspect.iscoroutinefunction(method):
            return run
        if inspect.isasyncgenfunction(method):
            return write
        return write_in_thread if streams else run_in_thread

    def __repr__(self) -> str:
        return f"<RpcScope of {self._values!r}>"
