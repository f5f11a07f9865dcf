"""No two handlers of a module go by one name and prefix: nobody could clear, or count, only one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from ..caching.cache import Cache
from ..caching.calls.twins import loads_first

__all__ = ["refuse_twin"]

_lines: WeakKeyDictionary[Cache, dict[tuple[str, str, str], int]] = WeakKeyDictionary()
# {cache: {(prefix, name, file): the line where the handler is defined}}


def refuse_twin(fn: Callable[..., Any], cache: Cache, prefix: str, name: str) -> None:
    """Refuse a handler whose name and prefix another one has, some lines above in the same file.

    A module that is loaded again (in a notebook, say) defines its handlers again; so does each call of a function.

    Raises:
        ValueError: They would share their clears and figures.
    """
    if "<locals>" in name or not loads_first(fn.__module__):
        return
    code = fn.__code__
    file, line = code.co_filename, code.co_firstlineno
    first = _lines.setdefault(cache, {}).setdefault((prefix, name, file), line)
    if first != line:
        raise ValueError(
            f"{name} is defined twice, in lines {first} and {line} of {file}, so that clearing and figures could not "
            f"tell the two handlers apart. Give one of them another name, or a prefix of its own: "
            f'@cache_response(prefix="{fn.__name__}:2")'
        )
