"""VTM, the reference software of VVC, set up as in CompressAI's benchmark.

CompressAI's wrapper measures and throws its bitstream away, so the commands are given here:
8-bit 4:4:4 planes in, no loss in the conversion that it would not have either. A decoder of
planes does not say how large they are; a file therefore begins with width and height, two bytes
each (big-endian), and the bitstream follows.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from pathlib import Path

from compressai.utils.bench.codecs import VTM as Paths
from torch import Tensor

from compressai_vq.errors import CodecError

from . import external
from .colour_planes import COLOURS, from_planes, to_planes
from .still_picture import StillPictureCodec, check_qp

CONFIG_VARIABLE = "VTM_CONFIG"
_CONFIG = "encoder_intra_vtm.cfg"


class VTM(StillPictureCodec):
    """VTM's intra configuration; qualities are QPs, 0 to 63.

    Raises:
        CodecError: when the programs are not on the PATH, or their configuration is not found.
    """

    label = "VVC (VTM)"
    extension = ".vtm"
    qualities = (63, 60, 57, 54, 51, 48, 45)

    def __init__(self) -> None:
        encoder = Path(external.program("EncoderAppStatic"))
        external.program("DecoderAppStatic")
        # <clone>/bin/EncoderAppStatic, <clone>/cfg/encoder_intra_vtm.cfg
        config = Path(
            os.environ.get(CONFIG_VARIABLE) or encoder.resolve().parents[1] / "cfg" / _CONFIG
        )
        if not config.is_file():
            raise CodecError(f"{_CONFIG} of VTM is not at {config}: set {CONFIG_VARIABLE} to it")
        arguments = argparse.Namespace(
            build_dir=str(encoder.parent), config=str(config), rgb=False
        )
        self._paths = Paths(arguments)
        digest = hashlib.sha256(encoder.read_bytes() + config.read_bytes()).hexdigest()[:16]
        self.description = (
            f"VTM {digest}, {config.name}, 8-bit 4:4:4, {COLOURS}, neutral at 128; bitstream "
            "after 4 bytes that give the size; quality is QP"
        )

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a file; ``quality`` is QP, 0 to 63."""
        check_qp("VTM", quality, 63)
        height, width = picture.shape[1:]
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "picture.yuv"), Path(folder, "picture.bin")
            source.write_bytes(to_planes(picture, 8, False))
            command = [self._paths.encoder_path, "-i", source, "-c", self._paths.config_path]
            command += ["-q", quality, "-o", os.devnull, "-b", target]
            command += ["-wdt", width, "-hgt", height, "-fr", "1", "-f", "1"]
            command += ["--InputChromaFormat=444", "--InputBitDepth=8"]
            external.run([*command, "--ConformanceWindowMode=1"])
            return width.to_bytes(2, "big") + height.to_bytes(2, "big") + target.read_bytes()

    def decompress(self, data: bytes) -> Tensor:
        """A file to the picture, uint8 (3, H, W)."""
        width, height = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "picture.bin"), Path(folder, "picture.yuv")
            source.write_bytes(data[4:])
            external.run([self._paths.decoder_path, "-b", source, "-o", target, "-d", 8])
            return from_planes(target.read_bytes(), height, width, 8, False)
