"""One large codebook to the ladder of nine smaller ones, by K-means."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from .rates import LADDER


def cluster_codebook(
    codewords: Tensor, size: int, counts: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Cluster codewords to ``size`` centres.

    Args:
        codewords: (K, D), K at least ``size``.
        size: number of centres.
        counts: how often each codeword is used (K,).  Given, a codeword weighs as often as
            it is used and unused ones are left out, as far as ``size`` allows; without it
            all weigh the same, as in Mao et al., 2024.
        seed: of the initial centres.

    Returns:
        fp32 (size, D), ordered by the share of use that each centre takes, largest first.

    Raises:
        ValueError: when there are fewer codewords than centres.
    """
    words = codewords.detach().cpu().double().numpy()
    if len(words) < size:
        raise ValueError(f"{len(words)} codewords cannot be clustered to {size}")
    weights = np.ones(len(words)) if counts is None else counts.cpu().double().numpy()
    if np.count_nonzero(weights) >= size:
        words, weights = words[weights > 0], weights[weights > 0]
    else:
        weights = np.maximum(weights, 1e-3)
    kmeans = KMeans(size, n_init=1 if size > 256 else 4, random_state=seed)
    labels = kmeans.fit(words, sample_weight=weights).labels_
    use = np.bincount(labels, weights=weights, minlength=size)
    order = np.argsort(-use, kind="stable")
    return torch.from_numpy(kmeans.cluster_centers_[order]).float()


def cluster_ladder(
    codewords: Tensor, counts: Tensor | None = None, seed: int = 0
) -> dict[int, Tensor]:
    """The nine codebooks, by quality 1 to 9; see :func:`cluster_codebook`."""
    return {
        quality: cluster_codebook(codewords, size, counts, seed)
        for quality, size in enumerate(LADDER, start=1)
    }
