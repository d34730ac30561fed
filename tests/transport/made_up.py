"""Codecs with made-up weights, with and without a prior, and files of theirs."""

from __future__ import annotations

import functools

from compressai_vq.file_codec import FileCodec
from compressai_vq.prior.prior_weights import PriorWeights

from ..fixtures import photograph, untrained_codec, untrained_weights
from ..prior.made_up import made_up_network


@functools.cache
def prior_weights() -> PriorWeights:
    """A prior for :func:`untrained_weights`, as if it came from a file."""
    return PriorWeights(made_up_network(), untrained_weights().fingerprint, bytes(range(32)))


@functools.cache
def prior_codec() -> FileCodec:
    """Codes by that prior."""
    return FileCodec(untrained_weights(), prior=prior_weights())


@functools.cache
def example_file(quality: int = 5, height: int = 100, width: int = 150, which: int = 0) -> bytes:
    """A file of 7x10 indices, coded with frequencies."""
    return untrained_codec().compress(photograph(height, width, which), quality)
