"""Training of the paper's transformer: its gaps, that it learns, resumes and exports."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.prior.raster_transformer import RasterTransformer
from compressai_vq.rates import LADDER
from compressai_vq.training.log import read_rows
from compressai_vq.training.raster_transformer import (
    RasterConfig,
    RasterRun,
    draw_gaps,
    index_maps,
    main,
)

from ..fixtures import noise, photograph, seeded, untrained_weights
from .small_prior import Slopes

TINY = RasterConfig(
    steps=6,
    batch=4,
    masks=2,
    crop=96,
    window=5,
    layers=1,
    heads=2,
    width=16,
    learning_rate=1e-2,
    final_learning_rate=1e-4,
    warmup=4,
    validation=8,
)


def pictures() -> list[Tensor]:
    return [noise(96, 112, seed) for seed in range(8)]


def tiny_run(output: Path, **changes: Any) -> RasterRun:
    config = dataclasses.replace(TINY, **changes)
    return RasterRun(Slopes((0,)), config, output, pictures(), pictures(), ["a.tar"])


def test_gaps_have_all_ratios() -> None:
    gaps = draw_gaps(400, 9, np.random.default_rng(0))
    masked = gaps.sum(1)
    assert gaps.shape == (400, 9) and gaps.dtype == torch.bool
    # M = ceil(r N) for a uniform r is uniform in 1 to N.
    counts = torch.bincount(masked, minlength=10)
    assert counts[0] == 0 and counts[1:].min() > 20
    assert (gaps.float().mean(0) - 5 / 9).abs().max() < 0.1  # no place is favoured
    again = draw_gaps(400, 9, np.random.default_rng(0))
    assert torch.equal(gaps, again)


def test_tables_start_from_the_codewords(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "t.safetensors", width=2048)
    words = Slopes((0,)).codewords()[0]
    scaled = (words - words.mean(0)) / words.std(0)
    wanted = (scaled[:, None] - scaled).norm(dim=2)
    for table in (run.gpt.tok_emb.weight, run.gpt.head.weight):
        assert table.std().item() == pytest.approx(0.05, rel=0.2)
        found = (table[:-1, None] - table[:-1]).norm(dim=2)
        assert torch.allclose(found / found.max(), wanted / wanted.max(), atol=0.08)


def test_it_learns_to_restore(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "t.safetensors", steps=240, width=32)
    before, _ = run.validation_figures()
    assert run.plain == pytest.approx(3)
    assert before == pytest.approx(math.log2(LADDER[0] + 1), abs=0.3)
    transformer = run.train(save_every=120)
    after, hits = run.validation_figures()
    assert after < 0.3 * before and hits > 0.8
    slope = (torch.arange(9)[:, None] + torch.arange(11)) % LADDER[0]
    lost = torch.rand(9, 11, generator=seeded()) < 0.2
    lost[0] = False
    filled, _ = transformer.restore(slope, lost)
    assert (filled == slope)[lost].float().mean() > 0.8
    rows = read_rows(tmp_path / "t.csv")
    assert [row["step"] for row in rows] == [120, 240]
    assert rows[-1]["bits"] == pytest.approx(after, abs=1e-3)
    assert rows[-1]["hits"] == pytest.approx(hits, abs=1e-3)


def test_resumed_training_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_run(tmp_path / "whole.safetensors").train(2)
    step = RasterRun._train_step

    def interrupted(self: RasterRun) -> float:
        if self.step == 5:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(RasterRun, "_train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_run(tmp_path / "parts.safetensors").train(2)
    monkeypatch.undo()
    resumed = tiny_run(tmp_path / "parts.safetensors")
    assert resumed.step == 4
    parts = resumed.train(2).gpt.state_dict()
    assert all(torch.equal(parts[k], value) for k, value in whole.gpt.state_dict().items())
    assert [row["step"] for row in read_rows(tmp_path / "parts.csv")] == [2, 4, 6]


def test_a_run_of_other_weights_or_settings_is_not_resumed(tmp_path: Path) -> None:
    tiny_run(tmp_path / "t.safetensors", steps=1).train()
    with pytest.raises(CodecError, match="other weights, --data or settings"):
        tiny_run(tmp_path / "t.safetensors", steps=2)
    other = Slopes((0,))
    other.fingerprint = bytes(32)
    config = dataclasses.replace(TINY, steps=1)
    for maps, data in ((other, "a.tar"), (Slopes((0,)), "b.tar")):
        with pytest.raises(CodecError, match="other weights, --data or settings"):
            RasterRun(maps, config, tmp_path / "t.safetensors", pictures(), pictures(), [data])


def test_one_quality_is_encoded_alone() -> None:
    weights = untrained_weights()
    maps = index_maps(weights, 2)
    assert maps.rates == [1] and maps.fingerprint == weights.fingerprint
    assert len(maps.codewords()[1]) == LADDER[1]
    with pytest.raises(CodecError, match="have qualities"):
        index_maps(weights, 10)


def arguments(folder: Path) -> list[str]:
    """Of the command, with weights and two photographs in the folder."""
    for which in (0, 1):
        pixels = photograph(256, 272, which).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{which}.png")
    weights = folder / "codec.safetensors"
    untrained_weights().save(weights)
    small = "--weights {} --steps 2 --batch 1 --crop 256 --layers 1 --heads 2 --width 16"
    return ["--data", str(folder), "--validation", str(folder), *small.format(weights).split()]


def test_command_trains_and_exports(tmp_path: Path) -> None:
    output = tmp_path / "out" / "t.safetensors"
    try:
        assert main([*arguments(tmp_path), "-q", "5", "-o", str(output)]) == 0
    finally:
        torch.set_flush_denormal(False)
    transformer = RasterTransformer.load(output)
    assert (transformer.size, transformer.window, transformer.quality) == (LADDER[4], 16, 5)
    facts = json.loads(output.with_suffix(".json").read_text())
    assert facts["fingerprint"] == transformer.fingerprint.hex()
    assert facts["codec"] == transformer.codec.hex()
    assert facts["steps"] == 2 and facts["windows"] == 4 and facts["metrics"]["step"] == 2
    assert sorted(p.name for p in output.parent.iterdir()) == ["t.csv", "t.json", "t.safetensors"]


@pytest.mark.parametrize("ending", [".safetensors", ".json", ".csv"])
def test_nothing_is_overwritten_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    output = tmp_path / "out" / "t.safetensors"
    output.parent.mkdir()
    theirs = output.with_suffix(ending)
    theirs.write_text("mine")
    command = [*arguments(tmp_path), "-o", str(output)]
    try:
        assert main(command) == 2
        assert f"t{ending} exists; --force overwrites it" in capsys.readouterr().err
        assert theirs.read_text() == "mine" and list(output.parent.iterdir()) == [theirs]
        assert main([*command, "-f"]) == 0
    finally:
        torch.set_flush_denormal(False)
    assert theirs.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["-q", "10"], "have qualities"),
        (["--steps", "0"], "at least 1"),
        (["--heads", "3"], "3 heads cannot share 16 channels"),
        (["--crop", "128"], "--crop must be"),
        (["-o", "t.json"], "must end in .safetensors"),
        (["--weights", "nowhere"], "cannot read weights"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], message: str
) -> None:
    output = tmp_path / "out" / "t.safetensors"
    try:
        assert main([*arguments(tmp_path), "-o", str(output), *wrong]) == 2
    finally:
        torch.set_flush_denormal(False)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not output.parent.exists()
