"""``python -m asyncfan`` and the console script ``asyncfan``: the commands, each from a module of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .demo.command import add_demo
from .inspector.command import add_inspect

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (more: {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` name, those of the process by default, and return the exit code.

    Raises:
        SystemExit: Code 2 after a line on stderr that says which argument is wrong; 0 after ``--help``.
    """
    parser = _Parser(prog="asyncfan", description="Fan-out, batching and caching for asyncio.", allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_demo(commands)
    add_inspect(commands)
    try:
        options = parser.parse_args(arguments)
        code: int = options.run(options)
    except KeyboardInterrupt:
        sys.stderr.write("asyncfan: stopped\n")
        return 130
    except BrokenPipeError:  # the reader of stdout, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would fail again
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
