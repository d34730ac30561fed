"""Command lines that say what is wrong in one line, and not how everything is used."""

from __future__ import annotations

import argparse
from typing import NoReturn


class ArgumentParser(argparse.ArgumentParser):
    """As argparse's, but for what it prints of bad arguments."""

    command: str | None = None
    """Of a parser of commands: the one asked for, of whose unknown options it tells."""

    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2 and one line."""
        helpful = f"{self.prog} {self.command}" if self.command else self.prog
        self.exit(2, f"error: {' '.join(message.split())}; see {helpful} --help\n")


def positive(text: str) -> int:
    """A number above 0, as ``type`` of an argument."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)
