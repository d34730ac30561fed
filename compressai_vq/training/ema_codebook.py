"""A codebook that follows the latents by moving averages, and restarts dead codewords.

Van den Oord et al., 2017, "Neural Discrete Representation Learning", appendix A.1; restarts
as in Dhariwal et al., 2020, "Jukebox".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn as nn
from torch import Tensor

from ..codebook import nearest_codewords


class EmaCodebook(nn.Module):
    """K codewords of D dimensions, trained by assignment instead of by gradient.

    Args:
        weight: initial codewords (K, D).
        decay: of the moving averages, per step.
    """

    def __init__(self, weight: Tensor, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("weight", weight.clone())
        self.register_buffer("counts", torch.ones(len(weight)))
        self.register_buffer("sums", weight.clone())
        self.weight: Tensor
        self.counts: Tensor
        self.sums: Tensor

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latent vectors (N, D) to their codewords (N, D) and indices (N,)."""
        indices = nearest_codewords(latents, self.weight)
        return self.weight[indices], indices

    @torch.no_grad()
    def update(
        self,
        latents: Tensor,
        indices: Tensor,
        generator: torch.Generator,
        reduce: Callable[[Tensor], Tensor] = lambda total: total,
    ) -> int:
        """One step of the averages; returns how many dead codewords were restarted.

        Args:
            latents: (N, D); none (0, D) when this process has seen none.
            indices: (N,), which codeword each went to.
            generator: draws the latents that dead codewords start again from.
            reduce: sums a tensor over all processes.
        """
        size = len(self.weight)
        counts = reduce(torch.bincount(indices, minlength=size).float())
        sums = reduce(torch.zeros_like(self.sums).index_add_(0, indices, latents))
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        average = self.counts.sum() / size
        dead = (self.counts < 0.05 * average).nonzero().flatten()
        dead = dead[: len(latents) // 16]
        if len(dead):
            chosen = torch.randint(len(latents), (len(dead),), generator=generator)
            self.counts[dead] = average
            self.sums[dead] = latents[chosen.to(latents.device)] * average
        self.weight.copy_(self.sums / self.counts[:, None])
        return len(dead)
