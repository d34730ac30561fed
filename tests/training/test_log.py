"""A run's log when its figures change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.training.log import append_row, last_row, read_rows


def test_steps_that_are_made_again_are_logged_once(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for step, loss in ((250, 0.5), (500, 0.4), (750, 0.3)):
        append_row(path, {"step": step, "loss": loss})
    append_row(path, {"step": 500, "loss": 0.45})
    append_row(path, {"step": 750, "loss": 0.35})
    assert read_rows(path) == [
        {"step": 250, "loss": 0.5},
        {"step": 500, "loss": 0.45},
        {"step": 750, "loss": 0.35},
    ]


def test_a_row_that_cannot_be_written_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.csv"
    append_row(path, {"step": 1, "loss": 0.5})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CodecError, match=r"cannot write .*log.csv: No space left on device"):
            append_row(path, {"step": 2, "loss": 0.25})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    append_row(path, {"step": 2, "loss": 0.25})
    assert [row["step"] for row in read_rows(path)] == [1, 2]


def test_columns_are_added(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    append_row(path, {"step": 1, "loss": 0.5})
    append_row(path, {"step": 2, "loss": 0.25, "lattice": 0.125})
    append_row(path, {"loss": 0.2, "step": 3})
    assert path.read_text().splitlines() == [
        "step,loss,lattice",
        "1,0.5,",
        "2,0.25,0.125",
        "3,0.2,",
    ]
    assert read_rows(path) == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25, "lattice": 0.125},
        {"step": 3, "loss": 0.2},
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("rows", ["abc,1", "1,x", ",1", "1,2,3"])
def test_damage_is_one_line_and_stays_as_it_is(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"step,loss\n{rows}\n")
    for use in (read_rows, last_row, lambda path: append_row(path, {"step": 2, "loss": 1})):
        with pytest.raises(CodecError, match="is damaged"):
            use(path)
    assert path.read_text() == f"step,loss\n{rows}\n"
