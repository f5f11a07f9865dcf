"""Where text goes: through rich if it is installed, as it is if not; and the progress bar on a terminal."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from .report import Line, Marks

try:
    import rich.console
    import rich.progress
    import rich.text
except ImportError:
    _RICH = False
else:
    _RICH = True

__all__ = ["Progress", "marks_for", "print_lines", "progress", "width_of"]

_STYLES = {
    "title": "bold",
    "label": "cyan",
    "dim": "bright_black",
    "number": "bold",
    "good": "green",
    "bad": "bold red",
    "run": "cyan",
    "": "",
}
_ASCII = Marks(wait=".", run="=", rule="-")
_WIDEST = 140


class Progress(Protocol):
    """A bar that shows how many items of a run are answered; a context manager, gone at its end."""

    def begin(self, name: str, total: int) -> None:
        """Start a run of ``total`` items at zero."""

    def tick(self) -> None:
        """Count one item."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def marks_for(stream: TextIO) -> Marks:
    """Return the marks that ``stream`` can show."""
    marks = Marks()
    try:
        (marks.wait + marks.run + marks.rule).encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return _ASCII
    return marks


def width_of(stream: TextIO) -> int:
    """Return how many columns a line may have: 80 for a file or a pipe, unless COLUMNS says otherwise."""
    columns = shutil.get_terminal_size().columns if stream.isatty() or "COLUMNS" in os.environ else 80
    return min(columns, _WIDEST)


def print_lines(lines: Iterable[Line], stream: TextIO) -> None:
    """Write ``lines``, in colour where ``stream`` is a terminal, rich is there and NO_COLOR is not set."""
    if not _RICH:
        stream.writelines("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
        return
    console = rich.console.Console(file=stream, highlight=False, soft_wrap=True)
    for line in lines:
        text = rich.text.Text.assemble(*((piece, _STYLES[style]) for piece, style in line))
        text.rstrip()
        console.print(text)


def progress(stream: TextIO) -> Progress:
    """Return a progress bar for ``stream``: one that shows nothing where that is no terminal."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return _Silent()
    return _RichBar(stream) if _RICH else _PlainBar(stream)


class _Silent:
    """Shows nothing."""

    def begin(self, name: str, total: int) -> None:
        pass

    def tick(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _PlainBar(_Silent):
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
        room = max(10, min(40, width_of(self._stream) - len(self._name) - 16))
        filled = self._marks.run * (room * self._done // self._total)
        self._stream.write(
            f"\r\x1b[K{self._name}  {filled:{self._marks.wait}<{room}} {self._done}/{self._total}"
        )
        self._stream.flush()
        self._next = time.monotonic() + 0.1

    def __exit__(self, *_: object) -> None:
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class _RichBar(_Silent):
    """The same by rich."""

    def __init__(self, stream: TextIO) -> None:
        console = rich.console.Console(file=stream)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._run: Any = self._bar.add_task("", total=1)

    def begin(self, name: str, total: int) -> None:
        self._bar.reset(self._run, total=total, description=name)

    def tick(self) -> None:
        self._bar.advance(self._run)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
