"""Keeps a Tornado handler from sending its response before anybody has looked at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..sending import unshared_from

__all__ = ["unsent"]


@contextmanager
def unsent(handler: Any) -> Iterator[None]:
    """Let ``handler.finish``, so ``render`` and ``redirect``, only write; Tornado finishes when the method returns.

    A method that has called ``flush`` finishes as ever, and nobody else waits for it.
    """
    real, outer = handler.finish, vars(handler).get("finish")  # outer: of a decorated method that calls this one
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)

    def finish(chunk: Any = None) -> Any:
        if handler._headers_written:  # noqa: SLF001
            return real(chunk)
        if chunk is not None:
            handler.write(chunk)
        return done

    handler.finish = finish
    try:
        with unshared_from(handler, "flush"):
            yield
    finally:
        del handler.finish
        if outer is not None:
            handler.finish = outer
