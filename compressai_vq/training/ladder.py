"""The model in training: one encoder and decoder, and a codebook for each rate."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..networks.grain import Corner
from ..networks.lite import NUM_RATES, LiteDecoder, LiteEncoder, RateNorm
from .ema_codebook import EmaCodebook


class LadderOutput(NamedTuple):
    """What one forward pass of a :class:`Ladder` gives."""

    x_hat: Tensor  # (N, 3, H, W), about [-1, 1]
    commitment: Tensor  # scalar: mean squared distance of latents to their codewords
    spread: Tensor  # scalar: how far the latents' covariance is from the identity
    assigned: dict[int, tuple[Tensor, Tensor]]  # rate: latent vectors (M, D), indices (M,)


class Ladder(nn.Module):
    """Encoder, decoder and codebooks that are trained together.

    Args:
        codebooks: rate in [0, 9): initial codewords (K, D).  Pretraining has one large
            codebook at the last rate, fine-tuning nine.
        decay: of the codebooks' moving averages.
        encoder: image and rates to latent; ``mao2024-vqgan-lite``'s when left out.
        decoder: latent and rates to image; likewise.
    """

    def __init__(
        self,
        codebooks: dict[int, Tensor],
        decay: float,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        channels = next(iter(codebooks.values())).shape[1]
        self.encoder: Any = encoder or LiteEncoder(channels)
        self.decoder: Any = decoder or LiteDecoder(channels)
        self.codebooks = nn.ModuleDict(
            {str(rate): EmaCodebook(words, decay) for rate, words in codebooks.items()}
        )

    @property
    def rates(self) -> list[int]:
        """The rates that have a codebook."""
        return [int(rate) for rate in self.codebooks]

    def codebook(self, rate: int) -> EmaCodebook:
        """The codebook of one rate."""
        return cast(EmaCodebook, self.codebooks[str(rate)])

    def forward(
        self,
        x: Tensor,
        rates: Tensor,
        quantize: bool = True,
        corner: Corner | None = None,
    ) -> LadderOutput:
        """Images (N, 3, H, W) in [-1, 1], the n-th at the rate ``rates[n]``.

        ``corner`` says where on the decoder's field of grain they lie, if it has one.
        """
        where = () if corner is None else (corner,)
        latent = self.encoder(x, rates).float()
        last = latent.permute(0, 2, 3, 1)
        spread = covariance_penalty(last.flatten(0, 2))
        if not quantize:
            x_hat = self.decoder(latent, rates, *where).float()
            return LadderOutput(x_hat, latent.new_zeros(()), spread, {})
        codewords = torch.empty_like(last)
        assigned = {}
        for rate in rates.unique().tolist():
            vectors = last[rates == rate]
            flat = vectors.detach().reshape(-1, last.shape[-1])
            words, indices = self.codebook(rate)(flat)
            codewords[rates == rate] = words.view_as(vectors)
            assigned[rate] = (flat, indices)
        commitment = F.mse_loss(last, codewords)
        quantized = (last + (codewords - last).detach()).permute(0, 3, 1, 2)
        x_hat = self.decoder(quantized, rates, *where).float()
        return LadderOutput(x_hat, commitment, spread, assigned)


def covariance_penalty(vectors: Tensor) -> Tensor:
    """Sum of squared differences between the covariance of (M, D) and the identity.

    In training under ``torch.distributed`` it is the covariance of all processes' vectors
    together; the mean of the processes' gradients is that of one process with all of them.

    Without it the commitment term shrinks whatever the codebook resolves badly, until only
    three or four dimensions of the latent carry anything and neither encoder nor decoder
    gets a gradient to bring the others back.
    """
    count = torch.full((), len(vectors), device=vectors.device, dtype=vectors.dtype)
    count, total = _of_all(count), _of_all(vectors.sum(0))
    centred = vectors - total / count
    with torch.autocast(vectors.device.type, enabled=False):  # sums of so many want all bits
        covariance = _of_all(centred.t() @ centred) / (count - 1)
    return (covariance - torch.eye(len(covariance), device=vectors.device)).square().sum()


def _of_all(value: Tensor) -> Tensor:
    """The sum over all processes, differentiable; validation is one process's own."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if not several or not torch.is_grad_enabled():
        return value
    from torch.distributed.nn.functional import all_reduce  # not in every build of torch

    return cast(Tensor, all_reduce(value))


@torch.no_grad()
def share_rate(model: nn.Module, rate: int = NUM_RATES - 1) -> None:
    """Give every rate the normalisation that ``rate`` has learned."""
    for module in model.modules():
        if isinstance(module, RateNorm):
            module.weight.copy_(module.weight[rate].expand_as(module.weight))
            module.bias.copy_(module.bias[rate].expand_as(module.bias))
