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

_FADED = 1e-6


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
        places: Tensor | None = None,
        total: int | None = None,
    ) -> int:
        """One step of the averages; returns how many dead codewords were restarted.

        Of several processes all come to the same codewords, which are those of one process with
        all latents.

        Args:
            latents: (N, D); none (0, D) when this process has seen none.
            indices: (N,), which codeword each went to.
            generator: draws the latents that dead codewords start again from; the same one in
                every process.
            reduce: sums a tensor over all processes.
            places: (N,), where each latent lies among those of all processes.
            total: how many latents all processes have together; without both there is one
                process.
        """
        if places is None or total is None:
            places, total = torch.arange(len(latents), device=latents.device), len(latents)
        size = len(self.weight)
        counts = reduce(torch.bincount(indices, minlength=size).float())
        sums = reduce(torch.zeros_like(self.sums).index_add_(0, indices, latents))
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        average = self.counts.sum() / size
        dead = (self.counts < 0.05 * average).nonzero().flatten()
        dead = dead[: max(total // 16, min(total, 1))]
        if len(dead):
            chosen = torch.randint(total, (len(dead),), generator=generator).to(latents.device)
            self.counts[dead] = average
            self.sums[dead] = reduce(_at(chosen, latents, places, total)) * average
        # Of counts that have faded away nothing could be told but 0/0.
        known = self.counts[:, None] > _FADED
        self.weight.copy_(torch.where(known, self.sums / self.counts[:, None], self.weight))
        return len(dead)


def _at(chosen: Tensor, latents: Tensor, places: Tensor, total: int) -> Tensor:
    """The latents of chosen places, with zeros for those of other processes."""
    here = torch.full((total,), -1, device=latents.device)
    here[places] = torch.arange(len(latents), device=latents.device)
    found = here[chosen]
    vectors = latents.new_zeros(len(chosen), latents.shape[1])
    vectors[found >= 0] = latents[found[found >= 0]]
    return vectors
