"""Arguments by which frameworks say who is asking: what to make of them is the function's author's to say."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ...exceptions import UnkeyableArgumentError
from .keys import is_registered

__all__ = ["refusal", "refuse_bearers"]

_GRPC = ("dict({}.invocation_metadata())['user-id']", "grpc.RpcScope")
_STREAM = ("{}.headers['user-id']", "faststream.MessageScope")
# {class: (what in it may identify who is asking, what in asyncfan.adapters puts a scope around each call)}
_BEARERS = {
    "strawberry.types.info.Info": ("{}.context['user_id']", "strawberry.OperationScope"),
    "grpc.aio._base_server.ServicerContext": _GRPC,
    "grpc._cython.cygrpc._ServicerContext": _GRPC,
    "grpc._cython.cygrpc._SyncServicerContext": _GRPC,
    "grpc.ServicerContext": _GRPC,
    "taskiq.context.Context": ("{}.message.labels['user_id']", "taskiq.TaskScope"),
    "faststream.message.message.StreamMessage": _STREAM,
    "faststream._internal.context.repository.ContextRepo": ("{}.get('message').headers['user-id']", _STREAM[1]),
}


def refusal(function: str, parameter: str, kind: type, blamed: type) -> UnkeyableArgumentError:
    """Return the error for an argument of class ``kind`` that cannot be keyed, because of a ``blamed`` in it."""
    for cls in (kind, blamed):
        found = _bearer(cls)
        if found is not None:
            return UnkeyableArgumentError(function, parameter, cls, _ways(parameter, *found))
    return UnkeyableArgumentError(function, parameter, blamed)


def refuse_bearers(function: Callable[..., Any], name: str, ignore: Collection[str]) -> None:
    """Refuse to key by a parameter that is annotated as one of them.

    Raises:
        UnkeyableArgumentError: One is that is neither in ``ignore`` nor has a value by `register_key`.
    """
    for parameter, annotation in getattr(function, "__annotations__", {}).items():
        # of Annotated[...] and of Info[...]; what is annotated by a text is seen at the first call
        kind = getattr(annotation, "__origin__", annotation)
        if isinstance(kind, type) and parameter not in ignore and parameter != "return" and not is_registered(kind):
            found = _bearer(kind)
            if found is not None:
                raise UnkeyableArgumentError(name, parameter, kind, _ways(parameter, *found))


def _bearer(kind: type) -> tuple[str, str] | None:
    paths = (f"{cls.__module__}.{cls.__qualname__}" for cls in kind.__mro__)
    return next((_BEARERS[path] for path in paths if path in _BEARERS), None)


def _ways(parameter: str, identity: str, scope: str) -> str:
    ignored = f"ignore=({parameter!r},)"
    return (
        f"tells who is asking, so only you can say who may share a result. Do one of: {ignored} if it is the same for "
        f"everybody; key=lambda ...: (..., {identity.format(parameter)}) to build the key from the arguments and from "
        f"what tells callers apart; {ignored}, cache_level=CacheLevel.HIGH where asyncfan.adapters.{scope} declares "
        "the principal"
    )
