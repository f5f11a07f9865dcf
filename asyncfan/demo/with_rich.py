"""The lines and the progress bar through rich; importing this fails where rich is not installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

__all__ = ["progress_on", "write_lines"]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - called where it is handled; rich would end the process with code 1 here


def write_lines(lines: Iterable[list[tuple[str, str]]], styles: Mapping[str, str], stream: TextIO) -> None:
    """Write lines of (text, style) pieces; rich knows NO_COLOR, and that a file or a pipe gets no colours."""
    console = _Console(file=stream, highlight=False, soft_wrap=True)
    for line in lines:
        text = Text.assemble(*((piece, styles[style]) for piece, style in line))
        text.rstrip()
        console.print(text)


def progress_on(stream: TextIO) -> RichProgress:
    """Return a bar that is gone when it stops, and leaves stdout alone."""
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
