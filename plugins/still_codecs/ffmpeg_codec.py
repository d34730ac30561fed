"""What the codecs of ffmpeg's encoders share: one intra picture at a constant QP."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from .ffmpeg import FFmpeg, PlaneFormat
from .still_picture import StillPictureCodec, check_qp


class FFmpegCodec(StillPictureCodec):
    """A raw bitstream by one of ffmpeg's encoders; qualities are QPs, high for small files.

    Raises:
        CodecError: when there is no ffmpeg with this encoder.
    """

    standard: str
    """The standard's name, for messages."""
    highest_qp: int
    encoder: str
    """ffmpeg's name of the encoder."""
    stream: str
    """ffmpeg's name of the bitstream's format."""
    planes: PlaneFormat

    def __init__(self) -> None:
        self._ffmpeg = FFmpeg()
        self._ffmpeg.require_encoder(self.encoder)

    @abstractmethod
    def options(self, quality: int) -> list[str]:
        """ffmpeg's options for the encoder at this QP."""

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a bitstream; ``quality`` is QP."""
        check_qp(self.standard, quality, self.highest_qp)
        command = ["-c:v", self.encoder, *self.options(quality)]
        return self._ffmpeg.encode(picture, self.planes, command, self.stream)

    def decompress(self, data: bytes) -> Tensor:
        """A bitstream to the picture, uint8 (3, H, W)."""
        return self._ffmpeg.decode(data, self.planes, self.stream)
