"""Latent vectors to the indices of their nearest codewords, and back.

::

    latent (N, D, h, w) --quantize--> indices (N, h, w) --lookup--> codewords (N, D, h, w)
"""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from .networks.recording import recorded

# Distances of at most this many (vector, codeword) pairs are held at once: 2 MiB of fp32.
_PAIRS_AT_ONCE = 1 << 19


def nearest_codewords(latents: Tensor, codewords: Tensor) -> Tensor:
    """Index of the nearest codeword (Euclidean) for each latent vector.

    Memory grows with the number of vectors, not with vectors x K: distances are taken in
    chunks.  Of several nearest codewords the first is taken.

    Args:
        latents: (M, D).
        codewords: (K, D).

    Returns:
        int64 (M,), each in [0, K).
    """
    latents, codewords = latents.detach().float(), codewords.detach().float()
    # |z - e|^2 = |z|^2 - 2 z.e + |e|^2, and |z|^2 is the same for every codeword.  The other two
    # are one product of matrices: to add the last one afterwards would take as long again.
    half_norms = codewords.square().sum(1, keepdim=True).mul_(0.5)
    codewords = torch.cat([codewords.neg(), half_norms], 1).t()
    latents = torch.cat([latents, latents.new_ones(len(latents), 1)], 1)
    rows = max(1, _PAIRS_AT_ONCE // codewords.shape[1])
    with torch.autocast(latents.device.type, enabled=False):
        return torch.cat(
            [_first_least(torch.mm(chunk, codewords)) for chunk in latents.split(rows)]
        )


def _first_least(distances: Tensor) -> Tensor:
    """As argmin(1), the first of several: on CPUs NumPy's, which has vector instructions."""
    if distances.device.type == "cpu" and not recorded():
        return torch.from_numpy(distances.numpy().argmin(1))
    return distances.argmin(1)


class Codebook(nn.Module):
    """K codewords of D dimensions.

    Args:
        size: K.
        channels: D.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, channels).uniform_(-1, 1))

    def quantize(self, latent: Tensor) -> Tensor:
        """(N, D, h, w) to the nearest codewords' indices, int64 (N, h, w)."""
        n, d, h, w = latent.shape
        vectors = latent.permute(0, 2, 3, 1).reshape(-1, d)
        return nearest_codewords(vectors, self.weight).view(n, h, w)

    def lookup(self, indices: Tensor) -> Tensor:
        """Indices (N, h, w) to their codewords (N, D, h, w)."""
        return nn.functional.embedding(indices, self.weight).permute(0, 3, 1, 2)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise with straight-through gradients.

        The value is the codeword; the gradient goes to the codeword and, unchanged, to the
        latent (van den Oord et al., 2017), so that a loss on the image trains both.

        Returns:
            Codewords (N, D, h, w) and indices (N, h, w).
        """
        indices = self.quantize(latent)
        return self.lookup(indices) + (latent - latent.detach()), indices
