"""AVIF through Pillow: libavif and libaom."""

from __future__ import annotations

import PIL
from PIL import features
from torch import Tensor

from compressai_vq.errors import CodecError

from . import pillow
from .still_picture import StillPictureCodec


class AVIF(StillPictureCodec):
    """libaom tuned for SSIM; qualities are Pillow's, 0 to 100.

    libavif's own default is libaom's tuning for image quality, which adapts quantisers so much
    that its lowest rate is nearly twice that of the tuning used here.

    Raises:
        CodecError: when this Pillow was built without AVIF.
    """

    label = "AVIF"
    extension = ".avif"
    qualities = (0, 5, 12)

    def __init__(self) -> None:
        if not features.check("avif"):
            raise CodecError("this Pillow has no AVIF: pip install 'Pillow>=11.3'")
        self.description = (
            f"Pillow {PIL.__version__}, libavif {features.version('avif')}, libaom at speed 4, "
            "tune ssim, one thread, 4:2:0, no tiles; quality 0 is the lowest rate that it reaches"
        )

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to an AVIF file; ``quality`` 0 to 100."""
        return pillow.save(
            picture,
            "AVIF",
            quality=quality,
            speed=4,
            subsampling="4:2:0",
            codec="aom",
            max_threads=1,
            autotiling=False,  # tiles serve parallel threads alone, and cost bytes
            advanced={"tune": "ssim"},
        )

    def decompress(self, data: bytes) -> Tensor:
        """An AVIF file to the picture, uint8 (3, H, W)."""
        return pillow.load(data, "AVIF")
