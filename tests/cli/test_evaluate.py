from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compressai_vq import evaluation
from compressai_vq.cli import evaluate
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.metrics.finished_rows import FinishedRows, RowsNotKept
from compressai_vq.metrics.picture_metrics import NAMES, PictureMetrics
from compressai_vq.picture import write_picture

from ..fixtures import photograph
from .conftest import Run, files_below


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "sub").mkdir(parents=True)
    write_picture(folder / "a.png", photograph(48, 64))
    write_picture(folder / "sub" / "b.png", photograph(33, 17, 1))
    return folder


def test_table(run: Run, small: Path, weights_file: Path) -> None:
    result = run("eval", small, "-q", "9,1", "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    head, *rows = result.out.splitlines()
    assert head.split()[:4] == ["quality", "bytes", "bpp", "psnr-rgb"]
    assert [float(row.split()[0]) for row in rows] == [1, 9]


def test_report(run: Run, small: Path, weights_file: Path, codec: FileCodec) -> None:
    path = small / "report.json"
    result = run("eval", small, "-q", "2,7", "-o", path, "--json", "--weights", weights_file)
    assert result.code == 0
    report = json.loads(path.read_text())
    assert report["name"] == "mao2024-vqgan-lite"
    assert report["fingerprint"] == codec.weights.fingerprint.hex()
    assert report["dataset"] == {"folder": "small", "images": 2}
    assert len(result.json["images"]) == len(report["images"]) == 4
    for row in report["images"]:
        picture = photograph(48, 64) if row["image"] == "a.png" else photograph(33, 17, 1)
        data = codec.compress(picture, row["quality"])
        assert row["bytes"] == len(data)
        assert row["psnr-rgb"] == psnr(picture, codec.decompress(data))
    for n, quality in enumerate((2, 7)):
        of_quality = [row for row in report["images"] if row["quality"] == quality]
        mean = math.fsum(row["psnr-rgb"] for row in of_quality) / 2
        assert report["results"]["psnr-rgb"][n] == pytest.approx(mean)
    assert report["results"]["quality"] == [2, 7]


def test_all_that_was_given_is_named_once(
    run: Run, small: Path, weights_file: Path, tmp_path: Path
) -> None:
    inputs = (small, small, small / "a.png")
    result = run("eval", *inputs, "-q", 1, "--json", "--weights", weights_file)
    assert result.json["dataset"] == {"folder": "small, a.png", "images": 2}
    result = run("eval", small, "-q", ",", "--weights", weights_file)
    assert result.code == 2 and "-q takes numbers such as 1,5,9" in result.errors[0]


def test_bad_input(run: Run, small: Path, weights_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_bytes(b"text")
    output = tmp_path / "report.json"
    cases = [
        ((small, "-q", "1,x"), "-q takes numbers"),
        ((small, "-q", "10"), "not 10"),
        ((tmp_path / "empty",), "no files that end in"),
        ((tmp_path / "missing",), "no such file"),
        ((tmp_path / "text.png", "-q", "1"), "text.png: not an image"),
    ]
    for arguments, words in cases:
        result = run("eval", *arguments, "-o", output, "--weights", weights_file)
        assert (result.code, result.out) == (2, "")
        (line,) = result.errors
        assert words in line
        assert not output.exists()


def test_one_bad_image_does_not_lose_the_others(
    run: Run, small: Path, weights_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_bytes(b"text")
    arguments = (small, tmp_path / "text.png", "-q", "1", "--json", "--weights", weights_file)
    result = run("eval", *arguments)
    assert result.code == 2
    assert "text.png: not an image" in result.errors[0]
    assert result.json["dataset"]["images"] == len(result.json["images"]) == 2


def test_a_small_image_leaves_ms_ssim_to_the_others(
    run: Run, small: Path, weights_file: Path
) -> None:
    write_picture(small / "large.png", photograph(176, 192))
    result = run("eval", small, "-q", "1,2", "--json", "--weights", weights_file)
    assert result.code == 0
    (line,) = result.err.splitlines()
    assert line.startswith("warning: ms-ssim-rgb is not defined for 2 of 3 images")
    scores = [row["ms-ssim-rgb"] for row in result.json["images"] if row["image"] == "large.png"]
    assert result.json["results"]["ms-ssim-rgb"] == scores and None not in scores


def test_where_the_report_goes_is_checked_first(
    run: Run, small: Path, weights_file: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.json"
    old.write_text("old")
    for output, words in ((old / "a.json", "is no folder to write to"), (old, "--force")):
        result = run("eval", small, "-q", "1", "-o", output, "--weights", weights_file)
        assert (result.code, result.out) == (2, "")
        assert words in result.errors[0]
    assert old.read_text() == "old"


class Interruption:
    """Stands for a person who presses Ctrl-C at the n-th picture."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int | None = None) -> None:
        self.calls = 0
        self._after = after
        self._measure = evaluation.evaluate_picture
        monkeypatch.setattr(evaluation, "evaluate_picture", self)

    def __call__(self, *arguments: Any) -> dict[str, float]:
        if self.calls == self._after:
            raise KeyboardInterrupt
        self.calls += 1
        return self._measure(*arguments)


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    rows = [{k: v for k, v in r.items() if not k.endswith("_time")} for r in report["images"]]
    return {**report, "images": rows, "results": None}


def test_an_interrupted_run_goes_on(
    run: Run, small: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, whole = tmp_path / "report.json", tmp_path / "whole.json"
    arguments = ("eval", small, "-q", "1,2,3", "--weights", weights_file, "-o")
    run(*arguments, whole)
    with monkeypatch.context() as patch:
        Interruption(patch, after=4)
        result = run(*arguments, output)
    assert (result.code, result.err) == (130, "interrupted\n")
    assert not output.exists()
    assert files_below(tmp_path) > {"report.json.rows"}
    with monkeypatch.context() as patch:
        second = Interruption(patch)
        assert run(*arguments, output).code == 0
    assert second.calls == 2
    report = json.loads(output.read_text())
    assert without_times(report) == without_times(json.loads(whole.read_text()))
    assert not any("rows" in name for name in files_below(tmp_path))


def test_rows_of_other_images_and_qualities_are_not_used(
    run: Run, small: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "report.json"
    with monkeypatch.context() as patch:
        Interruption(patch, after=3)
        run("eval", small, "-q", "1,2", "--weights", weights_file, "-o", output)
    # The first image is another one now, under its old name.
    write_picture(small / "a.png", photograph(40, 40, 1))
    with monkeypatch.context() as patch:
        second = Interruption(patch)
        arguments = ("-q", "1,3", "--weights", weights_file, "-o", output)
        assert run("eval", small, *arguments).code == 0
    assert second.calls == 3
    rows = json.loads(output.read_text())["images"]
    assert [(row["image"], row["quality"]) for row in rows] == [
        ("a.png", 1), ("a.png", 3), ("b.png", 1), ("b.png", 3),
    ]  # fmt: skip
    assert [round(row["bytes"] * 8 / row["bpp"]) for row in rows] == [1600, 1600, 561, 561]


def test_rows_of_other_settings_are_not_used(
    run: Run, small: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "report.json"
    arguments = ("eval", small, "-q", "1", "--weights", weights_file, "-o", output)
    with monkeypatch.context() as patch:
        Interruption(patch, after=1)
        assert run(*arguments).code == 130
    with monkeypatch.context() as patch:
        second = Interruption(patch)
        assert run(*arguments, "--precision", "fp32").code == 0
    assert second.calls == 2


def test_perceptual_metrics(run: Run, small: Path, weights_file: Path) -> None:
    arguments = (small, "-q", "1,9", "--lpips", "--dists", "--json", "--weights", weights_file)
    try:
        PictureMetrics(NAMES, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    report = run("eval", *arguments).json
    for row in report["images"]:
        # 33x17 pixels are too few for AlexNet.
        assert (row["lpips"] is None) == (row["image"] == "b.png")
        assert 0 < row["lpips-vgg"] < 1.5
        assert 0 < row["dists"] < 1


def test_a_picture_is_not_replaced_by_its_report(
    run: Run, small: Path, weights_file: Path
) -> None:
    picture = next(path for path in small.iterdir() if path.suffix == ".png")
    before = picture.read_bytes()
    result = run("eval", picture, "-q", 1, "-o", picture, "-f", "--weights", weights_file)
    assert result.code == 2 and "input and output are the same file" in result.err
    assert picture.read_bytes() == before


def test_the_report_is_written_before_it_is_shown(
    run: Run, small: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> str:
        raise OSError("the reader has gone")

    monkeypatch.setattr(evaluate, "_table", gone)
    target = tmp_path / "report.json"
    result = run("eval", small, "-q", 1, "-o", target, "--weights", weights_file)
    assert result.code == 2
    assert json.loads(target.read_text())["results"]["quality"] == [1]


def test_rows_that_cannot_be_kept_end_it(
    run: Run,
    photographs: Path,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def full(self: FinishedRows, name: str, _: object) -> None:
        asked.append(name)
        raise RowsNotKept("cannot write report.json.rows: No space left on device")

    monkeypatch.setattr(FinishedRows, "add", full)
    target = tmp_path / "report.json"
    result = run("eval", photographs, "-q", "1,9", "-o", target, "--weights", weights_file)
    assert (result.code, result.out) == (2, "")
    assert result.errors == ["error: cannot write report.json.rows: No space left on device"]
    assert len(asked) == 1 and not target.exists()


def test_an_image_that_fails_midway_counts_at_no_quality(
    run: Run, photographs: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = evaluate._measure

    def failing(path: Path, *arguments: Any) -> Iterator[dict[str, Any]]:
        rows = measure(path, *arguments)
        if path.name == "odd.webp":
            yield next(iter(rows))
            raise MemoryError
        yield from rows

    monkeypatch.setattr(evaluate, "_measure", failing)
    result = run("eval", photographs, "-q", "1,9", "--json", "--weights", weights_file)
    assert result.code == 2 and "odd.webp: out of memory" in result.err.splitlines()[0]
    assert result.json["dataset"]["images"] == 2
    assert [row["quality"] for row in result.json["images"]] == [1, 9, 1, 9]
