"""Packets to a picture, whatever has become of them on the way.

::

    packets ──► index map with gaps ──fill──► latents ──► decoder ──► picture, mask, confidence
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from ..codings import PRIOR
from ..errors import CodecError
from ..file_codec import FileCodec
from ..rates import STRIDE
from .assembly import Assembled, Rejected, assemble
from .fills import FILLS


@dataclass(frozen=True)
class Received:
    """A picture and what is known of it."""

    picture: Tensor  # uint8 (3, H, W)
    lost: Tensor  # bool (h, w), by index: where it was guessed
    confidence: Tensor  # fp32 (h, w) in (0, 1]; 1 where it was not
    fill: str
    used: int  # packets
    expected: int  # packets that the sender made
    rejected: list[Rejected]

    def per_pixel(self, per_index: Tensor) -> Tensor:
        """A map of the indices' shape, (h, w), at the picture's size, (H, W)."""
        height, width = self.picture.shape[1:]
        rows = per_index.repeat_interleave(STRIDE, 0)[:height]
        return rows.repeat_interleave(STRIDE, 1)[:, :width]


def depacketize(packets: Iterable[bytes], codec: FileCodec, fill: str | None = None) -> Received:
    """Make a picture of what arrived.

    Args:
        packets: in any order, any of them missing, repeated, damaged or of something else.
        codec: of the weights that the image was made with.
        fill: how what is lost is guessed, one of ``FILLS``; by default by the prior when
            there is one of the image's quality, else by the nearest index.

    Raises:
        CodecError: when no packet can be used, or the fill is unknown or needs a prior that
            is not there or has not the image's quality.
    """
    check_fill(fill, codec)
    return restore(assemble(packets, codec), codec, fill)


def check_fill(fill: str | None, codec: FileCodec) -> None:
    """Make sure, before any packet is waited for, that a fill can be used.

    Raises:
        CodecError: when it is unknown, or needs a prior and there is none.
    """
    if fill is not None and fill not in FILLS:
        raise CodecError(f"unknown fill {fill}; known: {', '.join(FILLS)}")
    if fill == "prior" and codec.prior is None:
        raise CodecError(
            "there is no index prior for these weights: give one with --prior FILE, "
            "or use --fill nearest"
        )


def restore(assembled: Assembled, codec: FileCodec, fill: str | None = None) -> Received:
    """Fill the gaps of an index map and paint it; see :func:`depacketize`.

    Raises:
        CodecError: when the prior is asked for and has not the image's quality.
    """
    facts, lost = assembled.facts, assembled.lost
    model = codec.codec(facts.quality)
    fits = codec.prior is not None and model.takes_prior(codec.prior.network)
    fill = fill or ("prior" if fits else "nearest")
    if fill == "prior":
        if not fits:
            raise CodecError(f"no index prior has quality {facts.quality}: use --fill nearest")
        model = codec.coder(facts.quality, PRIOR)
    latents, confidence = FILLS[fill](assembled.indices, lost, model)
    picture = model.paint_latents(latents.to(codec.device), facts.height, facts.width)
    return Received(
        picture, lost, confidence, fill, assembled.used, assembled.expected, assembled.rejected
    )
