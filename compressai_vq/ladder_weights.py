"""Weights files: one safetensors file holds all nine rates of an architecture.

::

    encoder.*, decoder.*          the networks, shared by all rates
    codebooks.{1..9}              codewords (K, D)
    log2_frequencies.{1..9}       how often each is used, fp32 (K,), in bits
    metadata, as JSON: architecture, calibration ("counted on ..." or "uniform"), decodes (only
        where the encoder is all that is new: the fingerprint of the weights that it was made for)

A file is known by its fingerprint, the SHA-256 of its bytes.  Compressed images carry that of the
weights whose decoder, codebooks and frequencies they need; a better encoder changes none of these.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .architectures import ARCHITECTURES
from .codec import VQGANCodec
from .errors import CodecError
from .index_coder import TABLES
from .rates import LADDER
from .tensor_file import read_tensors, write_tensors

_METADATA = "compressai_vq"
PACKAGED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class LadderWeights:
    """The contents of one weights file."""

    architecture: str
    calibration: str
    tensors: dict[str, Tensor]
    fingerprint: bytes = b""  # 32 bytes; empty before the weights are saved
    decodes: bytes = b""  # 32 bytes, of weights that differ in the encoder alone; empty for none

    @classmethod
    def load(cls, path: Path | str) -> LadderWeights:
        """Read a weights file; nothing in it is executed.

        Raises:
            CodecError: when it is missing or is not such a file.
        """
        facts, tensors, fingerprint = read_tensors(path, _METADATA, "weights")
        if facts.get("architecture") not in list(ARCHITECTURES):
            raise CodecError(f"{path} holds no weights of this package")
        calibration = str(facts.get("calibration", "unknown"))
        try:
            decodes = bytes.fromhex(facts.get("decodes", ""))
        except (TypeError, ValueError):
            raise CodecError(f"{path}: whose images these weights decode is no number") from None
        return cls(facts["architecture"], calibration, tensors, fingerprint, decodes)

    def save(self, path: Path | str) -> bytes:
        """Write the file; returns its fingerprint.

        Raises:
            CodecError: when it cannot be written.
        """
        facts = {"architecture": self.architecture, "calibration": self.calibration}
        if self.decodes:
            facts["decodes"] = self.decodes.hex()
        return write_tensors(path, _METADATA, facts, self.tensors)

    @property
    def image_fingerprint(self) -> bytes:
        """What compressed images carry (their first 2 bytes), and what an index prior is for:
        the fingerprint of the first weights with this decoder, these codebooks and frequencies.
        """
        return self.decodes or self.fingerprint

    @property
    def qualities(self) -> list[int]:
        """The qualities that the file has codebooks for."""
        known = range(1, len(LADDER) + 1)
        return [quality for quality in known if f"codebooks.{quality}" in self.tensors]

    def check_architecture(self, architecture: str) -> None:
        """Raise CodecError unless these weights are of what something was made with."""
        if architecture != self.architecture:
            raise CodecError(f"made with {architecture}; these weights are {self.architecture}")

    def check_quality(self, quality: int) -> None:
        """Raise CodecError unless these weights have a quality."""
        if quality not in self.qualities:
            raise CodecError(f"these weights have qualities {self.qualities}, not {quality}")

    def check_fingerprint(self, fingerprint: bytes) -> None:
        """Raise CodecError unless these are the weights that something was made with.

        Args:
            fingerprint: the first two bytes of those weights' :attr:`image_fingerprint`.
        """
        if fingerprint != self.image_fingerprint[:2]:
            raise CodecError(
                f"made with weights {fingerprint.hex()} of {self.architecture}; "
                f"these are {self.image_fingerprint[:2].hex()}: give the right ones with --weights"
            )

    @functools.cached_property
    @torch.inference_mode(False)
    def _networks(self) -> dict[str, Tensor]:
        parts = ("encoder.", "decoder.")
        networks = {k: v.float() for k, v in self.tensors.items() if k.startswith(parts)}
        _check_finite(networks)
        return networks

    # What is made while the caller does without gradients shall serve others, too.
    @torch.inference_mode(False)
    def codec(self, quality: int, shared: bool = False) -> VQGANCodec:
        """The codec of one quality, in fp32, ready to compress.

        Args:
            quality: one of :attr:`qualities`.
            shared: whether its parameters may be those of other codecs of these weights, too,
                which saves memory where none is changed.

        Raises:
            CodecError: when the file has no such quality or its tensors do not fit.
        """
        self.check_quality(quality)
        try:
            return self._codec(quality, shared)
        except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())  # torch lists every tensor on its own line
            reason = reason if len(reason) <= 200 else f"{reason[:200]}..."
            raise CodecError(f"weights of {self.architecture} do not fit: {reason}") from error

    def _codec(self, quality: int, shared: bool) -> VQGANCodec:
        frequencies = self.tensors[f"log2_frequencies.{quality}"].float()
        state = {
            "codebook.weight": self.tensors[f"codebooks.{quality}"].float(),
            "index_coder.quantiles": frequencies,
            "index_coder.usage": torch.softmax(frequencies * math.log(2), 0),
        }
        _check_finite(state)
        if state["codebook.weight"].ndim != 2:
            raise ValueError(f"codebooks.{quality} is no table of codewords")
        if len(state["codebook.weight"]) != LADDER[quality - 1]:
            found, size = len(state["codebook.weight"]), LADDER[quality - 1]
            raise ValueError(f"quality {quality} has {found} codewords, not {size}")
        state.update(self._networks)
        if not shared:
            state = {name: value.clone() for name, value in state.items()}
        # The coder's tables are not stored: they follow from the frequencies.
        for buffer in TABLES:
            state[f"index_coder.{buffer}"] = torch.IntTensor()
        state["index_coder.likelihood_lower_bound.bound"] = torch.tensor([1e-9])
        with torch.device("meta"):  # no time for initial values that are thrown away
            codec = ARCHITECTURES[self.architecture].sized_for(state)
        codec.load_state_dict(state, assign=True)
        codec.update(force=True)
        return codec.eval()


def _check_finite(tensors: dict[str, Tensor]) -> None:
    for name, value in tensors.items():
        # One pass without a copy: whatever is not finite is an extreme, NaN both.
        if value.numel() and not torch.stack(value.aminmax()).isfinite().all():
            raise ValueError(f"{name} has values that are not finite")


def packaged_weights(architecture: str) -> Path:
    """Where the package keeps the weights of an architecture."""
    return PACKAGED / f"{architecture}.safetensors"
