"""A stage's settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.training.config import TrainingConfig


def test_a_restart_ends_one_cooldown_and_brings_the_constant_rate_back() -> None:
    config = TrainingConfig(
        steps=100,
        batch=1,
        crop=16,
        learning_rate=1.0,
        final_learning_rate=0.0,
        warmup=2,
        decay=0.9,
        average=0.9,
        commitment=0.0,
        spread=0.0,
        alex=0.0,
        vgg=0.0,
        seed=0,
        cooldown=10,
        restarts=[40],
    )
    rates = {step: config.learning_rate_at(step) for step in (0, 29, 35, 40, 89, 95, 100)}
    expected = {0: 0.5, 29: 1.0, 35: 0.5, 40: 1.0, 89: 1.0, 95: 0.5, 100: 0.0}
    assert rates == pytest.approx(expected)


def test_a_run_that_is_cut_short_cools_down_all_the_same() -> None:
    config = replace(TrainingConfig.packaged("adversarial"), steps=1000)
    assert config.learning_rate_at(999) < 0.1 * config.learning_rate


BASE = """
steps = 100
batch = 1
crop = 96
learning_rate = 1.0
final_learning_rate = 0.0
warmup = 2
decay = 0.9
average = 0.9
commitment = 0.0
spread = 0.0
alex = 0.0
vgg = 0.0
seed = 0
"""


def load(folder: Path, text: str) -> TrainingConfig:
    path = folder / "config.toml"
    path.write_text(BASE + text)
    return TrainingConfig.load(path)


def test_phases(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [[phase]]
        from_step = 30
        optimizer = "muon"
        [[phase]]
        from_step = 60
        grain = 8
        regularity = 2.0
        """,
    )
    settings = {
        step: (config.at(step).optimizer, config.at(step).grain) for step in (0, 29, 30, 60, 99)
    }
    assert settings == {
        0: ("adamw", 0), 29: ("adamw", 0), 30: ("muon", 0), 60: ("muon", 8), 99: ("muon", 8),
    }  # fmt: skip
    assert [config.next_phase(step) for step in (0, 29, 30, 60, 99)] == [30, 30, 60, 100, 100]


def test_photographs_are_large_enough_for_the_crops_of_all_phases(tmp_path: Path) -> None:
    phases = "[[phase]]\nfrom_step = 9\ncrop = 128\n[[phase]]\nfrom_step = 19\ncrop = 64"
    assert load(tmp_path, phases).smallest_side == 128
    assert load(tmp_path, "[[phase]]\nfrom_step = 9\nsurround = true").smallest_side == 96


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[phase]]\noptimizer = 'muon'", "every phase has a from_step"),
        ("[[phase]]\nfrom_step = 0", "every phase has a from_step, above 0"),
        ("[[phase]]\nfrom_step = 'soon'", "every phase has a from_step, above 0"),
        ("phase = 3", "phases are tables"),
        ("[[phase]]\nfrom_step = 9\n[[phase]]\nfrom_step = 9", "that of the one before"),
        ("[[phase]]\nfrom_step = 9\noptimiser = 'muon'", "cannot set 'optimiser'"),
        ("[[phase]]\nfrom_step = 9\nsteps = 200", "cannot set 'steps'"),
        ("[[phase]]\nfrom_step = 9\noptimizer = 'sgd'", "optimizer is adamw or muon, not 'sgd'"),
        ("[[phase]]\nfrom_step = 9\ncrop = 64\nregularity = 1.0", "crops of at least 80 pixels"),
        ("train = 'none'", 'not "none"'),
        ("crop = 40", "Cannot overwrite"),
        ("restarts = [3, 1]", "restarts are steps above 0"),
        ("restarts = [-5]", "restarts are steps above 0"),
        ("adversarial = 0.5", "adversarial wants vgg or dists"),
        ("dists = 1.0\nwindow = 15", "window is 16 to crop, 96, not 15"),
        ("dists = 1.0\nwindow = 0", "window is 16 to crop, 96, not 0"),
        ("dists = 1.0\nwindow = 144", "window is 16 to crop, 96, not 144"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        load(tmp_path, text)


def test_packaged_settings_are_good() -> None:
    for stage in ("pretrain", "finetune", "adversarial", "larger"):
        assert TrainingConfig.packaged(stage).steps > 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch", "x", "batch is of type int, not 'x'"),
        ("batch", 0, "batch is 1 or more, not 0"),
        ("steps", True, "steps is of type int, not True"),
        ("seed", 1.5, "seed is of type int"),
        ("learning_rate", "a", "learning_rate is of type float"),
        ("surround", 1, "surround is of type bool"),
        ("qualities", 3, r"qualities is of type list\[int\]"),
        ("latent_channels", 0, "latent_channels is 1 or more"),
        ("zoom", "b", "zoom is of type float"),
    ],
)
def test_settings_of_another_kind_are_named(name: str, value: object, words: str) -> None:
    settings: dict[str, Any] = {name: value}
    config = replace(TrainingConfig.packaged("finetune"), **settings)
    with pytest.raises(CodecError, match=words):
        config._check()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("learning_rate", float("nan"), "learning_rate is 0 or more, not nan"),
        ("alex", float("inf"), "alex is 0 or more, not inf"),
        ("warmup", -1, "warmup is 0 or more, not -1"),
        ("decay", 1.5, "decay is from 0 to 1, not 1.5"),
        ("average", -0.1, "average is from 0 to 1"),
        ("decay", 0.0, "decay is above 0"),
        ("seed", 1 << 70, "seed is below"),
        ("crop", 48, "alex wants crops of at least 64 pixels"),
    ],
)
def test_settings_out_of_their_range_are_named(name: str, value: float, words: str) -> None:
    config = replace(TrainingConfig.packaged("finetune"), **{name: value})  # type: ignore[arg-type]
    with pytest.raises(CodecError, match=words):
        config._check()


def test_settings_of_another_kind_are_named_with_their_file(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"toml: optimizer is of type str, not 3"):
        load(tmp_path, "optimizer = 3")
