from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.metrics.finished_rows import FinishedRows, RowsNotKept

SETTINGS = {"weights": "abc", "metrics": ["lpips"]}


def test_rows_are_there_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows"
    first = FinishedRows(path, SETTINGS)
    assert not path.parent.exists()
    first.add("a 1", {"bpp": 0.1, "ms-ssim-rgb": math.nan})
    first.add("a 2", {"bpp": 0.1 + 0.2})
    second = FinishedRows(path, SETTINGS)
    assert len(second) == 2
    assert second.get("a 2") == {"bpp": 0.1 + 0.2}
    nan = second.get("a 1")
    assert nan is not None and math.isnan(nan["ms-ssim-rgb"])
    assert second.get("a 3") is None
    second.add("a 3", {"bpp": 1})
    assert len(FinishedRows(path, SETTINGS)) == 3
    second.remove()
    assert not path.exists()
    second.remove()


def test_other_settings_start_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    FinishedRows(path, SETTINGS).add("a", {"bpp": 1})
    other = FinishedRows(path, {**SETTINGS, "weights": "xyz"})
    assert other.get("a") is None
    assert len(FinishedRows(path, SETTINGS)) == 1  # until the other measures something
    other.add("a", {"bpp": 2})
    assert len(FinishedRows(path, SETTINGS)) == 0
    assert FinishedRows(path, {**SETTINGS, "weights": "xyz"}).get("a") == {"bpp": 2}


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "rows"
    rows = FinishedRows(path, SETTINGS)
    rows.add("a", {"bpp": 1})
    rows.add("b", {"x": 2})
    path.write_bytes(path.read_bytes()[:-cut])
    again = FinishedRows(path, SETTINGS)
    assert again.get("a") == {"bpp": 1}
    assert again.get("b") is None
    again.add("c", {"bpp": 3})
    third = FinishedRows(path, SETTINGS)
    assert (third.get("a"), third.get("b"), third.get("c")) == ({"bpp": 1}, None, {"bpp": 3})


@pytest.mark.parametrize("line", ['["b", 1]', '["b", null]', '["b", []]', "[1, {}]", '{"b": {}}'])
def test_what_is_no_row_is_dropped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows"
    FinishedRows(path, SETTINGS).add("a", {"bpp": 1})
    path.write_text(path.read_text() + line + "\n")
    again = FinishedRows(path, SETTINGS)
    assert (again.get("a"), again.get("b"), len(again)) == ({"bpp": 1}, None, 1)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("settings", [SETTINGS, {**SETTINGS, "weights": "xyz"}])
def test_of_two_evaluations_the_second_to_write_stops(
    tmp_path: Path, before: bool, settings: dict[str, Any]
) -> None:
    path = tmp_path / "rows"
    if before:
        FinishedRows(path, SETTINGS).add("z", {"bpp": 0})
    first, second = FinishedRows(path, SETTINGS), FinishedRows(path, settings)
    first.add("a", {"bpp": 1})
    with pytest.raises(CodecError, match="written by another evaluation too"):
        second.add("b", {"bpp": 2})
    first.add("c", {"bpp": 3})
    kept = FinishedRows(path, SETTINGS)
    assert [kept.get(name) for name in "abc"] == [{"bpp": 1}, None, {"bpp": 3}]


@pytest.mark.parametrize("before", [True, False])
def test_a_full_disk_is_told_each_time_and_can_be_mended(
    tmp_path: Path, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows"
    rows = FinishedRows(path, SETTINGS)
    if before:
        rows.add("a", {"bpp": 1})
    opened = Path.open

    def full(self: Path, *mode: Any) -> Any:
        with opened(self, *mode) as file:
            file.write(b"a part of a row")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        for name in "bc":
            with pytest.raises(RowsNotKept, match="rows: No space left on device"):
                rows.add(name, {"bpp": 2})
    rows.add("d", {"bpp": 3})
    kept = FinishedRows(path, SETTINGS)
    assert [kept.get(name) for name in "abcd"] == [
        {"bpp": 1} if before else None,
        None,
        None,
        {"bpp": 3},
    ]


def test_an_evaluation_stops_when_another_has_written_its_result(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    first = FinishedRows(path, SETTINGS)
    first.add("a", {"bpp": 1})
    second = FinishedRows(path, SETTINGS)
    second.remove()
    with pytest.raises(CodecError, match="written by another evaluation too"):
        first.add("b", {"bpp": 2})
    assert not path.exists()


def test_nothing_is_kept_without_a_path(tmp_path: Path) -> None:
    rows = FinishedRows(None, SETTINGS)
    rows.add("a", {"bpp": 1})
    assert rows.get("a") == {"bpp": 1}
    rows.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_is_handed_out_is_a_copy() -> None:
    rows = FinishedRows(None, SETTINGS)
    rows.add("a", {"bpp": 1})
    found = rows.get("a")
    assert found is not None
    found["bpp"] = 2
    assert rows.get("a") == {"bpp": 1}


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rows = FinishedRows(tmp_path / "file" / "rows", SETTINGS)
    with pytest.raises(CodecError, match="cannot write"):
        rows.add("a", {"bpp": 1})


@pytest.mark.parametrize("line", [b"5\n", b"[1]\n", b"[[], {}]\n", b"null\n"])
def test_a_line_that_is_no_row_is_dropped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.rows"
    FinishedRows(path, {"a": 1}).add("one", {"x": 1.0})
    with path.open("ab") as file:
        file.write(line)
    rows = FinishedRows(path, {"a": 1})
    assert rows.get("one") == {"x": 1.0}
