"""Times of codecs, side by side, on codecs that sleep."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.codecs import OURS
from benchmarks.report.times import times
from benchmarks.times import keep_others, main, measure
from compressai_vq.picture import write_picture
from plugins.still_codecs.still_picture import StillPictureCodec


class Sleeper(StillPictureCodec):
    label = "Sleeper"
    description = "it sleeps"
    extension = ".zzz"
    qualities = (1, 2, 3, 4, 5)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[int] = []

    def compress(self, picture: Tensor, quality: int) -> bytes:
        self.asked.append(quality)
        time.sleep(self.seconds)
        return bytes(quality)

    def decompress(self, data: bytes) -> Tensor:
        time.sleep(2 * self.seconds)
        return torch.zeros(3, 8, 8, dtype=torch.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        write_picture(path, torch.zeros(3, 8, 8, dtype=torch.uint8))
    return paths


def test_ratios_are_taken_image_by_image(pictures: list[Path]) -> None:
    fast, slow = Sleeper(0.004), Sleeper(0.016)
    report = measure({OURS: fast, "slow": slow}, pictures)
    row = report["codecs"]["slow"]
    # Sleeping takes no less than asked for, and on a busy machine far longer.
    assert row["encoding_time"] >= 0.016 and row["decoding_time"] >= 0.032
    assert report["codecs"][OURS]["times_ours"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    assert row["times_ours"]["min"] <= row["times_ours"]["median"] <= row["times_ours"]["max"]
    # Lowest, middle and highest; the first image twice, to warm up.
    assert slow.asked == [1, 1, 3, 3, 5, 5, 1, 3, 5]
    assert row["bpp"] == [8 * 1 / 64, 8 * 5 / 64]


def test_the_reports_table_prefers_times_taken_side_by_side(
    tmp_path: Path, pictures: list[Path]
) -> None:
    report = measure({OURS: Sleeper(0.0), "slow": Sleeper(0.001)}, pictures)
    report["dataset"] = {"name": "kodak", "images": ["a.png", "b.png"]}
    assert "times ours" not in times("kodak", {}, tmp_path).columns
    (tmp_path / "times-kodak.json").write_text(json.dumps(report))
    table = times("kodak", {}, tmp_path)
    assert [row[0] for row in table.rows] == ["Sleeper", "Sleeper"]
    assert table.rows[0][4] == "1.0"
    assert "2 images" in table.notes[0]


def test_codecs_that_were_not_measured_again_keep_their_times(
    tmp_path: Path, pictures: list[Path]
) -> None:
    path = tmp_path / "times-kodak.json"
    dataset = {"name": "kodak", "images": ["a.png", "b.png"]}
    earlier = measure({OURS: Sleeper(0.0), "vvc": Sleeper(0.001)}, pictures)
    earlier["codecs"][OURS]["beside"] = earlier["codecs"]["vvc"]["beside"] = "ab" * 32
    path.write_text(json.dumps(earlier | {"dataset": dataset}))
    report = measure({OURS: Sleeper(0.0), "hevc": Sleeper(0.001)}, pictures)
    report["dataset"] = dataset
    keep_others(report, path)
    assert list(report["codecs"]) == [OURS, "vvc", "hevc"]
    assert report["codecs"]["vvc"] == earlier["codecs"]["vvc"]
    assert report["codecs"][OURS] != earlier["codecs"][OURS]
    path.write_text(json.dumps(report))
    table = times("kodak", {}, tmp_path)
    assert [row[0] for row in table.rows] == ["Sleeper", "Sleeper\N{SUPERSCRIPT ONE}", "Sleeper"]
    assert table.notes[-1].startswith("\N{SUPERSCRIPT ONE} In an earlier run (")
    assert table.notes[-1].endswith("beside ours with weights `abababababababab`.")
    # Not where it was of other images.
    path.write_text(json.dumps(earlier | {"dataset": {**dataset, "images": ["c.png"]}}))
    report = measure({OURS: Sleeper(0.0), "hevc": Sleeper(0.001)}, pictures)
    report["dataset"] = dataset
    keep_others(report, path)
    assert list(report["codecs"]) == [OURS, "hevc"]


def test_a_folder_without_images_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--dataset", f"x={tmp_path}", "--codecs", OURS]) == 2
    error = capsys.readouterr().err
    assert "no images in it" in error and error.count("\n") == 1
