"""VVC (H.266) through libvvenc: a raw ``.266`` bitstream of one picture.

libvvenc is Fraunhofer's encoder, not the reference software VTM that papers report. Its
perceptual adaptation of the quantiser stays on, as it is by default: at equal rates it lowers
LPIPS, which brings the encoder nearer to what is published of VTM.

4:2:0 needs even sides. Of an odd picture the last row or column is repeated, and the file ends
with one zero byte for an odd width, two for an odd height, three for both: Annex B of the
standard lets any number of zeros follow a stream, whose own last byte is never zero, so that it
remains an ordinary bitstream that any decoder reads.
"""

from __future__ import annotations

from torch import Tensor

from compressai_vq.errors import CodecError

from .colour_planes import COLOURS
from .ffmpeg import YUV420_10
from .ffmpeg_codec import FFmpegCodec

# What only a video or parallel threads need; a still of a few hundred bytes pays for it too.
_WITHOUT = (
    "wavefrontsynchro=0",
    "accessunitdelimiter=0",
    "hrdparameterspresent=0",
    "vuiparameterspresent=0",
)


class VVC(FFmpegCodec):
    """libvvenc at preset medium, 10-bit 4:2:0; qualities are QPs, 0 to 63."""

    label = "VVC (libvvenc)"
    extension = ".266"
    qualities = (63, 58, 54, 50, 45, 40)
    standard, highest_qp = "VVC", 63
    encoder, stream, planes = "libvvenc", "vvc", YUV420_10

    def __init__(self) -> None:
        super().__init__()
        self.description = (
            f"libvvenc (not VTM) of {self._ffmpeg.version}, preset medium, one thread, "
            f"10-bit 4:2:0, {COLOURS}, a group of one picture, perceptual QP adaptation as by "
            "default; raw bitstream without HRD and VUI parameters or delimiters; quality is QP"
        )

    def options(self, quality: int) -> list[str]:
        """See :class:`FFmpegCodec`."""
        # A group of one picture: by default the parameter sets are those of a sequence.
        options = ["-preset", "medium", "-g", "1", "-qp", str(quality), "-qpa", "1"]
        return [*options, "-vvenc-params", ":".join(_WITHOUT)]

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a bitstream; ``quality`` is QP, 0 to 63."""
        data = super().compress(picture, quality)
        return data + bytes(picture.shape[2] % 2 + 2 * (picture.shape[1] % 2))

    def decompress(self, data: bytes) -> Tensor:
        """A bitstream to the picture, uint8 (3, H, W)."""
        zeros = len(data) - len(data.rstrip(b"\0"))
        if zeros > 3:
            raise CodecError("the VVC file is damaged: it ends with more than three zeros")
        picture = super().decompress(data)
        height, width = picture.shape[1:]
        return picture[:, : height - zeros // 2, : width - zeros % 2]
