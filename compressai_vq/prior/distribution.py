"""Integer logits to integer CDFs.

::

    logits (1/256 bits) --table of powers of two--> weights --cumulative shares--> CDF

Up to K = 64 an index is one symbol.  Above, where rows would grow long and 16 bits coarse,
it is two: which run of consecutive codewords, then which codeword of the run.  A run's weight
is the sum of its members', so that the split costs nothing.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from ..frequencies import PRECISION, integer_weights
from .fixed_point import LOGIT_BITS

ONE_LEVEL_LIMIT = 64
_WEIGHT_BITS = 30


@functools.cache
def _table() -> Tensor:
    """Weight by how far a logit lies below the largest: floor(2 ** (30 - i / 256)), int64."""
    below = np.arange((_WEIGHT_BITS << LOGIT_BITS) + 1) / (1 << LOGIT_BITS)
    weights = integer_weights((-below).astype(np.float32))
    # integer_weights' largest is 2 ** 40: sums of thousands of these would be too large to
    # scale in 64 bits.
    return torch.from_numpy(weights >> (40 - _WEIGHT_BITS))


def low_bits(size: int) -> int:
    """How many bits of an index the second symbol has; 0: there is none."""
    return 0 if size <= ONE_LEVEL_LIMIT else (size.bit_length() - 1) // 2


def weights_of(logits: Tensor) -> Tensor:
    """Logits to weights in proportion to 2 ** (logit / 256).

    Args:
        logits: integers within +-2^23 as float32 (P, K), which holds their differences exactly.

    Returns:
        int64 (P, K) in [1, 2 ** 30].
    """
    table = _table().to(logits.device)
    below = (logits.amax(1, keepdim=True) - logits).clamp_(max=len(table) - 1).int()
    return table.index_select(0, below.flatten()).view(below.shape)


def cumulative_rows(weights: Tensor) -> Tensor:
    """CDFs whose shares follow the weights, each at least one.

    Args:
        weights: int64 (P, n), each at least 1, their sums below 2 ** 47; n from 2 to 2 ** 15.

    Returns:
        int64 (P, n + 1), from 0 to 2 ** 16.
    """
    n = weights.shape[1]
    sums = weights.cumsum(1)
    shared = (1 << PRECISION) - n
    # Rounding sums, not shares: what is lost to one symbol goes to the next, and the last sum
    # is always the whole.
    rows = (sums * shared).div_(sums[:, -1:].clone(), rounding_mode="floor")
    rows += torch.arange(1, n + 1, device=weights.device)
    return torch.cat([torch.zeros_like(rows[:, :1]), rows], 1)
