"""What is seen of a function before it is cached: whether it can be, and what it is called."""

from __future__ import annotations

import copy as copying
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable
from types import CodeType, ModuleType, NoneType
from typing import Any

from ...fanout.checks import positive_int
from ..freshness.options import CacheOptions
from .compiling import plain_parameters
from .keys import escape, key_text

__all__ = [
    "COPIES",
    "as_prefix",
    "check_function",
    "check_keying",
    "instance_parameter",
    "is_kind",
    "module_of",
    "prefix_of",
    "prefix_tag",
    "qualname_of",
]

COPIES: dict[str, Callable[[Any], Any] | None] = {
    "none": None,
    "shallow": copying.copy,
    "deep": copying.deepcopy,
}


def check_keying(function: Callable[..., Any], options: CacheOptions) -> None:
    """Refuse options that make no key of ``function``, or no copy."""
    copy, key = options.get("copy", "none"), options.get("key")
    if copy not in COPIES:
        raise ValueError(f"copy must be one of {', '.join(map(repr, COPIES))}, got {copy!r}")
    if key is not None and not callable(key):
        raise TypeError(f"key must be a function of the call's arguments, got {key!r}")
    if key is not None:
        _check_key(function, key)
    positive_int("max_items", options.get("max_items"))
    ignore = options.get("ignore", ())
    _check_ignored(function, ignore)
    if key is None:
        from .bearers import refuse_bearers  # noqa: PLC0415 - loaded where something is cached

        refuse_bearers(function, f"{module_of(function)}.{qualname_of(function)}", ignore)


def check_function(function: Any) -> None:
    """Refuse what is no function, or cannot be cached; tell what to write instead."""
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError("cache_function takes the function itself, not a call of it: cache_function(f), not f(...)")
    if not callable(function):
        way = ": write it directly above the function" if hasattr(function, "__get__") else ""
        raise TypeError(f"cache_function takes a function, got {function!r}{way}")
    if is_kind(inspect.isgeneratorfunction, function):
        raise TypeError(
            f"{qualname_of(function)}() is a generator, which can be read only once: cache a function that returns "
            "a list, as in list(...), or make it an async generator"
        )
    try:
        inspect.signature(function)
    except ValueError:
        raise TypeError(
            f"cache_function cannot see the parameters of {qualname_of(function)}: wrap it, as in "
            f"cache_function(lambda value: {qualname_of(function)}(value))"
        ) from None


def is_kind(kind: Callable[[Any], bool], function: Any) -> bool:
    """Say whether ``function`` is of a kind; an object may be called through a ``__call__`` of that kind."""
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004


def _check_key(function: Callable[..., Any], key: Callable[..., Any]) -> None:
    """Refuse a ``key`` that cannot be called with what ``function`` is."""
    parameters = inspect.signature(function).parameters.values()
    named = [x.name for x in parameters if x.kind is x.KEYWORD_ONLY]
    if any(x.kind in {x.VAR_POSITIONAL, x.VAR_KEYWORD} for x in parameters):
        return
    try:
        signature = inspect.signature(key)
    except ValueError:  # it is written in C
        return
    try:
        signature.bind(*[None] * (len(parameters) - len(named)), **dict.fromkeys(named))
    except TypeError:
        raise TypeError(
            f"key is called with all arguments of {qualname_of(function)}{inspect.signature(function)}, but takes "
            f"{signature}"
        ) from None


def _check_ignored(function: Callable[..., Any], ignore: Collection[str]) -> None:
    names = plain_parameters(function)
    if not isinstance(ignore, Iterable):
        raise TypeError(f"ignore takes a tuple of parameter names, got {ignore!r}")
    if isinstance(ignore, str):
        raise TypeError(f"ignore takes a tuple of parameter names, got the string {ignore!r}: write ({ignore!r},)")
    for name in ignore:
        if name not in names:
            raise ValueError(
                f"ignore names {name!r}, but {qualname_of(function)}() has the parameters {', '.join(names)}"
            )


def prefix_of(function: Callable[..., Any], key_prefix: str | None) -> str:
    """Return the text that the keys of ``function`` begin with: ``key_prefix``, or its module and name.

    Raises:
        TypeError: ``key_prefix`` is not a string.
        ValueError: It is empty, or has a ``*`` in it.
    """
    if key_prefix is None:
        return f"{escape(module_of(function))}.{escape(qualname_of(function))}"
    return as_prefix(key_prefix)


def as_prefix(key_prefix: str) -> str:
    """Return what the texts of keys begin with that a user gave ``key_prefix``; raises as `prefix_of`."""
    if not isinstance(key_prefix, str):
        raise TypeError(f'key_prefix must be a string such as "user:profile", got {key_prefix!r}')
    if not key_prefix or "*" in key_prefix:
        raise ValueError(f'key_prefix must be a text without "*" such as "user:profile", got {key_prefix!r}')
    return ":".join(map(escape, key_prefix.split(":")))


def prefix_tag(function: Callable[..., Any], prefix: str, *, yields: bool) -> str:
    """Return what tells a function from others that have its name, where processes share what it returns, else nothing.

    That is, of one typed in a shell or notebook, its code, but not what it calls. One whose name others have in the
    same program is not shared, unless its user gave it a prefix; nor is a generator. It is a type tag behind the
    prefix, which patterns do not see.
    """
    if yields or (not _names_one(function) and prefix == prefix_of(function, None)):
        return "~#"  # as in the texts of classes that other processes would name otherwise
    if module_of(function) != "__main__" or not hasattr(sys, "ps1"):
        return ""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return ""
    from hashlib import blake2b  # noqa: PLC0415 - loads OpenSSL

    return f"~{blake2b(_code_text(code).encode(), digest_size=8).hexdigest()}"


def _code_text(code: CodeType) -> str:
    """What a function does, without the place where it stands."""
    constants = [_code_text(x) if isinstance(x, CodeType) else x for x in code.co_consts]
    return key_text(
        [code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable]
    )


def instance_parameter(function: Callable[..., Any], keyed: list[str]) -> str | None:
    """Return the name of a method's instance: the first parameter, self or cls, of what a class body defines."""
    owner = qualname_of(function).rpartition(".")[0]
    if not owner or owner.endswith("<locals>") or not keyed:
        return None
    return keyed[0] if keyed[0] in {"self", "cls"} else None


def module_of(function: Any) -> str:
    """Return the module that a function is from; of what else is called, its class's."""
    function = _named(function)
    return getattr(function, "__module__", None) or type(function).__module__


def qualname_of(function: Any) -> str:
    """Return the name of a function; of what else is called, its class's."""
    function = _named(function)
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _named(function: Any) -> Any:
    """Return what a partial has its name from; `batched` makes some that have names of their own."""
    while isinstance(function, functools.partial) and not hasattr(function, "__qualname__"):
        function = function.func
    return function


def _names_one(function: Any) -> bool:
    """Say whether a function's module and name can stand for it alone: they are others' too where it has more in it."""
    if "<" in getattr(function, "__qualname__", "<"):  # a lambda, a function in a function, an object that is called
        return False
    if isinstance(function, functools.partial) and "__qualname__" not in vars(function):  # of a method `batched` made
        return False
    return isinstance(getattr(function, "__self__", None), (NoneType, ModuleType))
