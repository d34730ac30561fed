"""JPEG XL through ``pillow-jxl-plugin``: libjxl."""

from __future__ import annotations

from importlib.metadata import version

from torch import Tensor

from compressai_vq.errors import CodecError

from . import pillow
from .still_picture import EXTRA, StillPictureCodec


class JPEGXL(StillPictureCodec):
    """libjxl at its highest usual effort; qualities are cjxl's, 0 to 100.

    Raises:
        CodecError: when the plugin is not installed.
    """

    label = "JPEG XL"
    extension = ".jxl"
    qualities = (0, 8, 19, 26)  # of both kinds

    def __init__(self) -> None:
        try:
            import pillow_jxl  # noqa: F401, it registers itself with Pillow
        except ImportError:
            raise CodecError(f"JPEG XL is not installed: {EXTRA}") from None

        self.description = (
            f"pillow-jxl-plugin {version('pillow-jxl-plugin')}, effort 9, one thread; below "
            "quality 19 it halves the picture's sides; quality 0 is the lowest rate that it "
            "reaches, far above 0.05 bits per pixel for most pictures"
        )

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a JPEG XL file; ``quality`` 0 to 100."""
        return pillow.save(picture, "JXL", quality=quality, effort=9, num_threads=0)

    def decompress(self, data: bytes) -> Tensor:
        """A JPEG XL file to the picture, uint8 (3, H, W)."""
        return pillow.load(data, "JXL")
