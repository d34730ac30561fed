"""How often each codeword occurs in photographs."""

from __future__ import annotations

import torch
from torch import Tensor

from ..networks.convolution import wants_default_layout
from ..networks.memory_layout import channels_last, like_weights
from ..precision import autocast, prefers_bf16
from ..rates import STRIDE
from .ladder import Ladder


@torch.no_grad()
def count_usage(model: Ladder, photographs: list[Tensor]) -> dict[int, Tensor]:
    """How often each codeword of each rate is used.

    Args:
        model: put into evaluation, and laid out in memory as is fastest.
        photographs: uint8 (3, H, W), of at least 16 pixels a side; what is above a multiple of 16
            is left out.

    Returns:
        By rate, fp32 (K,).
    """
    model = model.eval()
    if prefers_bf16("cpu") or not wants_default_layout(model.encoder):
        channels_last(model)
    counts = {rate: torch.zeros(len(model.codebook(rate).weight)) for rate in model.rates}
    for picture in photographs:
        height, width = (side // STRIDE * STRIDE for side in picture.shape[1:])
        x = picture[None, :, :height, :width].float().div(127.5).sub(1.0)
        x = like_weights(x, model.encoder)
        for rate, total in counts.items():
            with autocast(x.device):
                latent = model.encoder(x, rate)
            vectors = latent.float().permute(0, 2, 3, 1).flatten(0, 2)
            _, indices = model.codebook(rate)(vectors)
            total += torch.bincount(indices, minlength=len(total))
    return counts
