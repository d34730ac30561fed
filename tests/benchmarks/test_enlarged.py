from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import enlarged
from benchmarks.enlarged import enlarge, enlarged_table, main, measure
from compressai_vq.errors import CodecError
from compressai_vq.metrics.picture_metrics import PictureMetrics

from ..fixtures import photograph, untrained_weights


def test_a_picture_is_enlarged() -> None:
    picture = photograph(32, 48)
    assert torch.equal(enlarge(picture, 1.0), picture)
    larger = enlarge(picture, 1.5)
    assert larger.shape == (3, 48, 72) and larger.dtype == torch.uint8
    assert (larger.float().mean() - picture.float().mean()).abs() < 2


def test_both_weights_are_compared_with_the_same_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        PictureMetrics(["lpips"], allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    seen: list[tuple[int, ...]] = []

    class Codec:
        """Gives back what it is given; of other weights, a grey picture."""

        def __init__(self, weights: object, **_: object) -> None:
            self.good = weights is ours

        def compress(self, picture: Tensor, quality: int) -> Tensor:
            seen.append(tuple(picture.shape[1:]))
            return picture if self.good else torch.full_like(picture, 128)

        def decompress(self, data: Tensor) -> Tensor:
            return data

    ours, before = untrained_weights(), untrained_weights(1)
    monkeypatch.setattr(enlarged, "FileCodec", Codec)
    report = measure({"before": before, "ours": ours}, [photograph(330, 400)])
    assert {(row["quality"], row["factor"]) for row in report["rows"]} == {
        (q, f) for q in (1, 5, 9) for f in (1.0, 1.5, 2.0)
    }
    for row in report["rows"]:
        assert row["ours"] == pytest.approx(0, abs=1e-5) and row["before"] > 0.1
    assert set(seen) == {(304, 304), (456, 456), (608, 608)}


def test_table() -> None:
    report = {
        "source": "val.tar",
        "machine": {"cpu": "a CPU"},
        "fingerprints": {"before": "cd" * 32, "ours": "ab" * 32},
        "images": 24,
        "rows": [{"quality": 5, "factor": 1.5, "before": 0.25, "ours": 0.2}],
    }
    lines = enlarged_table(report).splitlines()
    assert lines[2] == "| 5 | 1.5 times | 0.2500 | 0.2000 |"
    assert "24 photographs of `val.tar`" in lines[-1] and "`abababababababab`" in lines[-1]


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    against = ["--against", "HEAD"]
    assert main([str(tmp_path / "nowhere"), *against]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"")
    assert main([str(tmp_path), *against, "-o", str(tmp_path / "file" / "a.json")]) == 2
    assert "is no folder to write to" in capsys.readouterr().err
    assert main([str(tmp_path), *against]) == 2
    assert "no picture of at least 304" in capsys.readouterr().err
