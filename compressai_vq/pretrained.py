"""Where ``pretrained=True`` finds weights: in the package, in the cache, or by download."""

from __future__ import annotations

from .ladder_weights import LadderWeights, packaged_weights


def pretrained_weights(architecture: str, progress: bool = True) -> LadderWeights:
    """The default weights of an architecture.

    Args:
        architecture: a name of the zoo.
        progress: show a bar while downloading.

    Raises:
        CodecError: when they cannot be had; the message says what to do.
    """
    packaged = packaged_weights(architecture)
    if packaged.exists():
        return LadderWeights.load(packaged)
    from .published import published_weights

    return published_weights(progress)
