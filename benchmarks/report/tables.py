"""Tables: each once, as Markdown and for the page."""

from __future__ import annotations

from dataclasses import dataclass, field

NOTHING = "\N{EN DASH}"
"""What a cell shows where there is no figure."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.

    Attributes:
        name: a name for a file, without ending.
        caption: what it shows.
        columns: headings; all columns but the first ``text_columns`` are aligned right.
        rows: a cell for each heading.
        notes: what has to be known to read it, a sentence each.
        text_columns: how many columns hold words.
    """

    name: str
    caption: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    text_columns: int = 1

    def markdown(self) -> str:
        """As Markdown: the table, then the notes; without the caption."""
        marks = ["---" if n < self.text_columns else "--:" for n in range(len(self.columns))]
        rows = [self.columns, marks, *self.rows]
        lines = ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]
        if self.notes:
            lines += ["", " ".join(self.notes)]
        return "\n".join(lines)


def signed(value: float, digits: int, unit: str = "") -> str:
    """A difference, with its sign (a minus as long as the plus) and a unit."""
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return f"{text} {unit}" if unit else text


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
