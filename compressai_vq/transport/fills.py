"""Guesses for what a link has lost: an index map with gaps to latents for the decoder.

``nearest``: the codeword of the closest index that arrived.  ``frequent``: the codeword that is
used most.  ``prior``: the mean of all codewords, weighted by the probability that the index
prior gives each from everything around the gap, in one pass.  Nothing says that the decoder
must be given codewords: a mean of what it may be is closer to what was lost than any one
guess, and the picture to both the sender's and the original.  (Mao et al., 2024, section 2.3,
guess one index after the other instead: to compare with, that is
``prior.raster_transformer``'s ``fill``, which needs weights of its own.)

Each fill also says how far it trusts each guess, in (0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

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


def prior(indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
    """The prior's expectation; confidence is the probability of the likeliest index.

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
    for first, behind, hidden in hidden_bands(network, known, rate):
        for positions in gaps[(gaps >= first) & (gaps < behind)].split(POSITIONS_AT_ONCE):
            here = hidden[(positions - first).to(hidden.device)]
            shares = weights_of(network.logits(here.float(), rate)).cpu().double()
            shares /= shares.sum(1, keepdim=True)
            latents.flatten(1)[:, positions] = (shares @ words).float().t()
            confidence[positions] = shares.amax(1)
    return latents, confidence.view(lost.shape).float()


FILLS: dict[str, Fill] = {"prior": prior, "nearest": nearest, "frequent": frequent}
"""By the names that the command line takes.  What measures fills adds ``transformer``, the fill
of a ``RasterTransformer``, when it is given weights for it.
"""
