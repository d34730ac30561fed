"""A stage's settings."""

from __future__ import annotations

import pytest

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
