"""A few steps of the training loop on made-up pictures, without perceptual terms."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.training import run as run_module
from compressai_vq.training.config import TrainingConfig
from compressai_vq.training.export import export
from compressai_vq.training.ladder import Ladder, LadderOutput
from compressai_vq.training.log import read_rows
from compressai_vq.training.optimizer import OPTIMIZERS
from compressai_vq.training.perceptual import PerceptualLoss, PixelLoss
from compressai_vq.training.run import TrainingRun
from compressai_vq.training.stages import ClusterConfig, cluster, model_of, pretrain_model

pytestmark = pytest.mark.usefixtures("narrow")

TINY = TrainingConfig(
    steps=6,
    batch=4,
    crop=32,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    warmup=2,
    unquantized=2,
    codewords=2048,
    latent_channels=4,
    decay=0.9,
    average=0.9,
    commitment=0.1,
    spread=0.05,
    alex=0.0,
    vgg=0.0,
    seed=0,
)


class FeatureLoss(PerceptualLoss):
    """L1, and features of VGG16's sizes from one fixed random convolution each."""

    def __init__(self, *_: object) -> None:
        super().__init__(0.0, 0.0)
        generator = torch.Generator().manual_seed(0)
        self.kernels = [
            torch.randn(channels, 3, 4, 4, generator=generator) for channels in (64, 128, 256, 512)
        ]

    def forward(self, x: Tensor, x_hat: Tensor, rng: np.random.Generator) -> PixelLoss:
        real, fake = (
            [torch.relu(torch.nn.functional.conv2d(i, k, stride=4)) for k in self.kernels]
            for i in (x, x_hat)
        )
        return PixelLoss((x - x_hat).abs().mean(), real, fake)


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (80, 80), mode="bilinear")
    return list((smooth * 255).to(torch.uint8))


def _train(
    folder: Path, pictures: list[Tensor], config: TrainingConfig = TINY
) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return TrainingRun(pretrain_model(config), config, folder, pictures, pictures).train(3)


@pytest.fixture(scope="module")
def whole_runs(
    narrow: None, pictures: list[Tensor], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The folders of uninterrupted runs of ``TINY``, by optimizer."""
    folders = {}
    for optimizer in OPTIMIZERS:
        folders[optimizer] = tmp_path_factory.mktemp(optimizer)
        _train(folders[optimizer], pictures, dataclasses.replace(TINY, optimizer=optimizer))
    return folders


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_run_gives_the_weights_of_an_uninterrupted_one(
    tmp_path: Path,
    whole_runs: dict[str, Path],
    pictures: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
) -> None:
    config = dataclasses.replace(TINY, optimizer=optimizer)
    whole = torch.load(whole_runs[optimizer] / "state.pt", weights_only=True)["average"]
    steps = TrainingRun._train_step

    def interrupted(run: TrainingRun) -> dict[str, float]:
        if run.step == 4:
            raise KeyboardInterrupt
        return steps(run)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "_train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(tmp_path / "halves", pictures, config)
    resumed = _train(tmp_path / "halves", pictures, config)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_adversarial_run_resumes(
    tmp_path: Path, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PerceptualLoss", FeatureLoss)
    config = dataclasses.replace(TINY, adversarial=0.5, codewords=64)
    whole = _train(tmp_path / "whole", pictures, config)
    log = read_rows(tmp_path / "whole" / "log.csv")
    assert log[-1]["balance"] > 0 and log[-1]["discriminator"] > 0
    for steps in (3, 6):  # stops after the third step, and goes on
        part = dataclasses.replace(config, steps=steps, cooldown=1, final_learning_rate=1e-3)
        halves = _train(tmp_path / "halves", pictures, part)
    part = dataclasses.replace(config, cooldown=1, final_learning_rate=1e-3)
    again = _train(tmp_path / "again", pictures, part)
    for name, value in again.items():
        assert torch.equal(value, halves[name]), name
    assert any(not torch.equal(value, whole[name]) for name, value in again.items())


def test_a_run_goes_on_with_a_discriminator(
    tmp_path: Path, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PerceptualLoss", FeatureLoss)
    plain = dataclasses.replace(TINY, codewords=64, steps=3)
    _train(tmp_path, pictures, plain)
    _train(tmp_path, pictures, dataclasses.replace(plain, steps=6, adversarial=0.5))
    before, after = read_rows(tmp_path / "log.csv")
    assert "discriminator" not in before and after["discriminator"] > 0


def test_a_run_goes_on_with_grain(tmp_path: Path, pictures: list[Tensor]) -> None:
    plain = dataclasses.replace(TINY, codewords=64, crop=80, steps=3)
    before = _train(tmp_path, pictures, plain)
    assert not any("grain" in name for name in before)
    grainy = dataclasses.replace(plain, steps=6, grain=2, regularity=1.0)
    after = _train(tmp_path, pictures, grainy)
    assert after["decoder.grain.field"].shape == (2, 64, 64)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["changes"] == [{"step": 3, "steps": 6, "grain": 2, "regularity": 1.0}]
    fresh = pretrain_model(grainy).decoder.grain
    assert torch.equal(after["decoder.grain.field"], fresh.field)
    rows = read_rows(tmp_path / "log.csv")
    assert "regularity" not in rows[0] and rows[1]["regularity"] >= 0
    # And once it has it, it goes on with what the optimizer knows.
    for steps in (8, 10):
        halves = _train(tmp_path, pictures, dataclasses.replace(grainy, steps=steps, cooldown=1))
    assert not torch.equal(halves["decoder.grain.project.weight"], fresh.project.weight)


def test_a_batch_is_dealt_out_evenly(
    tmp_path: Path, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fabric, "world_size", property(lambda self: 3))
    with pytest.raises(CodecError, match="batch of 4 cannot be dealt out evenly to 3 processes"):
        TrainingRun(pretrain_model(TINY), TINY, tmp_path / "run", pictures, pictures)
    assert not (tmp_path / "run").exists()


def test_small_batches_take_turns_at_the_rates(
    tmp_path: Path, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(TINY, unquantized=0, codewords=0, steps=3)
    model = Ladder({rate: torch.randn(4, 4) for rate in range(9)}, 0.9)
    seen: list[int] = []
    forward = Ladder.forward

    def spy(self: Ladder, x: Tensor, rates: Tensor, *more: Any) -> LadderOutput:
        if torch.is_grad_enabled():
            assert rates.tolist() == sorted(rates.tolist())
            seen.extend(rates.tolist())
        return forward(self, x, rates, *more)

    monkeypatch.setattr(Ladder, "forward", spy)
    TrainingRun(model, config, tmp_path, pictures, pictures).train(3)
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 8]  # 4 of 9 a step


def test_an_encoder_learns_on_crops_larger_than_pictures(
    tmp_path: Path, pictures: list[Tensor]
) -> None:
    config = dataclasses.replace(
        TINY, unquantized=0, codewords=0, train="encoder", crop=96, surround=True, zoom=2.0
    )
    torch.manual_seed(0)
    model = Ladder({rate: torch.randn(8, 4) for rate in range(2)}, 0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = TrainingRun(model, config, tmp_path, pictures, pictures)
    assert run.validation.x.shape == (3, 3, 96, 96)
    after = run.train(3)
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith("encoder.") for name in changed)


def test_a_run_goes_on_with_a_part_of_the_model(tmp_path: Path, pictures: list[Tensor]) -> None:
    config = dataclasses.replace(TINY, codewords=64, unquantized=0, steps=3)
    before = _train(tmp_path, pictures, config)
    model = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    _train(tmp_path, pictures, dataclasses.replace(config, steps=6, train="encoder"))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["changes"] == [{"step": 3, "steps": 6, "train": "encoder"}]
    for name in before:
        same = torch.equal(state["model"][name], model[name])
        assert same or name.startswith("encoder."), name
    assert not torch.equal(state["model"]["encoder.head.weight"], model["encoder.head.weight"])


def test_pretrain_finetune_export(
    tmp_path: Path, whole_runs: dict[str, Path], pictures: list[Tensor]
) -> None:
    shutil.copytree(whole_runs[TINY.optimizer], tmp_path / "pretrain")
    config = dataclasses.replace(TINY, unquantized=0, codewords=0, batch=9)
    model = cluster(ClusterConfig(), tmp_path, pictures)
    assert [len(model.codebook(rate).weight) for rate in model.rates] == [
        8 << rate for rate in range(9)
    ]
    model = model_of(model.state_dict(), config.decay)
    TrainingRun(model, config, tmp_path / "finetune", pictures, pictures).train(3)
    data = tmp_path / "data"
    data.mkdir()
    from compressai_vq.picture import write_picture

    for n, picture in enumerate(pictures):
        write_picture(data / f"{n}.png", picture)
    output = tmp_path / "weights.safetensors"
    export(tmp_path, [str(data)], output)
    weights = LadderWeights.load(output)
    assert weights.qualities == list(range(1, 10))
    assert weights.calibration == "counted on 3 images"
    codec = weights.codec(9)
    out = codec.compress(torch.rand(1, 3, 32, 48))
    assert codec.decompress(**out)["x_hat"].shape == (1, 3, 32, 48)


def test_config_rejects_unknown_keys(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("stepz = 3\n")
    with pytest.raises(CodecError, match="stepz"):
        TrainingConfig.load(path)


def test_codewords_that_are_filled_are_what_is_kept(
    tmp_path: Path, pictures: list[Tensor]
) -> None:
    torch.manual_seed(0)
    run = TrainingRun(pretrain_model(TINY), TINY, tmp_path, pictures, pictures)
    before = run.average["codebooks.8.weight"].clone()
    run._fill_codebooks()
    for name in ("weight", "counts", "sums"):
        value = run.model.state_dict()[f"codebooks.8.{name}"]
        assert torch.equal(run.average[f"codebooks.8.{name}"], value)
    assert not torch.equal(run.average["codebooks.8.weight"], before)


def test_crops_are_counted_by_the_settings_of_each_step(
    tmp_path: Path, pictures: list[Tensor]
) -> None:
    config = dataclasses.replace(TINY, steps=4, unquantized=0)
    for batch, until in ((4, 2), (6, 4)):
        torch.manual_seed(0)
        settings = dataclasses.replace(config, batch=batch)
        run = TrainingRun(pretrain_model(config), settings, tmp_path, pictures, pictures)
        run.train(2, until)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["crops"] == 2 * 4 + 2 * 6


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, pictures: list[Tensor]) -> None:
    torch.manual_seed(0)
    run = TrainingRun(pretrain_model(TINY), TINY, tmp_path, pictures, pictures)
    run.train(2, 2)
    before = (tmp_path / "state.pt").read_bytes()
    log = (tmp_path / "log.csv").read_text()
    run.average["encoder.stem.weight"][0] = torch.nan
    with pytest.raises(CodecError, match="after step 4 the weights are not finite"):
        run.train(2, 4)
    assert (tmp_path / "log.csv").read_text() == log
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_run_of_other_sizes_is_one_line(tmp_path: Path, pictures: list[Tensor]) -> None:
    _train(tmp_path, pictures, dataclasses.replace(TINY, steps=1, unquantized=0))
    other = dataclasses.replace(TINY, codewords=64)
    with pytest.raises(CodecError, match="a run of other codewords") as caught:
        _train(tmp_path, pictures, other)
    assert "\n" not in str(caught.value)
