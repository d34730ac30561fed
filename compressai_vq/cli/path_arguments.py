"""Names of files and folders, as a command line gives them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .standard_streams import STANDARD

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


def any_path(text: str) -> Path:
    """A file, a folder, or ``-`` for a standard stream.

    Raises:
        ArgumentTypeError: for an empty name, such as that of a variable that is not set, which
            would be the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("an empty name; write . for the current folder")
    return Path(text)


def stored_path(text: str) -> Path:
    """A file or folder of a command that has no use for standard streams there.

    Raises:
        ArgumentTypeError: for ``-`` and an empty name.
    """
    path = any_path(text)
    if path == STANDARD:
        raise argparse.ArgumentTypeError("- is no standard stream here; of a file write ./-")
    return path


def file_path(text: str) -> Path:
    """A file to write, or ``-``.

    Raises:
        ArgumentTypeError: for an empty name and one that ends as folders' do.
    """
    if text.endswith(_SEPARATORS):
        raise argparse.ArgumentTypeError(f"{text} is the name of a folder, and this is a file's")
    return any_path(text)


def stored_file_path(text: str) -> Path:
    """A file to write, by a command that has no use for standard output there.

    Raises:
        ArgumentTypeError: as :func:`stored_path` and :func:`file_path`.
    """
    file_path(text)
    return stored_path(text)


class FileOrFolder(argparse.Action):
    """Keeps a path, and as NAME_is_folder whether it was written as folders are: ``new/``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the text of one argument."""
        try:
            path = any_path(values)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, path)
        setattr(namespace, f"{self.dest}_is_folder", values.endswith(_SEPARATORS))
