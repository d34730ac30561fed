"""The lite pair over large images: bounded memory, the same results.

::

    picture ----fine----> (256, h, w) --coarse--> latent     the encoder
    codewords --coarse--> (128, h, w) --fine----> picture    the decoder

Each network is cut in two at 1/16 of the image's side.  The half at 1/16 needs little memory
and sees far; the other needs much and sees less.  So the map is cut into blocks for the first
and each block into tiles for the second, each with the margin of its own half: with one kind
of tile, the decoder's margin of 16 positions on each side would double the work.

The bound: margins are at least the receptive radius, which is computed from the modules, so
every number is the sum of the same products.  The results are exactly equal wherever a
convolution adds in the same order for both shapes; where it adds in another (the library
chooses, or Winograd's tiles lie elsewhere), sums differ by rounding: by about 1e-5 in fp32,
which turns no index that is not a tie to within that, and in bf16 by less than one grey level
of decoded pixels on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ..rates import STRIDE
from ..tiles import Region, tiles, whole
from .lite import LiteDecoder, LiteEncoder, Rate
from .memory_layout import like_weights

Part = Callable[[Region], Tensor]

WHOLE = 1 << 13
"""Maps of up to so many positions at 1/16 (2.1 megapixels) gain nothing from tiles."""

BLOCK = 384
TILE = 96
"""Sides of blocks and tiles in positions at 1/16, without margins.  Of larger tiles the
activations fall out of a core's cache; of smaller ones the margins cost more."""


class Radii(NamedTuple):
    """How far a network's two halves see, in pixels: no further in any direction."""

    fine: int
    coarse: int

    @property
    def margins(self) -> tuple[int, int]:
        """The same in whole positions at 1/16: of the fine half, and of the coarse one."""
        return -(-self.fine // STRIDE), -(-self.coarse // STRIDE)


def encoder_radii(encoder: LiteEncoder) -> Radii:
    """Receptive radii of the encoder, as a latent at 1/16 sees the image."""
    fine = _radius([encoder.stem, encoder.quarter], 4)
    fine += _radius([encoder.to_eighth, encoder.eighth], 8)
    coarse = _radius([encoder.to_sixteenth, encoder.sixteenth, encoder.norm, encoder.head], 16)
    return Radii(fine, coarse)


def decoder_radii(decoder: LiteDecoder) -> Radii:
    """Receptive radii of the decoder, as the image's pixels see the latents' blocks."""
    coarse = _radius([decoder.stem, decoder.sixteenth, decoder.to_eighth], 16)
    fine = _radius([decoder.eighth, decoder.to_quarter], 8)
    fine += _radius([decoder.quarter, decoder.norm, decoder.to_half], 4)
    fine += _radius([decoder.head], 2)
    return Radii(fine, coarse)


def _radius(modules: Iterable[nn.Module], stride: int) -> int:
    """The sum of what convolutions in sequence, at 1/stride of the image's side, see."""
    convolutions = (m for part in modules for m in part.modules() if isinstance(m, nn.Conv2d))
    return sum(m.dilation[0] * (m.kernel_size[0] // 2) * stride for m in convolutions)


def latents(
    encoder: LiteEncoder, part: Part, height: int, width: int, rate: Rate
) -> Iterator[tuple[Region, Tensor]]:
    """The encoder over an image, block by block.

    Args:
        encoder: the network.
        part: gives the image's pixels in [-1, 1] behind a region of the latents' map,
            (N, 3, 16 rows, 16 columns).
        height: h, rows of the latents' map.
        width: w, its columns.
        rate: from 0.

    Yields:
        Where a block lies in the latents' map, and its latents (N, D, rows, columns).  All
        blocks together cover the map once.
    """
    margin, block_margin = encoder_radii(encoder).margins
    everything = whole(height, width)
    for inner, outer in tiles(everything, BLOCK, block_margin, everything):
        features = torch.empty(0)
        for tile in tiles(outer, TILE, margin, everything):
            x = encoder.fine(like_weights(part(tile.outer), encoder), rate)
            if not features.numel():
                features = x.new_empty((*x.shape[:2], outer.height, outer.width))
                features = like_weights(features, encoder)
            features[_at(tile.inner, outer)] = x[_at(tile.inner, tile.outer)]
        yield inner, encoder.coarse(features, rate)[_at(inner, outer)]


def images(
    decoder: LiteDecoder, part: Part, height: int, width: int, rate: Rate
) -> Iterator[tuple[Region, Tensor]]:
    """The decoder over a map of latents, tile by tile.

    Args:
        decoder: the network.
        part: gives a region's latents, (N, D, rows, columns).
        height: h, rows of the latents' map.
        width: w, its columns.
        rate: from 0.

    Yields:
        Where a tile lies in the latents' map, and its part of the image, about [-1, 1],
        (N, 3, 16 rows, 16 columns).  All tiles together cover the map once.
    """
    margin, block_margin = decoder_radii(decoder).margins
    everything = whole(height, width)
    for inner, outer in tiles(everything, BLOCK, margin + block_margin, everything):
        corner = (outer.top, outer.left)
        features = decoder.coarse(like_weights(part(outer), decoder), rate, corner)
        for tile in tiles(inner, TILE, margin, everything):
            x = like_weights(features[_at(tile.outer, outer)], decoder)
            pixels = decoder.fine(x, rate)
            yield tile.inner, pixels[(..., *tile.inner.slices(tile.outer, STRIDE))]


def _at(region: Region, inside: Region) -> tuple[Any, ...]:
    return (..., *region.slices(inside))
