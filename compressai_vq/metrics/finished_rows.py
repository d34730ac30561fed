"""What an interrupted evaluation had measured, so that the next one goes on from there.

A text file of JSON lines: the first says what the rows depend on (weights, settings,
metrics), each further one is a row and what it was measured on.  Rows are appended as they
come; a last line that was cut off is dropped when the file is read.  Two evaluations that
write to one file would each cut off what the other has added, so the second to add a row stops.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from ..errors import CodecError


class RowsNotKept(CodecError):
    """Rows cannot be written: whatever else is measured would be lost likewise."""


class FinishedRows:
    """Rows on disk under a name each.

    Nothing is written before the first row.

    Args:
        path: the file, or ``None`` to keep nothing between runs.
        depends_on: what must be the same for rows to be used again; a file that says
            something else is replaced by the first row.
    """

    def __init__(self, path: Path | None, depends_on: dict[str, Any]) -> None:
        self._path = path
        self._head = json.dumps(depends_on, sort_keys=True)
        self._rows: dict[str, dict[str, Any]] = {}
        # How much of the file is whole lines of this evaluation's, and how long it was when it
        # was last seen; None where there was none.
        self._good = 0
        self._length: int | None = None
        if path is not None and path.is_file():
            self._read(path)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, name: str) -> dict[str, Any] | None:
        """The row of that name, if it is finished."""
        row = self._rows.get(name)
        return None if row is None else dict(row)

    def add(self, name: str, row: dict[str, Any]) -> None:
        """Keep a row.

        Raises:
            RowsNotKept: when the file cannot be written to, or is no longer as this evaluation
                left it.
        """
        self._rows[name] = dict(row)
        if self._path is None:
            return
        text = json.dumps([name, row]) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            length = self._path.stat().st_size if self._path.exists() else None
            if length != self._length:
                raise RowsNotKept(
                    f"{self._path} is written by another evaluation too: "
                    "run this again when that one has ended"
                )
            with self._path.open("ab") as file:
                file.truncate(self._good)
                data = (text if self._good else f"{self._head}\n{text}").encode()
                file.write(data)
        except OSError as error:
            with contextlib.suppress(OSError):  # of a full disk: a part of the row may be there
                self._length = self._path.stat().st_size
            raise RowsNotKept(f"cannot write {self._path}: {error.strerror}") from error
        self._good += len(data)
        self._length = self._good

    def remove(self) -> None:
        """Delete the file: the evaluation is complete and written elsewhere."""
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        self._length = len(data)
        lines = data.splitlines(keepends=True)
        if not lines or lines[0].rstrip() != self._head.encode():
            return
        good = len(lines[0])
        for line in lines[1:]:
            try:
                name, row = json.loads(line)
            except (ValueError, TypeError):
                break
            plain = isinstance(name, str) and isinstance(row, dict)
            if not plain or not line.endswith(b"\n"):
                break
            self._rows[name] = row
            good += len(line)
        self._good = good
