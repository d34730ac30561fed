"""What lets a decoder paint grain: a fixed field of noise, tiled over the map of latents.

A flat area is one codeword many times over, of which a convolutional decoder can only paint
one pattern many times over: a lattice.  With noise that depends on the position each of the
blocks is another one.  The field is drawn once and kept with the weights, so that a picture
decodes alike every time, everywhere, and in tiles as in one piece.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn as nn
from torch import Tensor

PERIOD = 64
"""Side of the field in positions of 16 pixels: far beyond what looks regular."""

CHANNELS = 8
"""G of the shipped weights, and of the zoo's models before training."""

Corner = tuple[int, int]
"""Row and column, in the whole map, of what lies at the top left."""


class Grain(nn.Module):
    """Noise (G, 64, 64), repeated without end, through a 1x1 convolution.

    Args:
        channels: G, independent fields.
        width: channels of what it is added to.
    """

    field: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(64)
        noise = torch.randn((channels, PERIOD, PERIOD), generator=drawn, device="cpu")
        self.register_buffer("field", noise.half().float())  # as a weights file keeps it
        self.project = nn.Conv2d(channels, width, 1, bias=False)
        if not self.project.weight.is_meta:  # there torch would import its compiler for it
            nn.init.normal_(self.project.weight, std=0.05)

    def forward(self, height: int, width: int, corner: Corner = (0, 0)) -> Tensor:
        """The grain (1, C, height, width) of a region whose first position is ``corner``."""
        device = self.field.device
        rows = (torch.arange(height, device=device) + corner[0]) % PERIOD
        columns = (torch.arange(width, device=device) + corner[1]) % PERIOD
        return self.project(self.field[:, rows[:, None], columns][None])


def grain_channels(state: Mapping[str, Tensor], decoder: str = "decoder.") -> int:
    """G of a codec's state dict, 0 where its decoder has no grain.

    Args:
        state: names to tensors.
        decoder: what names of the decoder's tensors begin with.

    Raises:
        ValueError: when the field has another size: nothing is allocated for it.
    """
    field = state.get(f"{decoder}grain.field")
    if field is None:
        return 0
    if field.ndim != 3 or field.shape[1:] != (PERIOD, PERIOD):
        raise ValueError(f"the decoder's grain is {tuple(field.shape)}, not (G, 64, 64)")
    return len(field)
