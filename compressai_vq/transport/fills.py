"""Guesses for what a link has lost: an index map with gaps to latents for the decoder.

``nearest``: the codeword of the closest index that arrived.  ``frequent``: the codeword that is
used most.  ``prior``: between the mean of all codewords, weighted by the probability that the
index prior gives each from everything around the gap, and one codeword drawn by these
probabilities, in one pass.  Nothing says that the decoder must be given codewords: a mean of
what it may be is closer to what was lost than any one guess, and the picture to both the
sender's and the original.  But where much is lost means alone are smooth as no photograph is,
and so the drawn codeword's part is the part of the map that is lost.  (Mao et al., 2024,
section 2.3, guess one index after the other instead: to compare with, that is
``prior.raster_transformer``'s ``fill``, which needs weights of its own.)

Each fill also says how far it trusts each guess, in (0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..codec import VQGANCodec
from ..errors import CodecError
from ..prior.bands import hidden_bands
from ..prior.coder import POSITIONS_AT_ONCE
from ..prior.distribution import weights_of

Fill = Callable[[Tensor, Tensor, VQGANCodec], tuple[Tensor, Tensor]]
"""Of an index map, int64 (h, w), where it is lost, bool (h, w), and the codec: latents for its
decoder, (D, h, w), where nothing was lost the indices' codewords, and the confidence in each,
fp32 (h, w), 1 where nothing was lost.  At least one index must have arrived; values at lost
positions are not looked at.
"""


def nearest(indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
    """The closest index that arrived; confidence 1 / (1 + its distance)."""
    if not lost.any():
        return codec.codewords_of(indices), torch.ones(lost.shape)
    distance, (rows, columns) = distance_transform_edt(lost.cpu().numpy(), return_indices=True)
    filled = indices.cpu()[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]
    return codec.codewords_of(filled), (1 / (1 + torch.from_numpy(distance))).float()


def frequent(indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
    """The codeword that is used most; confidence is how often it is."""
    shares = codec.index_coder.probabilities
    best = int(shares.argmax())
    confidence = torch.ones(lost.shape).masked_fill(lost, float(shares[best]))
    return codec.codewords_of(indices.masked_fill(lost, best)), confidence


def prior(
    indices: Tensor, lost: Tensor, codec: VQGANCodec, drawn: float | None = None
) -> tuple[Tensor, Tensor]:
    """The prior's expectation, with some of a draw; confidence is the likeliest's probability.

    The same indices and gaps give the same draw.

    Args:
        indices, lost, codec: as of every :data:`Fill`.
        drawn: the draw's part, 0 to 1; when left out, the part of the map that is lost.

    Raises:
        CodecError: when the codec has none.
    """
    if codec.prior is None:
        raise CodecError(
            "there is no index prior for these weights: give one with --prior FILE, "
            "or use another fill"
        )
    network, rate = codec.prior, codec.rate
    known = indices.to(network.device).masked_fill(lost.to(network.device), network.sizes[rate])
    words = codec.codebook.weight.detach().double().cpu()
    latents = codec.codewords_of(indices.masked_fill(lost, 0)).float().cpu().contiguous()
    confidence = torch.ones(lost.numel(), dtype=torch.float64)
    gaps = lost.cpu().flatten().nonzero().flatten()
    drawn = len(gaps) / lost.numel() if drawn is None else drawn
    random = np.random.default_rng(0)
    at = 0
    for hidden in hidden_bands(network, known, rate, gaps.to(network.device)):
        for here in hidden.split(POSITIONS_AT_ONCE):
            positions = gaps[at : at + len(here)]
            at += len(here)
            shares = weights_of(network.logits(here.float(), rate)).cpu().double()
            shares /= shares.sum(1, keepdim=True)
            draw = words[draw_index(shares, torch.from_numpy(random.random(len(shares))))]
            latents.flatten(1)[:, positions] = torch.lerp(shares @ words, draw, drawn).float().t()
            confidence[positions] = shares.amax(1)
    return latents, confidence.view(lost.shape).float()


def draw_index(shares: Tensor, chances: Tensor) -> Tensor:
    """An index for each row of probabilities.

    Args:
        shares: (N, K), rows of sum 1.
        chances: (N,), uniform in [0, 1).

    Returns:
        int64 (N,): where the rows' cumulative sums pass ``chances``.
    """
    return torch.searchsorted(shares.cumsum(1), chances[:, None], right=True)[:, 0].clamp_(
        max=shares.shape[1] - 1
    )


FILLS: dict[str, Fill] = {"prior": prior, "nearest": nearest, "frequent": frequent}
"""By the names that the command line takes.  What measures fills adds ``transformer``, the fill
of a ``RasterTransformer``, when it is given weights for it.
"""
