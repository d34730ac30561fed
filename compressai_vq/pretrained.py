"""Where ``pretrained=True`` finds weights: in the package, in the cache, or by download."""

from __future__ import annotations

from .architecture_names import ARCHITECTURE_NAMES
from .codec import VQGANCodec
from .codings import FREQUENCIES, check_coding
from .errors import CodecError
from .ladder_weights import LadderWeights, packaged_weights


def pretrained_weights(architecture: str, progress: bool = True) -> LadderWeights:
    """The default weights of an architecture.

    Args:
        architecture: a name of the zoo.
        progress: show a bar while downloading.

    Raises:
        CodecError: for another name, and when they cannot be had; the message says what to do.
    """
    if architecture not in ARCHITECTURE_NAMES:
        known = ", ".join(ARCHITECTURE_NAMES)
        raise CodecError(f"unknown architecture {architecture}; known: {known}")
    packaged = packaged_weights(architecture)
    if packaged.exists():
        return LadderWeights.load(packaged)
    from .published import published_weights

    return published_weights(progress)


def pretrained_codec(
    architecture: str, quality: int, coding: str | None = None, progress: bool = True
) -> VQGANCodec:
    """One quality of the default weights.

    Args:
        architecture: a name of the zoo.
        quality: 1 to 9.
        coding: of the indices; by default by the package's index prior when it has one for
            these weights, else with frequencies.
        progress: show a bar while downloading.

    Raises:
        CodecError: when the weights, or the prior asked for, cannot be had.
    """
    if coding is not None:
        check_coding(coding)
    weights = pretrained_weights(architecture, progress)
    codec = weights.codec(quality, shared=True)  # nobody else has these weights
    if coding == FREQUENCIES:
        return codec
    from .prior.prior_weights import PriorWeights, packaged_prior

    path = packaged_prior(weights)
    if path is not None:
        return codec.use_prior(PriorWeights.load(path).network)
    if coding is not None:
        raise CodecError(f"the package has no index prior for {architecture}'s weights")
    return codec
