"""The log of a run: one row of figures for every so many steps, as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ..atomic_file import write_atomically
from ..errors import CodecError


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append one row, by a new file; it and its header are made with the first.

    When the figures are other ones than before, as after a change of settings, columns are
    added, and a figure that a row lacks is left blank.

    Rows of the same ``step`` or a later one are dropped: a run that ended between its log and
    its state makes these steps again.

    Raises:
        CodecError: when the file cannot be written, or is damaged; it stays as it was then.
    """
    columns: list[str] = []
    if path.exists():
        with path.open(newline="") as file:
            columns = next(csv.reader(file), [])
    logged = _rows(path) if columns else []
    earlier = [each for each in logged if float(each["step"]) < row["step"]]
    columns = [*columns, *(name for name in row if name not in columns)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows([*earlier, row])
    write_atomically(path, text.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, float]]:
    """All rows, oldest first, each without the figures that it lacks.

    Raises:
        CodecError: for a damaged file.
    """
    return [{k: float(v) for k, v in row.items() if v} for row in _rows(path)]


def last_row(path: Path) -> dict[str, float]:
    """The row that was written last.

    Raises:
        CodecError: when there is none, and for a damaged file.
    """
    rows = read_rows(path)
    if not rows:
        raise CodecError(f"{path} is damaged: it has no rows")
    return rows[-1]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        for row in rows:
            _ = [float(row["step"]), *(float(value or 0) for value in row.values())]
    except (KeyError, TypeError, ValueError) as error:
        raise CodecError(f"{path} is damaged: mend its rows, or remove it") from error
    return rows
