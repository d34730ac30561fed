"""The files of a folder and of the folders in it, without losing any in silence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_Identity = tuple[int, int]


def files_in(folder: Path, endings: Iterable[str]) -> list[Path]:
    """Files by their endings, sorted; links to files and folders are followed.

    Not those that macOS leaves beside others where a file system has no room for what it knows of
    them: :func:`is_beside`.

    What should be read and cannot be is among them, for whoever reads it to fail and say so:
    folders that cannot be looked into, and links that lead nowhere.  A folder that has been come
    through is not entered again.

    Args:
        folder: to search.
        endings: in lower case, with their dots.
    """
    return sorted(_found(folder, frozenset(endings), frozenset()))


def is_beside(name: str) -> bool:
    """Whether it is such a file: ``._photo.jpg`` is no photograph."""
    return name.startswith("._")


def _found(folder: Path, endings: frozenset[str], above: frozenset[_Identity]) -> Iterator[Path]:
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            listed = list(entries)
    except OSError:
        yield folder
        return
    identity = (status.st_dev, status.st_ino)
    if identity in above:  # by a link
        return
    for entry in listed:
        path = folder / entry.name
        if _is(entry.is_dir):
            yield from _found(path, endings, above | {identity})
        elif is_beside(entry.name):
            continue
        elif path.suffix.lower() in endings and (_is(entry.is_file) or not os.path.exists(path)):
            yield path


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link that may not be followed
        return False
