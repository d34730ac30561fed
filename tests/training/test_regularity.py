"""The term against lattices on made-up flat pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from compressai_vq.training.regularity import SMALLEST_CROP, regularity

from ..fixtures import seeded

SIDE = 192


def flat(noise: Tensor | float = 0.0) -> Tensor:
    """A slope with something on it."""
    slope = torch.linspace(-0.5, 0.5, SIDE).expand(1, 3, SIDE, SIDE)
    return slope + noise


def grain(period: int | None, strength: float, seed: int = 0) -> Tensor:
    """Independent pixels, or a tile of them over and over."""
    side = period or SIDE
    tile = torch.randn(1, 3, side, side, generator=seeded(seed))
    return strength * tile.repeat(1, 1, SIDE // side, SIDE // side)


@pytest.mark.parametrize("period", [8, 16])
def test_a_lattice_is_found_and_grain_is_not(period: int) -> None:
    strength = 3 / 127.5  # three grey levels
    original = flat(grain(None, strength))
    lattice = regularity(original, flat(grain(period, strength))).item()
    other_grain = regularity(original, flat(grain(None, strength, seed=1))).item()
    assert lattice > 0.3
    assert other_grain < lattice / 10
    assert regularity(original, original).item() == 0
    assert regularity(original, flat()).item() < 1e-6


def test_what_the_original_repeats_is_no_fault() -> None:
    wall = flat(grain(16, 3 / 127.5))
    assert regularity(wall, wall).item() == 0
    assert regularity(wall, 0.9 * wall).item() < 0.01


def test_nothing_is_asked_of_textures_and_of_the_invisible() -> None:
    strong, weak = grain(16, 40 / 127.5), grain(16, 0.2 / 127.5)
    assert regularity(grain(None, 40 / 127.5), strong).item() < 0.01
    assert regularity(flat(), flat(weak)).item() < 0.05
    assert regularity(flat(), flat(4 * weak)).item() > 0.1


def test_its_gradient_takes_the_lattice_away() -> None:
    original = flat()
    picture = flat(grain(16, 3 / 127.5)).clone().requires_grad_()
    before = regularity(original, picture)
    before.backward()
    assert picture.grad is not None
    with torch.no_grad():
        step = picture - 1e3 / 127.5 * picture.grad
    assert regularity(original, step) < before


def test_smallest_crop() -> None:
    x = torch.zeros(1, 3, SMALLEST_CROP, SMALLEST_CROP)
    assert regularity(x, x).isfinite()
