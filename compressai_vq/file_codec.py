"""Pictures to the bytes of a ``.cvq`` file and back, with one set of weights."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .architectures import ARCHITECTURES
from .codec import VQGANCodec
from .codings import FREQUENCIES, PRIOR, check_coding
from .container import MAX_SIDE, Container
from .errors import CodecError
from .ladder_weights import LadderWeights
from .pixel_range import check_picture
from .precision import for_inference
from .prior.prior_weights import PriorWeights, packaged_prior

if TYPE_CHECKING:
    from .refinement import Refinement


class FileCodec:
    """All qualities of one set of weights.

    ::

        picture ──► VQGANCodec.encode ──► indices ──► VQGANCodec.write ──► Container ──► bytes
        picture ◄── VQGANCodec.decode ◄── indices ◄── VQGANCodec.read  ◄── Container ◄── bytes

    Args:
        weights: the nine rates' weights.
        device: where the networks run.
        precision: ``"auto"``, ``"fp32"`` or ``"bf16"``; see :func:`for_inference`.
        prior: the index prior of these weights; by default the package's, if it has one.
        coding: how to write, ``"frequencies"`` or ``"prior"``; by default by the prior when
            there is one.  Files of both kinds are read.
        refinement: what chooses indices when pictures are compressed; by default they are
            those of the nearest codewords.

    Raises:
        CodecError: when the prior belongs to other weights, or is to code and is not there.
    """

    def __init__(
        self,
        weights: LadderWeights,
        device: str | torch.device = "cpu",
        precision: str = "auto",
        prior: PriorWeights | None = None,
        coding: str | None = None,
        refinement: Refinement | None = None,
    ) -> None:
        self.weights = weights
        self.device = torch.device(device)
        self.refinement = refinement
        self._precision = precision
        self._codecs: dict[int, VQGANCodec] = {}
        self._loading = threading.Lock()
        if not weights.qualities:
            raise CodecError("these weights have no codebooks, and so no quality")
        if prior is not None:
            prior.check_fits(weights)
        self._prior = prior if prior is not None else packaged_prior(weights)
        self.coding = coding or (FREQUENCIES if self._prior is None else PRIOR)
        check_coding(self.coding)
        if self.coding == PRIOR and self._prior is None:
            raise CodecError(
                "there is no index prior for these weights: give one with --prior FILE, "
                "or use --coding frequencies"
            )

    def codec(self, quality: int) -> VQGANCodec:
        """The codec of one quality, ready for inference; made once, for all threads.

        Raises:
            CodecError: when the weights lack the quality.
        """
        with self._loading:
            if quality not in self._codecs:
                codec = self.weights.codec(quality, shared=True)
                with torch.inference_mode(False):  # whatever this first caller works in
                    prepared = for_inference(codec, self.device, self._precision)
                self._codecs[quality] = prepared
            return self._codecs[quality]

    @functools.cached_property
    def prior(self) -> PriorWeights | None:
        """The index prior, read when it is first used; None when there is none."""
        if isinstance(self._prior, Path):
            loaded = PriorWeights.load(self._prior)
            loaded.check_fits(self.weights)
            return loaded
        return self._prior

    def coder(self, quality: int, coding: str) -> VQGANCodec:
        """As :meth:`codec`, with the index prior if that is what it shall code by.

        Raises:
            CodecError: when the weights, or the prior that is to code, lack the quality.
        """
        codec = self.codec(quality)
        if coding == PRIOR and codec.prior is None and self.prior is not None:
            codec.use_prior(self.prior.network.to(self.device), FREQUENCIES)
        return codec

    @property
    def max_pixels(self) -> int:
        """Larger pictures are refused."""
        return ARCHITECTURES[self.weights.architecture].max_pixels

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to the contents of a file.

        Raises:
            CodecError: when the weights lack the quality, and when the picture is too large or
                of another kind.
        """
        return self._compress(picture, quality, self.refinement)

    def _compress(self, picture: Tensor, quality: int, refinement: Refinement | None) -> bytes:
        check_picture(picture)
        height, width = picture.shape[1:]
        self._check_size(width, height)
        codec = self.coder(quality, self.coding)
        if refinement is None:
            indices = codec.encode(picture[None].to(self.device))
        else:
            indices = refinement.indices(codec, picture, self.coding)[None]
        (payload,) = codec.write(indices, self.coding)
        return Container(
            self.weights.architecture,
            quality,
            self._fingerprint(self.coding),
            width,
            height,
            payload,
            self.coding,
        ).to_bytes()

    def compress_to_fit(self, picture: Tensor, max_bytes: int) -> tuple[bytes, int]:
        """The file of the highest quality that has at most ``max_bytes``, and that quality.

        Raises:
            CodecError: when no quality's file is so small, and as :meth:`compress`.
        """
        smallest = 0
        fits: tuple[bytes, int] | None = None
        for quality in reversed(self.weights.qualities):
            data = self._compress(picture, quality, None)
            smallest = min(smallest or len(data), len(data))
            if len(data) > max_bytes:
                continue
            if self.refinement is None:
                return data, quality
            # Refined indices are often a little dearer, and worth more than a step of quality.
            refined = self._compress(picture, quality, self.refinement)
            if len(refined) <= max_bytes:
                return refined, quality
            fits = fits or (data, quality)
        if fits is not None:
            return fits
        raise CodecError(f"no quality fits in {max_bytes} bytes: the smallest file has {smallest}")

    def decompress(self, data: bytes) -> Tensor:
        """The contents of a file to the picture, uint8 (3, H, W), on the CPU.

        Raises:
            CodecError: when the file is damaged, too large, or made with other weights.
        """
        container = Container.from_bytes(data)
        indices = self.indices(container)
        return self.paint(indices, container.quality, container.width, container.height)

    def indices(self, container: Container) -> Tensor:
        """The index map of a file, int64 (h, w), on the codec's device.

        Raises:
            CodecError: as :meth:`decompress`.
        """
        self.check(container)
        codec = self.coder(container.quality, container.coding)
        return codec.read([container.payload], container.shape, container.coding)[0]

    def paint(self, indices: Tensor, quality: int, width: int, height: int) -> Tensor:
        """An index map (h, w) to its picture, uint8 (3, height, width), on the CPU."""
        return self.codec(quality).paint(indices.to(self.device), height, width)

    def check(self, container: Container) -> None:
        """Raise CodecError unless the file was made with these weights."""
        self.weights.check_architecture(container.architecture)
        if container.coding == PRIOR:
            self._check_prior(container)
        else:
            self.weights.check_fingerprint(container.fingerprint)
        self._check_size(container.width, container.height)

    def _check_prior(self, container: Container) -> None:
        if self.prior is None:
            raise CodecError(
                "the file is coded by an index prior, and there is none for these weights: "
                "give the weights that it was made with, and their prior with --prior FILE"
            )
        expected = self._fingerprint(PRIOR)
        if container.fingerprint != expected:
            raise CodecError(
                f"coded by another index prior or made with other weights "
                f"({container.fingerprint.hex()}, these are {expected.hex()}): "
                "give the right ones with --prior and --weights"
            )

    def _fingerprint(self, coding: str) -> bytes:
        """The 2 bytes that files of this coding carry."""
        if coding == PRIOR and self.prior is not None:
            return self.prior.joint_fingerprint[:2]
        return self.weights.image_fingerprint[:2]

    def _check_size(self, width: int, height: int) -> None:
        if max(width, height) > MAX_SIDE:
            raise CodecError(f"{width}x{height} pixels: a side has at most {MAX_SIDE}")
        if width * height > self.max_pixels:
            raise CodecError(
                f"{width}x{height} pixels are more than {self.weights.architecture}'s limit "
                f"of {self.max_pixels / 1e6:.1f} megapixels"
            )
