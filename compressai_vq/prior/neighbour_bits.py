"""What every codeword would cost at every position of a map, if all its neighbours were known.

::

    map with every second position a gap, as on a chessboard --network--> distributions there,
    then with the others as gaps

The coder fills a map bit by bit and knows less when it begins, and more at the end; these bits
tell which of several codewords is the cheap one at a place, in two passes of the network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .fixed_point import LOGIT_BITS
from .network import PriorNetwork


@torch.no_grad()
def neighbour_bits(network: PriorNetwork, indices: Tensor, rate: int) -> Tensor:
    """Bits of each codeword at each position of an index map.

    Args:
        network: the integer network.
        indices: integers (h, w) in [0, K).
        rate: one of ``network.sizes``.

    Returns:
        fp32 (h, w, K), at least 0, on the network's device.
    """
    size = network.sizes[rate]
    indices = indices.to(network.device)
    height, width = indices.shape
    odd = (torch.arange(height)[:, None] + torch.arange(width)).to(network.device) % 2 == 1
    bits = torch.empty(indices.numel(), size, dtype=torch.float32, device=network.device)
    for gaps in (odd, ~odd):
        wanted = gaps.flatten().nonzero()[:, 0]
        if len(wanted):
            hidden = network.hidden(indices.masked_fill(gaps, size)[None], rate, wanted)
            logits = network.logits(hidden, rate) * (math.log(2) / (1 << LOGIT_BITS))
            bits[wanted] = torch.log_softmax(logits, -1) / -math.log(2)
    return bits.view(height, width, size)
