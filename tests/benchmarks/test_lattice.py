"""The lattice of made-up pictures of which it is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import lattice
from benchmarks.lattice import FLAT, flat_windows, lattice_table, main, measure, windows
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import write_picture

from ..fixtures import photograph, seeded, untrained_weights
from .test_unchanged import in_a_repository

SIDE = 208  # of which 192 are left without the margins


def picture(repeated: float, grain: float) -> Tensor:
    """Grey, with a pattern of so many grey levels and grain of so many."""
    tile = torch.randn(3, 16, 16, generator=seeded()).repeat(1, SIDE // 16, SIDE // 16)
    noise = torch.randn(3, SIDE, SIDE, generator=seeded(1))
    return (128 + repeated * tile + grain * noise).round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(("repeated", "grain"), [(4, 0), (0, 4), (2, 3), (0, 0)])
def test_only_what_repeats_counts(repeated: float, grain: float) -> None:
    found = windows(picture(repeated, grain))
    assert found.details.shape == (25,)
    assert found.details.mean().sqrt() == pytest.approx((repeated**2 + grain**2) ** 0.5, rel=0.1)
    level = found.lattice.mean().clamp(min=0).sqrt()
    assert level == pytest.approx(repeated, rel=0.1, abs=0.4)


def test_flat_windows() -> None:
    both = torch.cat([picture(0, 0.5 * FLAT), picture(0, 3 * FLAT)], 2)
    flat = flat_windows(both)
    columns = flat.view(5, -1)
    assert columns[:, :4].all() and not columns[:, -4:].any()
    assert len(windows(both, flat).details) == flat.sum()


def test_measure_and_table(tmp_path: Path) -> None:
    write_picture(tmp_path / "grey.png", picture(0, 2))
    write_picture(tmp_path / "busy.png", picture(0, 40))
    paths = sorted(tmp_path.iterdir())
    report = measure(FileCodec(untrained_weights()), paths)
    assert report["windows"] == 25
    assert report["original"]["details"] == pytest.approx(2, rel=0.1)
    assert report["original"]["worst"][0] == "grey"
    assert set(report) == {"fingerprint", "windows", "original", "q1", "q5", "q9"}
    made_up: dict[str, Any] = {
        **report,
        "q9": {"details": 1.25, "lattice": 0.75, "worst": ["grey", 0.5]},
    }
    table = lattice_table({"ours": made_up, "before": report, "images": 2, "dataset": "kodak"})
    assert "| these weights, quality 9 | 1.25 | 0.75 | 0.50 (grey) |" in table.splitlines()
    assert "25 windows of 64x64 pixels in 2 images of Kodak" in table


@in_a_repository
def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice, "QUALITIES", (1,))
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "a.png", photograph(96, 96))
    output = tmp_path / "lattice.json"
    arguments = [str(tmp_path / "pictures"), "--against", "HEAD", "-o", str(output)]
    assert main(arguments) == 0
    report = json.loads(output.read_text())
    assert report["images"] == 1 and "q1" in report["before"]
    assert report["ours"]["original"] == report["before"]["original"]
    assert main([*arguments[:2], "nosuch"]) == 2
