"""Which framework made a request: found by the module of its class, so no framework is imported first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from .messages import Adapter, AdapterFactory

__all__ = ["adapter_at_decoration", "adapter_of", "register"]

# {module of the request's class, or one whose presence says that the framework is in use: "module:class"}
_ADAPTERS: dict[str, str] = {
    "fastapi.routing": "asyncfan.adapters.fastapi:Adapter",
    "starlette.requests": "asyncfan.adapters.starlette:Adapter",
}


def register(module: str, adapter: str) -> None:
    """Let `cache_response` know a framework; nothing is imported until the framework itself has been.

    Args:
        module: The module that the framework's request class is defined in.
        adapter: Where the adapter is, as ``"package.module:Class"``; called with the handler, at decoration.

    Raises:
        ValueError: ``adapter`` is not of that form.
    """
    if not all(adapter.partition(":")):
        raise ValueError(f'adapter must be "package.module:Class", got {adapter!r}')
    _ADAPTERS[module] = adapter


def adapter_at_decoration(fn: Callable[..., Any]) -> Adapter | None:
    """Return the adapter of a loaded framework that wants more parameters of the handler, if one does."""
    for module in list(_ADAPTERS):
        if module in sys.modules:
            adapter = _load(module)(fn)
            if adapter.signature is not None:
                return adapter
    return None


def adapter_of(values: Iterable[Any], fn: Callable[..., Any]) -> Adapter | None:
    """Return a new adapter for the framework whose request is among ``values``; None if none is a request."""
    for value in values:
        for cls in type(value).__mro__:
            if cls.__module__ in _ADAPTERS:
                return _load(cls.__module__)(fn)
    return None


def _load(module: str) -> AdapterFactory:
    path, _, name = _ADAPTERS[module].partition(":")
    found: AdapterFactory = getattr(import_module(path), name)
    return found
