"""Which indices the prior is shown in training, and which it shall predict."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...prior.order import NUM_PASSES, PERIOD, pass_numbers


def draw_masks(
    count: int, height: int, width: int, random_share: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Gaps and weights for ``count`` maps.

    A map is at one pass of the coding order, that pass to be predicted and later ones not
    known; or, to restore what a link has lost, random positions are, M = ceil(r N) of N for
    a uniform r (Mao et al., 2024, section 2.3).  Passes are drawn with probability q in
    proportion to the root of their size and weighted by 1 / q: the expected loss of a map is
    its bits for each index when it is coded in order.

    Args:
        count: number of maps.
        height: their rows, width their columns.
        random_share: how likely a map gets random gaps.
        rng: where chance comes from.

    Returns:
        Gaps, bool (count, height, width), and the weight of each position's bits in the loss,
        fp32 of the same shape, zero where nothing is predicted.
    """
    numbers = pass_numbers(height + PERIOD, width + PERIOD)
    sizes = torch.bincount(numbers[:PERIOD, :PERIOD].flatten(), minlength=NUM_PASSES)
    chances = sizes.double().sqrt().numpy()
    chances = chances / chances.sum()
    gaps = torch.zeros(count, height, width, dtype=torch.bool)
    weights = torch.zeros(count, height, width)
    for n in range(count):
        if rng.random() < random_share:
            lost = rng.permutation(height * width)[: int(np.ceil(rng.random() * height * width))]
            gaps[n].view(-1)[torch.from_numpy(lost)] = True
            weights[n] = gaps[n] / max(len(lost), 1)
        else:
            # The grid starts anywhere: a crop's corner is not that of its picture.
            top, left = rng.integers(PERIOD, size=2)
            placed = numbers[top : top + height, left : left + width]
            chosen = int(rng.choice(NUM_PASSES, p=chances))
            gaps[n] = placed >= chosen
            weights[n] = (placed == chosen) / (chances[chosen] * height * width)
    return gaps, weights
