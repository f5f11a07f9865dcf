"""Notes on exceptions: what is told of an error without changing it."""

from __future__ import annotations

from contextlib import suppress

__all__ = ["in_words", "note"]


def note(error: BaseException, text: str) -> None:
    """Add ``text`` to the notes of ``error``, once: one exception object may fail many items."""
    if text not in getattr(error, "__notes__", ()):
        with suppress(Exception):  # a frozen exception takes no notes
            error.add_note(text)


def in_words(error: BaseException) -> str:
    """Return the type and the message of ``error``."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its __str__ is broken
        return type(error).__name__
