"""A report's tables and their rows, by name."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.build import build_report
from benchmarks.report.tables import Table


def tables(folder: Path) -> dict[str, Table]:
    """All tables of the results in a folder."""
    return {table.name: table for table in build_report(folder).tables}


def cells(table: Table, row: str) -> list[str]:
    """The one row whose first cell begins so."""
    (found,) = (cells for cells in table.rows if cells[0].startswith(row))
    return found
