from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from benchmarks import loss
from benchmarks.loss import CHANNELS, RATES, averages, lost_packets
from compressai_vq.picture import write_picture
from compressai_vq.prior.prior_weights import PriorWeights

from ..fixtures import photograph, untrained_weights
from ..prior.made_up import made_up_network


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("rate", RATES)
def test_so_many_packets_are_lost(channel: str, rate: float) -> None:
    rng = np.random.default_rng(0)
    lost = lost_packets(40_000, rate, channel, 4.0, rng)
    assert np.mean(lost) == pytest.approx(rate, abs=0.02)
    if channel == "bursts" and rate:
        starts = sum(b and not a for a, b in zip([False, *lost], lost, strict=False))
        assert sum(lost) / starts == pytest.approx(4, rel=0.15)


def test_something_always_arrives() -> None:
    rng = np.random.default_rng(0)
    assert not any(all(lost_packets(2, 0.5, c, 3.0, rng)) for c in CHANNELS for _ in range(50))


def test_means() -> None:
    row = {"image": "a", "channel": "random", "rate": 0.1, "fill": "nearest", "x": 1.0, "y": None}
    (means,) = averages([row, {**row, "image": "b", "x": 2.0}])
    assert means == {"channel": "random", "rate": 0.1, "fill": "nearest", "x": 1.5, "y": None}


def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Metrics:
        def __init__(self, names: list[str]) -> None:
            self.names = names

        def against(self, original: Tensor) -> Callable[[Tensor], dict[str, float]]:
            def measure(other: Tensor) -> dict[str, float]:
                return dict.fromkeys(self.names, (original.float() - other).abs().mean().item())

            return measure

    monkeypatch.setattr(loss, "SharedMetrics", Metrics)
    weights, prior = tmp_path / "w.safetensors", tmp_path / "p.safetensors"
    fingerprint = untrained_weights().save(weights)
    PriorWeights(made_up_network(), fingerprint).save(prior)
    (tmp_path / "images").mkdir()
    write_picture(tmp_path / "images" / "a.png", photograph(64, 96))
    output = tmp_path / "loss.json"
    arguments = ["--weights", str(weights), "--packets", "6", "-q", "3", "-o", str(output)]
    arguments = [str(tmp_path / "images"), "--prior", str(prior), *arguments]
    assert loss.main(arguments) == 0
    report = json.loads(output.read_text())
    assert len(report["results"]) == len(CHANNELS) * len(RATES) * 3
    for row in report["results"]:
        assert row["packets"] == 6 and row["packet_bytes"] > row["bytes"]
        assert (row["lpips_to_loss_free"] > 0) <= (row["lost_packets"] > 0)
        assert row["lpips_to_original"] > 0
    assert sum(row["lost_packets"] for row in report["results"]) > 0
    unfinished = tmp_path / "loss.json.rows"
    assert not unfinished.exists()

    # Interrupted at its second image, and taken up again.
    write_picture(tmp_path / "images" / "b.png", photograph(64, 96, 1))
    whole = loss.measure_image
    measured: list[str] = []

    def interrupted(path: Path, *rest: Any) -> list[dict[str, Any]]:
        measured.append(path.name)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return whole(path, *rest)

    monkeypatch.setattr(loss, "measure_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loss.main(arguments)
    assert json.loads(output.read_text()) == report and unfinished.exists()
    assert loss.main(arguments) == 0 and not unfinished.exists()
    assert measured == ["a.png", "b.png", "b.png"]
    again = json.loads(output.read_text())
    assert again["images"][: len(report["images"])] == report["images"]
    assert len(again["images"]) == 2 * len(report["images"])


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "loss.json"
    write_picture(tmp_path / "images" / "a.png", photograph(16, 16))
    beside = str(tmp_path / "images" / "a.png" / "loss.json")
    assert loss.main([str(tmp_path / "images"), "-o", beside]) == 2
    assert "is no folder to write to" in capsys.readouterr().err
    for arguments, words in (
        ([str(tmp_path)], "holds no images"),
        ([str(tmp_path / "nowhere")], "holds no images"),
        ([str(tmp_path), "--burst", "0.5"], "--burst"),
        ([str(tmp_path), "-q", "10"], "give one with -q"),
        ([str(tmp_path), "--transformer", str(tmp_path / "none")], "cannot read the transformer"),
    ):
        assert loss.main([*arguments, "-o", str(output)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and words in line
    assert not output.exists()
