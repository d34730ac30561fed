"""Compressed files that ``python -m benchmarks.compare`` left, by image, codec and quality."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"(?P<image>.+)\.q(?P<quality>\d+)\.[^.]+")


def find_streams(folder: Path) -> dict[str, dict[str, dict[int, Path]]]:
    """Files ``folder/<codec>/<image>.q<quality>.<ending>``.

    Returns:
        Image, without ending, to codec to quality to file; empty if there is no such folder.
    """
    found: dict[str, dict[str, dict[int, Path]]] = {}
    for path in sorted(folder.glob("*/*")):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            by_codec = found.setdefault(match["image"], {}).setdefault(path.parent.name, {})
            by_codec[int(match["quality"])] = path
    return found
