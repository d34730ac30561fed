"""What every codec here offers: files, operating points, and a word on how they were made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from compressai_vq.errors import CodecError

EXTRA = "pip install 'compressai-vq[baselines]'"


class StillPictureCodec(ABC):
    """Pictures to complete files and back (:class:`compressai_vq.evaluation.StillCodec`).

    Constructing one raises CodecError when what it needs is not installed.
    """

    label: str
    """For people, in tables and plots."""

    extension: str
    """Of its files, with the dot."""

    qualities: Sequence[int]
    """Its operating points from the lowest rate to the highest, on the codec's own scale."""

    description: str
    """Which encoder with which settings: whatever the bytes of a file hang on, versions too."""

    @abstractmethod
    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W) in RGB, to a complete file.

        Raises:
            CodecError: when the codec does not take such a picture or quality.
        """

    @abstractmethod
    def decompress(self, data: bytes) -> Tensor:
        """A complete file to the picture, uint8 (3, H, W) in RGB.

        Raises:
            CodecError: when the file cannot be decoded.
        """


def check_qp(standard: str, quality: int, highest: int) -> None:
    """Raise CodecError unless a quality is a QP of this standard: 0 to ``highest``."""
    if not 0 <= quality <= highest:
        raise CodecError(f"{standard} takes qualities (QP) 0 to {highest}, not {quality}")
