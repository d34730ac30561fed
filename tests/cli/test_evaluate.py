from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import write_picture

from ..fixtures import photograph
from .conftest import Run


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


def test_where_the_report_goes_is_checked_first(
    run: Run, small: Path, weights_file: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.json"
    old.write_text("old")
    for output, words in ((tmp_path / "no" / "a.json", "no such folder"), (old, "--force")):
        result = run("eval", small, "-q", "1", "-o", output, "--weights", weights_file)
        assert (result.code, result.out) == (2, "")
        assert words in result.errors[0]
    assert old.read_text() == "old"
