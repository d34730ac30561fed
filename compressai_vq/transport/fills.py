"""Guesses for the indices that a link has lost.

``nearest``: the closest index that arrived.  ``frequent``: the codeword that is used most.
``prior``: by the index prior, from everything around a gap, in a few passes; after each, the
guesses that it is surest of count as known for the others (as MaskGIT decodes, Chang et al.,
2022; Mao et al., 2024, section 2.3, fill one gap after the other instead: to compare with,
that is ``prior.raster_transformer``'s ``fill``, which needs weights of its own).

Each fill also says how far it trusts each guess, in (0, 1].  All of it is arithmetic on
integers, or on fp64 in a fixed order: the same packets give the same indices everywhere
(the transformer's is not, and may guess otherwise elsewhere).
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
from ..prior.network import PriorNetwork

PASSES = 8
"""Of the prior.  More passes cost time and gain little."""

Fill = Callable[[Tensor, Tensor, VQGANCodec], tuple[Tensor, Tensor]]
"""Of an index map, int64 (h, w), where it is lost, bool (h, w), and the codec: the whole map
and the confidence in each index, fp32 (h, w), 1 where nothing was lost.  At least one index
must have arrived; values at lost positions are not looked at.
"""


def nearest(indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
    """The closest index that arrived; confidence 1 / (1 + its distance)."""
    if not lost.any():
        return indices, torch.ones(lost.shape)
    distance, (rows, columns) = distance_transform_edt(lost.cpu().numpy(), return_indices=True)
    filled = indices.cpu()[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]
    return filled, (1 / (1 + torch.from_numpy(distance))).float()


def frequent(indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
    """The codeword that is used most; confidence is how often it is."""
    shares = codec.index_coder.probabilities
    best = int(shares.argmax())
    confidence = torch.ones(lost.shape).masked_fill(lost, float(shares[best]))
    return indices.masked_fill(lost, best), confidence


def prior(indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
    """By the index prior; confidence is the probability that it gave to its guess.

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
    shape, known = known.shape, known.flatten()
    confidence = torch.ones(len(known), dtype=torch.float64)
    gaps = lost.flatten().nonzero().flatten()
    for passes_left in range(PASSES, 0, -1):
        if not len(gaps):
            break
        guesses, shares = _guess(network, known.view(shape), gaps, rate)
        # The surest first, and of equals the first in the map.
        order = shares.argsort(descending=True, stable=True)[: -(-len(gaps) // passes_left)]
        taken = gaps[order]
        known[taken.to(known.device)] = guesses[order].to(known.device)
        confidence[taken] = shares[order]
        gaps = gaps[torch.ones(len(gaps), dtype=torch.bool).index_fill(0, order, False)]
    return known.view(shape).cpu(), confidence.view(shape).float()


def _guess(network: PriorNetwork, known: Tensor, gaps: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """The likeliest index of each gap (P,), in raster order, and its probability, fp64 (P,)."""
    guesses, shares = [], []
    for first, behind, hidden in hidden_bands(network, known, rate):
        for positions in gaps[(gaps >= first) & (gaps < behind)].split(POSITIONS_AT_ONCE):
            here = hidden[(positions - first).to(hidden.device)]
            weights = weights_of(network.logits(here.float(), rate)).cpu()
            best, guess = weights.max(1)
            guesses.append(guess)
            shares.append(best.double() / weights.sum(1).double())
    return torch.cat(guesses), torch.cat(shares)


FILLS: dict[str, Fill] = {"prior": prior, "nearest": nearest, "frequent": frequent}
"""By the names that the command line takes.  What measures fills adds ``transformer``, the fill
of a ``RasterTransformer``, when it is given weights for it.
"""
