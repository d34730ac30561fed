from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import refinement_steps
from benchmarks.refinement_steps import main, measure, steps_table
from compressai_vq.metrics.picture_metrics import NAMES, PictureMetrics
from compressai_vq.picture import write_picture

from ..fixtures import photograph


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    for n in range(2):
        write_picture(tmp_path / f"{n}.png", photograph(80, 96 + 16 * n))
    return sorted(tmp_path.iterdir())


def test_more_steps_come_closer_and_take_longer(pictures: list[Path]) -> None:
    try:
        PictureMetrics(NAMES, allow_download=False)
    except refinement_steps.CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    report = measure(pictures, [4, 1], 9)
    assert list(report["steps"]) == ["0", "1", "4"] and len(report["images"]) == 2
    none, four = report["steps"]["0"], report["steps"]["4"]
    assert none["times_longer"] == {"median": 1, "min": 1, "max": 1}
    assert four["times_longer"]["min"] > 1
    assert four["lpips"] < none["lpips"] and four["dists"] < none["dists"]
    assert len(steps_table(report).splitlines()) == 2 + 3 + 2


def test_table() -> None:
    ratio = {"median": 41.3, "min": 39.6, "max": 44.4}
    row = {"bytes": 1041.2, "lpips": 0.1881, "lpips-vgg": 0.42, "dists": 0.163, "psnr-rgb": 20.61}
    report = {
        "machine": {"cpu": "a CPU"},
        "fingerprint": "ab" * 32,
        "prior": "cd" * 32,
        "folder": "kodak",
        "images": ["a.png", "b.png"],
        "quality": 5,
        "steps": {"0": row | {"times_longer": ratio}, "16": row | {"times_longer": ratio}},
    }
    lines = steps_table(report).splitlines()
    assert lines[2] == "| 0 | 1 | 1041 | 0.188 | 0.420 | 0.163 | 20.61 |"
    assert lines[3] == "| 16 | 41 (40 to 44) | 1041 | 0.188 | 0.420 | 0.163 | 20.61 |"
    assert "first 2 images of Kodak" in lines[-1] and "one thread of a CPU" in lines[-1]


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no images" in capsys.readouterr().err
    assert main([str(tmp_path), "--steps", "four"]) == 2
