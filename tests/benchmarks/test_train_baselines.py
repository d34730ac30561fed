"""A few steps of both retrained baselines, tiny, without perceptual backbones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from compressai.models import Cheng2020Anchor
from torch import Tensor

from benchmarks.train_baselines.__main__ import main
from benchmarks.train_baselines.cheng2020 import Cheng2020Recipe, Cheng2020Settings
from benchmarks.train_baselines.hific import HiFiCRecipe, HiFiCSettings
from benchmarks.train_baselines.recipe import Recipe, descend
from benchmarks.train_baselines.run import BaselineRun
from benchmarks.train_baselines.schedule import RateControl, Schedule
from compressai_vq.plugins.hific.codec import HiFiC
from tests.fixtures import photograph

SCHEDULE = Schedule(steps=4, targets=(0.1, 0.05), warmup=0.5)


def tiny_cheng2020() -> Recipe:
    return Cheng2020Recipe(Cheng2020Settings(width=8, batch=2, crop=64))


def tiny_hific() -> Recipe:
    return HiFiCRecipe(
        HiFiCSettings(
            widths=(4, 4, 6, 6, 8),
            latent_channels=6,
            blocks=1,
            hyper_channels=4,
            discriminator_width=4,
            batch=2,
            perceptual=0.0,
        )
    )


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    return [photograph(140, 180, n) for n in range(2)]


@pytest.mark.parametrize(
    ("make", "model"), [(tiny_cheng2020, Cheng2020Anchor), (tiny_hific, HiFiC)]
)
def test_interrupted_run_ends_with_the_same_loadable_weights(
    tmp_path: Path,
    pictures: list[Tensor],
    make: Callable[[], Recipe],
    model: type[Cheng2020Anchor] | type[HiFiC],
) -> None:
    whole = BaselineRun(make(), SCHEDULE, tmp_path / "whole", pictures, ["a.tar"])
    whole.train(save_every=1)
    halves = BaselineRun(make(), SCHEDULE, tmp_path / "halves", pictures, ["a.tar"])
    step = halves.recipe.train_step

    def interrupted(x: Tensor, moment: object) -> dict[str, float]:
        if halves.step == 3:
            raise KeyboardInterrupt
        return step(x, moment)  # type: ignore[arg-type]

    halves.recipe.train_step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        halves.train(save_every=1)
    resumed = BaselineRun(make(), SCHEDULE, tmp_path / "halves", pictures, ["a.tar"])
    assert resumed.step == 3
    resumed.train(save_every=1)

    untrained = make().model.state_dict()
    for target in SCHEDULE.targets:
        name = f"{whole.recipe.name}-{target:g}"
        one, other = (
            safetensors.torch.load_file(run.folder / f"{name}.safetensors")
            for run in (whole, resumed)
        )
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key]), key
        codec = model.from_state_dict(one).eval()
        x = pictures[0][None, :, :128, :128].float() / 255
        coded = codec.compress(x)
        assert codec.decompress(coded["strings"], coded["shape"])["x_hat"].shape == x.shape
        moved = [k for k, v in untrained.items() if v.shape == one[k].shape and v.dim() == 4]
        assert all(not torch.equal(untrained[k], one[k]) for k in moved if k.endswith("weight"))
        facts = json.loads((whole.folder / f"{name}.json").read_text())
        assert facts["crops"] == 2 * facts["steps"] and facts["data"] == ["a.tar"]
        assert facts["target_bpp"] == target and facts["commits"]
    assert facts["steps"] == SCHEDULE.steps
    lines = (whole.folder / "log.csv").read_text().splitlines()
    assert len(lines) == 1 + SCHEDULE.steps and len({line.count(",") for line in lines}) == 1


def test_a_run_with_other_settings_is_not_continued(
    tmp_path: Path, pictures: list[Tensor]
) -> None:
    BaselineRun(tiny_cheng2020(), SCHEDULE, tmp_path, pictures, []).train()
    other = Schedule(steps=8, targets=(0.1, 0.05))
    with pytest.raises(ValueError, match="other settings"):
        BaselineRun(tiny_cheng2020(), other, tmp_path, pictures, [])
    for photographs, names in ((pictures, ["other.tar"]), (pictures[:1], [])):
        with pytest.raises(ValueError, match="other settings or --data"):
            BaselineRun(tiny_cheng2020(), SCHEDULE, tmp_path, photographs, names)


def test_steps_with_gradients_that_are_not_finite_are_not_made() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], 1.0)
    assert not descend((weight * torch.nan).sum(), [weight], optimizer, 0.1)
    assert torch.equal(weight.detach(), torch.ones(2))
    assert descend(weight.sum(), [weight], optimizer, 0.1)
    assert (weight.detach() < 1).all()


def test_schedule() -> None:
    schedule = Schedule(steps=1000, targets=(0.1, 0.05), warmup=0.4, warmup_factor=2.0)
    assert schedule.ends() == [700, 1000]
    assert schedule.at(100).target == 0.2 and schedule.at(100).warming_up
    assert not schedule.at(199).controlled and schedule.at(200).controlled
    assert schedule.at(400).target == 0.1 and not schedule.at(400).warming_up
    assert schedule.at(700).target == 0.05 and schedule.at(700).learning_rate == 1
    assert schedule.at(999).learning_rate == 0.05 < schedule.at(900).learning_rate < 1
    assert schedule.at(0).learning_rate < 0.1
    with pytest.raises(ValueError, match="must fall"):
        Schedule(steps=100, targets=(0.05, 0.1))
    with pytest.raises(ValueError, match="too few"):
        Schedule(steps=1, targets=(0.1, 0.05, 0.02))
    with pytest.raises(ValueError, match="steps is 1 or more"):
        Schedule(steps=-70, targets=(0.1,))
    for target in (0.0, -0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            Schedule(steps=100, targets=(target,))
    with pytest.raises(ValueError, match="too close"):
        Schedule(steps=100, targets=(0.50000001, 0.5))


@pytest.mark.parametrize("raises_rate", [True, False])
def test_rate_control_finds_the_weight(raises_rate: bool) -> None:
    control = RateControl(1.0, raises_rate, (1e-3, 1e3))
    bpp = 0.0
    for _ in range(1500):
        bpp = 0.1 * control.weight ** (0.5 if raises_rate else -0.5)
        control.update(bpp, 0.03)
    assert bpp == pytest.approx(0.03, rel=0.03)


@pytest.mark.parametrize(
    "arguments", [("--targets", "0.01,0.02"), ("--steps", "1"), ("--data", "missing.tar")]
)
def test_unusable_arguments_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str]
) -> None:
    data = ["--data", str(tmp_path), "--runs", str(tmp_path / "runs"), "--width", "8"]
    assert main(["cheng2020", *data, *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
