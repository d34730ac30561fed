"""HEVC intra through libx265: the kind of stream that a BPG file wraps.

The settings are those of bpgenc's x265 mode (libbpg, ``x265_glue.c``): preset placebo, tune
ssim, constant QP, one intra picture, no information message, 8-bit 4:4:4. What differs from
BPG: the matrix is BT.709's, not BT.601's; and the file is the raw bitstream, whose parameter
sets are some tens of bytes longer than BPG's own header.
"""

from __future__ import annotations

from torch import Tensor

from compressai_vq.errors import CodecError

from .colour_planes import COLOURS
from .ffmpeg import YUV444_8, FFmpeg
from .still_picture import StillPictureCodec

_STREAM = "hevc"
# Rate control would lower an intra picture's QP against the one given (ipratio), and
# wavefronts would cost bytes for threads that are not used.
_SETTINGS = "ipratio=1:keyint=1:info=0:wpp=0:pools=none:frame-threads=1:log-level=error"


class HEVC(StillPictureCodec):
    """libx265 as BPG uses it; qualities are QPs, high for small files.

    Raises:
        CodecError: when there is no ffmpeg with libx265.
    """

    label = "HEVC intra (x265, 4:4:4), as in BPG"
    extension = ".265"
    qualities = (51, 47, 43, 39)

    def __init__(self) -> None:
        self._ffmpeg = FFmpeg()
        self._ffmpeg.require_encoder("libx265")
        self.description = (
            f"libx265 of {self._ffmpeg.version}, preset placebo, tune ssim, one thread, 8-bit "
            f"4:4:4, {COLOURS}; raw bitstream with parameter sets; quality is QP, and 51 is the "
            "highest QP that HEVC has"
        )

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a bitstream; ``quality`` is QP, 0 to 51."""
        if not 0 <= quality <= 51:
            raise CodecError(f"HEVC takes qualities (QP) 0 to 51, not {quality}")
        options = ["-c:v", "libx265", "-preset", "placebo", "-tune", "ssim"]
        options += ["-x265-params", f"qp={quality}:{_SETTINGS}"]
        return self._ffmpeg.encode(picture, YUV444_8, options, _STREAM)

    def decompress(self, data: bytes) -> Tensor:
        """A bitstream to the picture, uint8 (3, H, W)."""
        return self._ffmpeg.decode(data, YUV444_8, _STREAM)
