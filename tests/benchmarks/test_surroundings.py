from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import surroundings
from benchmarks.surroundings import main, measure, middle, surroundings_table
from compressai_vq.errors import CodecError
from compressai_vq.metrics.picture_metrics import PictureMetrics

from ..fixtures import photograph


def test_all_compare_the_same_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        PictureMetrics(["lpips"], allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    seen: list[Tensor] = []

    class Codec:
        """Gives back what it is given, one grey level brighter."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def compress(self, picture: Tensor, quality: int) -> Tensor:
            seen.append(picture)
            return picture

        def decompress(self, data: Tensor) -> Tensor:
            return data.clamp(max=254) + 1

    monkeypatch.setattr(surroundings, "FileCodec", Codec)
    picture = photograph(330, 400)
    report = measure([picture])
    assert [row["margin"] for row in report["rows"]] == [0, 80, 160, 320] * 3
    for row in report["rows"]:
        assert row["tone"] == pytest.approx(1, abs=0.01)
        assert row["psnr"] == pytest.approx(48.13, abs=0.01)
    assert [tuple(p.shape[1:]) for p in seen[:4]] == [
        (320, 320),
        (480, 480),
        (640, 640),
        (960, 960),
    ]
    for given in seen:
        assert torch.equal(middle(given), middle(picture[:, :320, :320]))


def test_table() -> None:
    row = {"quality": 5, "margin": 80, "lpips": 0.22804, "psnr": 19.333, "tone": 12.47}
    report = {
        "source": "val.tar",
        "machine": {"cpu": "a CPU"},
        "fingerprint": "ab" * 32,
        "images": 24,
        "rows": [row],
    }
    lines = surroundings_table(report).splitlines()
    assert lines[2] == "| 5 | 80 | 0.2280 | 19.33 | 12.5 |"
    assert "24 photographs of `val.tar`" in lines[-1]


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main([str(tmp_path), "--images", "0"]) == 2
    assert "1 or more" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "no picture of at least 320" in capsys.readouterr().err
