"""Which framework made a request: found by the module of its class, so no framework is imported first."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from .messages import Adapter, AdapterFactory

__all__ = ["adapter_at_decoration", "adapter_of", "adapters_around", "discovered", "register"]

# {module of the request's class, or one whose presence says that the framework is in use: "module:class"}
_ADAPTERS: dict[str, str] = {
    "aiohttp.web_request": "asyncfan.adapters.aiohttp:Adapter",
    "aiohttp.web_urldispatcher": "asyncfan.adapters.aiohttp:Adapter",  # a View
    "django.http.request": "asyncfan.adapters.django:Adapter",
    "falcon.asgi.request": "asyncfan.adapters.falcon:Adapter",
    "fastapi.routing": "asyncfan.adapters.fastapi:Adapter",
    "flask.globals": "asyncfan.adapters.flask:Adapter",
    "litestar.connection.request": "asyncfan.adapters.litestar:Adapter",
    "quart.globals": "asyncfan.adapters.quart:Adapter",
    "sanic.request.types": "asyncfan.adapters.sanic:Adapter",
    "blacksheep.messages": "asyncfan.adapters.blacksheep:Adapter",
    "starlette.requests": "asyncfan.adapters.starlette:Adapter",
    "tornado.web": "asyncfan.adapters.tornado:Adapter",
}
# Those whose handlers are not given the request, which is in a context variable. Quart has Flask loaded, too.
_AROUND = ("quart.globals", "flask.globals")
_GROUP = "asyncfan.adapters"
_discovered: list[bool] = []  # empty until entry points have been read
_broken: set[str] = set()  # modules of frameworks whose adapters cannot be imported, once that was said


def register(module: str, adapter: str) -> None:
    """Let `cache_response` know a framework; nothing is imported until the framework itself has been.

    A distribution does the same by an entry point, which is read when a handler is called without a known request::

        [project.entry-points."asyncfan.adapters"]
        "framework.requests" = "package.module:Class"

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
    """Return the adapter of a loaded framework that shapes the handler itself, if one does.

    It wants more parameters of it, or that a plain function stays one. Of several, the one whose framework the
    handler's annotations, or else its module, speak of, and were the last to.
    """
    # A framework that is broken, or of another version, is no matter of the handlers of others: only its own fail.
    annotated = set(_packages_in(fn.__annotations__))
    spoken = {package: place for place, package in enumerate(_packages_in(fn.__globals__))}
    wanting: list[tuple[tuple[bool, int], Adapter]] = []  # (where its framework is spoken of, -1 for nowhere; and it)
    for module in list(_ADAPTERS):
        if module in sys.modules:
            package = module.partition(".")[0]
            factory, place = _load_if_sound(module), (package in annotated, spoken.get(package, -1))
            if factory is None:
                continue
            adapter = factory(fn)
            if adapter.signature is not None or (place > (False, -1) and getattr(adapter, "blocking", False)):
                wanting.append((place, adapter))
    return max(wanting, key=lambda pair: pair[0])[1] if wanting else None


def _packages_in(names: dict[str, Any]) -> Iterator[str]:
    """The packages that what a module has imported, and made of it, comes from."""
    for value in list(names.values()):
        if isinstance(value, ModuleType):
            yield value.__name__.partition(".")[0]
        else:  # the class first: a proxy would look for a request
            owner = value if isinstance(value, type) or callable(value) else type(value)
            yield str(getattr(owner, "__module__", "")).partition(".")[0]
            yield type(value).__module__.partition(".")[0]


def discovered() -> bool:
    """Read what distributions register by entry point, the first time; return whether a framework was added."""
    if _discovered:
        return False
    from importlib.metadata import entry_points  # noqa: PLC0415 - it is slow to load, and seldom needed

    _discovered.append(True)
    before = len(_ADAPTERS)
    for point in entry_points(group=_GROUP):
        if point.name not in _ADAPTERS:
            register(point.name, point.value)
    return len(_ADAPTERS) > before


def adapter_of(values: Iterable[Any], fn: Callable[..., Any]) -> Adapter | None:
    """Return a new adapter for the framework whose request is among ``values``; None if none is a request."""
    for value in values:
        for cls in type(value).__mro__:
            if cls.__module__ in _ADAPTERS:
                return _load(cls.__module__)(fn)
    return None


def adapters_around(fn: Callable[..., Any]) -> list[Adapter]:
    """Return new adapters of the loaded frameworks whose handlers are not given the request.

    Raises:
        Exception: The adapter of one raises it when it is imported, so nobody knows whose request is around.
    """
    # one that failed to load has left modules behind, but is not in use
    loaded = [module for module in _AROUND if module in sys.modules and module.partition(".")[0] in sys.modules]
    return [_load(module)(fn) for module in loaded]


def _load_if_sound(module: str) -> AdapterFactory | None:
    """Return an adapter's class; None with a warning, the first time, if it cannot be imported."""
    if module in _broken:
        return None
    try:
        return _load(module)
    except Exception as error:  # noqa: BLE001 - whatever the framework raises at import
        _broken.add(module)
        message = (
            f"@cache_response leaves {module.partition('.')[0]} out, because {_ADAPTERS[module].partition(':')[0]} "
            f"cannot be imported: {type(error).__name__}: {error}"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=5)  # where the decorator is written
        return None


def _load(module: str) -> AdapterFactory:
    path, _, name = _ADAPTERS[module].partition(":")
    found: AdapterFactory = getattr(import_module(path), name)
    return found
