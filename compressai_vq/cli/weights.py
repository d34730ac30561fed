"""The weights that a command's arguments ask for."""

from __future__ import annotations

import argparse

import torch

from ..errors import CodecError
from ..file_codec import FileCodec
from ..ladder_weights import LadderWeights
from ..pretrained import pretrained_weights
from ..zoo import ENTRY_POINTS

DEFAULT_ARCHITECTURE = "mao2024-vqgan-lite"


def file_codec(arguments: argparse.Namespace, architecture: str | None = None) -> FileCodec:
    """The codec for ``-a``, ``--weights``, ``--device`` and ``--precision``.

    Args:
        arguments: parsed ones of :func:`add_weights_arguments`.
        architecture: what to use when ``-a`` and ``--weights`` are not given.

    Raises:
        CodecError: for unknown names, unusable devices and missing weights.
    """
    asked = arguments.architecture
    if asked is not None and asked not in ENTRY_POINTS:
        raise CodecError(f"unknown architecture {asked}; known: {', '.join(ENTRY_POINTS)}")
    try:
        torch.zeros(1, device=arguments.device).item()  # not all that allocate can compute
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise CodecError(f"device {arguments.device} cannot be used: {reason}") from None
    if arguments.weights is not None:
        weights = LadderWeights.load(arguments.weights)
        if asked not in (None, weights.architecture):
            raise CodecError(f"{arguments.weights} is for {weights.architecture}, not {asked}")
    else:
        weights = pretrained_weights(asked or architecture or DEFAULT_ARCHITECTURE)
    return FileCodec(weights, arguments.device, arguments.precision)
