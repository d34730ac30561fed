"""The weights that a command's arguments ask for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..architecture_names import ARCHITECTURE_NAMES
from ..codings import FREQUENCIES
from ..errors import CodecError
from ..pipeline import end_if_stopped
from . import quick_start

if TYPE_CHECKING:
    from ..file_codec import FileCodec
    from ..ladder_weights import LadderWeights

DEFAULT_ARCHITECTURE = "mao2024-vqgan-lite"


def file_codec(arguments: argparse.Namespace, architecture: str | None = None) -> FileCodec:
    """The codec for ``-a``, ``--weights``, ``--prior``, ``--coding`` and the device.

    Args:
        arguments: parsed ones of ``jobs.add_weights_arguments`` and, where a command has them,
            of ``jobs.add_coding_argument`` and ``jobs.add_refinement_argument``.
        architecture: what to use when ``-a`` and ``--weights`` are not given.

    Raises:
        CodecError: for unknown names, unusable devices and missing weights.
    """
    asked, coding = arguments.architecture, getattr(arguments, "coding", None)
    if arguments.prior is not None and coding == FREQUENCIES:
        raise CodecError("--prior is of no use to --coding frequencies: leave one of them out")
    if asked is not None and asked not in ARCHITECTURE_NAMES:
        raise CodecError(f"unknown architecture {asked}; known: {', '.join(ARCHITECTURE_NAMES)}")
    quick_start.import_compressai()
    import torch

    from ..file_codec import FileCodec
    from ..ladder_weights import LadderWeights
    from ..pretrained import pretrained_weights
    from ..prior.prior_weights import PriorWeights

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
    prior = None if arguments.prior is None else PriorWeights.load(arguments.prior)
    steps = getattr(arguments, "refine", None)
    refinement = None
    if steps is not None:
        from ..refinement import STEPS, Refinement

        count = STEPS if steps is True else steps
        refinement = Refinement(count, arguments.device, each_step=end_if_stopped)
    return FileCodec(weights, arguments.device, arguments.precision, prior, coding, refinement)


def asked_qualities(text: str, weights: LadderWeights) -> list[int]:
    """The qualities of a list such as ``1,5,9``, each once and in order; all when it is empty.

    Raises:
        CodecError: for what is no number, and qualities that the weights do not have.
    """
    try:
        asked = sorted({int(part) for part in text.split(",") if part})
        if text and not asked:
            raise ValueError("no number")
    except ValueError:
        raise CodecError(f"-q takes numbers such as 1,5,9, not {text!r}") from None
    for quality in asked:
        weights.check_quality(quality)
    return asked or weights.qualities
