"""Pictures to the bytes of a ``.cvq`` file and back, with one set of weights."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .architectures import ARCHITECTURES
from .codec import VQGANCodec
from .container import Container
from .errors import CodecError
from .ladder_weights import LadderWeights
from .picture import from_unit, to_unit
from .precision import for_inference


class FileCodec:
    """All qualities of one set of weights.

    ::

        picture ──► VQGANCodec.compress ──► payload ──► Container ──► bytes
        picture ◄── VQGANCodec.decompress ◄── payload ◄── Container ◄── bytes

    Args:
        weights: the nine rates' weights.
        device: where the networks run.
        precision: ``"auto"``, ``"fp32"`` or ``"bf16"``; see :func:`for_inference`.
    """

    def __init__(
        self,
        weights: LadderWeights,
        device: str | torch.device = "cpu",
        precision: str = "auto",
    ) -> None:
        self.weights = weights
        self.device = torch.device(device)
        self._precision = precision
        self.codec = functools.cache(self._codec)

    def _codec(self, quality: int) -> VQGANCodec:
        return for_inference(self.weights.codec(quality), self.device, self._precision)

    @property
    def max_pixels(self) -> int:
        """Larger pictures are refused."""
        return ARCHITECTURES[self.weights.architecture].max_pixels

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to the contents of a file.

        Raises:
            CodecError: when the weights lack the quality or the picture is too large.
        """
        height, width = picture.shape[1:]
        self._check_size(width, height)
        out = self.codec(quality).compress(to_unit(picture).to(self.device))
        architecture, fingerprint = self.weights.architecture, self.weights.fingerprint
        payload = out["strings"][0][0]
        return Container(architecture, quality, fingerprint[:2], width, height, payload).to_bytes()

    def compress_to_fit(self, picture: Tensor, max_bytes: int) -> tuple[bytes, int]:
        """The file of the highest quality that has at most ``max_bytes``, and that quality.

        Raises:
            CodecError: when even the lowest quality's file is larger.
        """
        smallest = 0
        for quality in reversed(self.weights.qualities):
            data = self.compress(picture, quality)
            if len(data) <= max_bytes:
                return data, quality
            smallest = min(smallest or len(data), len(data))
        raise CodecError(f"no quality fits in {max_bytes} bytes: the smallest file has {smallest}")

    def decompress(self, data: bytes) -> Tensor:
        """The contents of a file to the picture, uint8 (3, H, W), on the CPU.

        Raises:
            CodecError: when the file is damaged, too large, or made with other weights.
        """
        container = Container.from_bytes(data)
        self.check(container)
        out = self.codec(container.quality).decompress([[container.payload]], container.shape)
        return from_unit(out["x_hat"]).cpu()[:, : container.height, : container.width]

    def check(self, container: Container) -> None:
        """Raise CodecError unless the file was made with these weights."""
        ours = self.weights
        if container.architecture != ours.architecture:
            raise CodecError(
                f"made with {container.architecture}; these weights are {ours.architecture}"
            )
        if container.fingerprint != ours.fingerprint[:2]:
            raise CodecError(
                f"made with weights {container.fingerprint.hex()} of {ours.architecture}; "
                f"these are {ours.fingerprint[:2].hex()}: give the right ones with --weights"
            )
        self._check_size(container.width, container.height)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise CodecError(
                f"{width}x{height} pixels are more than {self.weights.architecture}'s limit "
                f"of {self.max_pixels / 1e6:.1f} megapixels"
            )
