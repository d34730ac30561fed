"""In which order the positions of an index map are coded: a grid that is refined in six passes.

A pass codes all its positions at once, each given those of earlier passes only.  What is
coded together should therefore lie far apart, and close to what is known.  Every fourth row
and column comes first, then the centres of these squares, then what completes a grid of every
second row and column; its centres take two passes; the last pass is half of the map, each
position with all four neighbours known.

More passes cost time and save little: neighbours further away than four tell nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PATTERN = (
    (0, 5, 2, 5),
    (5, 3, 5, 4),
    (2, 5, 1, 5),
    (5, 4, 5, 3),
)

PERIOD = len(_PATTERN)
"""The pattern of passes repeats after as many rows and columns."""

NUM_PASSES = 1 + max(max(row) for row in _PATTERN)


def pass_numbers(height: int, width: int) -> Tensor:
    """Which pass codes each position: int64 (height, width), each in [0, NUM_PASSES).

    It depends on the position alone: a smaller map is ordered as the corner of a larger one.
    """
    pattern = torch.tensor(_PATTERN)
    return pattern[torch.arange(height) % PERIOD][:, torch.arange(width) % PERIOD]


def coding_order(height: int, width: int) -> list[Tensor]:
    """Positions of each pass, in raster order within a pass.

    Returns:
        At most NUM_PASSES tensors, none empty, int64 (P,), each position being
        ``row * width + column``; together they hold every position once.
    """
    numbers = pass_numbers(height, width).flatten()
    passes = [(numbers == number).nonzero().flatten() for number in range(NUM_PASSES)]
    return [positions for positions in passes if len(positions)]
