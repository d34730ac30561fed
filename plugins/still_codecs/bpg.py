"""BPG through ``bpgenc`` and ``bpgdec``, with the commands of CompressAI's benchmark."""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

from compressai.utils.bench.codecs import BPG as Commands
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.picture import read_picture, write_picture

from . import external
from .still_picture import StillPictureCodec


class BPG(StillPictureCodec):
    """8-bit 4:4:4 with x265, CompressAI's defaults; qualities are QPs, 0 to 51.

    Raises:
        CodecError: when the programs are not on the PATH.
    """

    label = "BPG"
    extension = ".bpg"
    qualities = (51, 47, 43, 39)

    def __init__(self) -> None:
        encoder, decoder = external.program("bpgenc"), external.program("bpgdec")
        parser = argparse.ArgumentParser()
        Commands.setup_args(parser)
        arguments = ["--encoder-path", encoder, "--decoder-path", decoder]
        self._commands = Commands(parser.parse_args(arguments))
        digest = hashlib.sha256(Path(encoder).read_bytes()).hexdigest()[:16]
        self.description = f"{self._commands.name}, bpgenc {digest}; quality is QP"

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a BPG file; ``quality`` is QP, 0 to 51."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "picture.png"), Path(folder, "picture.bpg")
            write_picture(source, picture)
            try:
                command = self._commands._get_encode_cmd(source, quality, target)
            except ValueError as error:
                raise CodecError(str(error)) from None
            external.run(command)
            return target.read_bytes()

    def decompress(self, data: bytes) -> Tensor:
        """A BPG file to the picture, uint8 (3, H, W)."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "picture.bpg"), Path(folder, "picture.png")
            source.write_bytes(data)
            external.run(self._commands._get_decode_cmd(source, target))
            return read_picture(target, 1 << 28)
