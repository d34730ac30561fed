"""The ffmpeg program of the ``imageio-ffmpeg`` package: planes to a bitstream and back."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from torch import Tensor

from compressai_vq.errors import CodecError

from .colour_planes import from_planes, to_planes
from .still_picture import EXTRA

SMALLEST_SIDE = 48
"""In pixels; libx265 and libvvenc refuse pictures not far below, depending on settings."""


@dataclass(frozen=True)
class PlaneFormat:
    """How ffmpeg names a layout of planes, and what :mod:`.colour_planes` needs to know."""

    name: str
    bits: int
    subsampled: bool


YUV420_10 = PlaneFormat("yuv420p10le", 10, True)
YUV444_8 = PlaneFormat("yuv444p", 8, False)


class FFmpeg:
    """Runs the program on data in memory, in one thread.

    Raises:
        CodecError: when the package or its program is not there.
    """

    def __init__(self) -> None:
        try:
            import imageio_ffmpeg
        except ImportError:
            raise CodecError(f"ffmpeg is not installed: {EXTRA}") from None
        try:
            self.program = imageio_ffmpeg.get_ffmpeg_exe()
            version = imageio_ffmpeg.get_ffmpeg_version()
        except (RuntimeError, OSError):
            raise CodecError(f"imageio-ffmpeg has no program for this system: {EXTRA}") from None
        self.version = f"ffmpeg {version}"

    def require_encoder(self, name: str) -> None:
        """Raise CodecError unless the program has this encoder."""
        listed = self._run(["-encoders"], b"")
        if not re.search(rf"^ V\S+ {re.escape(name)} ", listed.decode(errors="replace"), re.M):
            raise CodecError(f"{self.program} has no {name}: {EXTRA} brings one that has")

    def encode(
        self, picture: Tensor, planes: PlaneFormat, options: list[str], stream: str
    ) -> bytes:
        """One picture, uint8 (3, H, W), to a bitstream.

        Args:
            picture: what to encode; for 4:2:0 it is padded to even sides.
            planes: what the encoder shall get.
            options: ffmpeg's, for the encoder.
            stream: ffmpeg's name of the bitstream's format.

        Raises:
            CodecError: for sides below ``SMALLEST_SIDE`` and when the encoder refuses.
        """
        height, width = picture.shape[1:]
        if min(height, width) < SMALLEST_SIDE:
            raise CodecError(
                f"{width}x{height} pixels are too few for this encoder: it takes sides of "
                f"{SMALLEST_SIDE} and more"
            )
        if planes.subsampled:
            height, width = height + height % 2, width + width % 2
        source = ["-f", "rawvideo", "-pix_fmt", planes.name, "-s", f"{width}x{height}"]
        command = [*source, "-i", "pipe:0", "-frames:v", "1", *options, "-threads", "1"]
        raw = to_planes(picture, planes.bits, planes.subsampled)
        data = self._run([*command, "-f", stream, "pipe:1"], raw)
        if not data:
            raise CodecError(f"ffmpeg could not encode a {width}x{height} picture")
        return data

    def decode(self, data: bytes, planes: PlaneFormat, stream: str) -> Tensor:
        """A bitstream of one picture to that picture, uint8 (3, H, W).

        Raises:
            CodecError: when there is no whole picture of this layout in it.
        """
        # YUV4MPEG carries the size, which the caller cannot know.
        command = ["-threads", "1", "-f", stream, "-i", "pipe:0", "-strict", "-1"]
        command += ["-frames:v", "1", "-pix_fmt", planes.name, "-f", "yuv4mpegpipe", "pipe:1"]
        decoded = self._run(command, data)
        header, _, rest = decoded.partition(b"\n")
        size = re.match(rb"YUV4MPEG2 W(\d+) H(\d+) ", header)
        _, _, raw = rest.partition(b"\n")
        if size is None or not raw:
            raise CodecError(f"ffmpeg finds no picture in this .{stream} file: it is damaged")
        return from_planes(raw, int(size[2]), int(size[1]), planes.bits, planes.subsampled)

    def _run(self, arguments: list[str], data: bytes) -> bytes:
        command = [self.program, "-hide_banner", "-loglevel", "error", *arguments]
        try:
            result = subprocess.run(command, input=data, capture_output=True, check=False)
        except OSError as error:
            raise CodecError(f"cannot run {self.program}: {error.strerror}") from None
        if result.returncode:
            lines = result.stderr.decode(errors="replace").strip().splitlines()
            reason = re.sub(r"^(\[[^]]*\] )+", "", lines[0]) if lines else "no reason given"
            raise CodecError(f"ffmpeg failed: {reason}")
        return result.stdout
