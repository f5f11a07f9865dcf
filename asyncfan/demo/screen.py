"""Where text goes: through rich if it is installed, as it is if not; and the progress bar on a terminal."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from .report import Line, Marks

try:
    from . import with_rich as _rich
except ImportError:
    _rich = None  # type: ignore[assignment]  # plain text then

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ["Progress", "marks_for", "print_lines", "progress", "width_of"]

_STYLES = {
    "": "",
    "bad": "bold red",
    "dim": "bright_black",
    "good": "green",
    "label": "cyan",
    "number": "bold",
    "run": "cyan",
    "title": "bold",
}
_ASCII = Marks(wait=".", run="=", rule="-")
_WIDEST = 140


def marks_for(stream: TextIO) -> Marks:
    """Return the marks that ``stream`` can show."""
    marks = Marks()
    try:
        (marks.wait + marks.run + marks.rule).encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return _ASCII
    return marks


def width_of(stream: TextIO) -> int:
    """Return how many columns a line may have: 80 for a file or a pipe, unless COLUMNS says otherwise."""
    columns = shutil.get_terminal_size().columns if stream.isatty() or "COLUMNS" in os.environ else 80
    return min(columns, _WIDEST)


def print_lines(lines: Iterable[Line], stream: TextIO) -> None:
    """Write ``lines``, in colour where ``stream`` is a terminal, rich is there and NO_COLOR is not set."""
    if _rich is not None:
        _rich.write_lines(lines, _STYLES, stream)
        return
    stream.writelines("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


class Progress:
    """Shows how many items of a run are answered; this one shows nothing. A context manager."""

    def begin(self, name: str, total: int) -> None:
        """Start a run of ``total`` items at zero."""

    def tick(self) -> None:
        """Count one item."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing on the screen."""


def progress(stream: TextIO) -> Progress:
    """Return a progress bar for ``stream``: one that shows nothing where that is no terminal."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return Progress()
    if _rich is None:
        return _PlainBar(stream)
    return _RichBar(_rich.progress_on(stream))


class _PlainBar(Progress):
    """One line, drawn again at most ten times a second, and wiped at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._marks = marks_for(stream)
        self._name, self._total, self._done = "", 1, 0
        self._next = 0.0  # when it may be drawn again

    def begin(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._draw()

    def tick(self) -> None:
        self._done += 1
        if time.monotonic() >= self._next:
            self._draw()

    def _draw(self) -> None:
        room = max(1, min(40, width_of(self._stream) - len(self._name) - 16))
        filled = self._marks.run * (room * self._done // self._total)
        self._write(f"{self._name}  {filled:{self._marks.wait}<{room}} {self._done}/{self._total}")
        self._next = time.monotonic() + 0.1

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")


class _RichBar(Progress):
    """The same by rich."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._run = bar.add_task("", total=1)

    def begin(self, name: str, total: int) -> None:
        self._bar.reset(self._run, total=total, description=name)

    def tick(self) -> None:
        self._bar.advance(self._run)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
