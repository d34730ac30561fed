"""HEVC intra through libx265: the kind of stream that a BPG file wraps.

The settings are those of bpgenc's x265 mode (libbpg, ``x265_glue.c``): preset placebo, tune
ssim, constant QP, one intra picture, no information message, 8-bit 4:4:4. What differs from
BPG: the matrix is BT.709's, not BT.601's; and the file is the raw bitstream, whose parameter
sets are some tens of bytes longer than BPG's own header.
"""

from __future__ import annotations

from .colour_planes import COLOURS
from .ffmpeg import YUV444_8
from .ffmpeg_codec import FFmpegCodec

# Rate control would lower an intra picture's QP against the one given (ipratio); wavefronts
# would cost bytes for threads that are not used, and a still has no time to tell (vui, hrd).
_SETTINGS = (
    "ipratio=1:keyint=1:info=0:vui-timing-info=0:vui-hrd-info=0:"
    "wpp=0:pools=none:frame-threads=1:log-level=error"
)


class HEVC(FFmpegCodec):
    """libx265 as BPG uses it; qualities are QPs, 0 to 51.

    Of a stream whose slice is cut off or damaged, ffmpeg gives a wrong picture and no error: the
    bitstream has no check, and the decoder conceals what it cannot read.
    """

    label = "HEVC intra (x265, 4:4:4), as in BPG"
    extension = ".265"
    qualities = (51, 47, 43, 39)
    standard, highest_qp = "HEVC", 51
    encoder, stream, planes = "libx265", "hevc", YUV444_8

    def __init__(self) -> None:
        super().__init__()
        self.description = (
            f"libx265 of {self._ffmpeg.version}, preset placebo, tune ssim, one thread, 8-bit "
            f"4:4:4, {COLOURS}, neutral at 128; raw bitstream with parameter sets, without "
            "timing; quality is QP, and 51 is the highest QP that HEVC has"
        )

    def options(self, quality: int) -> list[str]:
        """See :class:`FFmpegCodec`."""
        options = ["-preset", "placebo", "-tune", "ssim"]
        return [*options, "-x265-params", f"qp={quality}:{_SETTINGS}"]
