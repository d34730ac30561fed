"""The prior's weights file: integers only, in safetensors.

::

    embeddings.{1..9}                     int8 (K + 1, C)
    blocks.{i}.{gather,mix}.{weight,bias,shift}   int8, int32, int8
    heads.{1..9}.{weight,bias,shift}      int8 (K, C), int32 (K,), int8 (K,)
    metadata, as JSON: format, codec (the fingerprint of the codec's weights)

Keys count qualities from 1, as in the codec's weights files; in Python rates count from 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..errors import CodecError
from ..ladder_weights import PACKAGED, LadderWeights
from ..tensor_file import read_facts, read_tensors, write_tensors
from .integer_convolution import IntegerConvolution
from .integer_layers import IntegerLinear
from .network import Block, PriorNetwork

FORMAT = 1
_METADATA = "compressai_vq_prior"


@dataclass(frozen=True)
class PriorWeights:
    """A network and the codec that its index maps come from.

    Args:
        network: the integer network.
        codec: fingerprint of the codec's weights, 32 bytes.
        fingerprint: SHA-256 of the file; empty before the weights are saved.
    """

    network: PriorNetwork
    codec: bytes
    fingerprint: bytes = b""

    @classmethod
    def load(cls, path: Path | str) -> PriorWeights:
        """Read a file; nothing in it is executed, and no sum of its network can overflow.

        Raises:
            CodecError: when it is missing, is no such file, or its network is not exact.
        """
        facts, tensors, fingerprint = read_tensors(path, _METADATA, "the prior")
        if facts.get("format") != FORMAT:
            raise CodecError(f"{path} holds no index prior of format {FORMAT}")
        try:
            network, codec = _network(tensors), bytes.fromhex(facts["codec"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CodecError(f"{path} lacks a part of the prior: {error}") from error
        except CodecError as error:
            raise CodecError(f"{path}: {error}") from error
        return cls(network, codec, fingerprint)

    def save(self, path: Path | str) -> bytes:
        """Write the file; returns its fingerprint.

        Raises:
            CodecError: when it cannot be written.
        """
        facts = {"format": FORMAT, "codec": self.codec.hex()}
        return write_tensors(path, _METADATA, facts, tensors_of(self.network))

    @property
    def joint_fingerprint(self) -> bytes:
        """What files that are coded by this prior carry (their first 2 bytes): SHA-256 of the
        codec's fingerprint and the prior's.
        """
        return hashlib.sha256(self.codec + self.fingerprint).digest()

    def check_fits(self, weights: LadderWeights) -> None:
        """Make sure that the prior was trained on the index maps of these weights.

        Raises:
            CodecError: when it was not; coding would be exact still, but useless.
        """
        if weights.image_fingerprint != self.codec:
            raise CodecError(
                f"this index prior belongs to weights {self.codec.hex()[:16]}, "
                f"not to {weights.image_fingerprint.hex()[:16]}: give the one that "
                "was trained for them, or to compress use the frequencies instead"
            )


def packaged_prior(weights: LadderWeights) -> Path | None:
    """Where the package keeps a prior for these very weights; None when it has none.

    Only the file's header is read: most runs do not need what is behind it.
    """
    path = PACKAGED / f"{weights.architecture}-prior.safetensors"
    if not path.is_file():
        return None
    ours = read_facts(path, _METADATA).get("codec") == weights.image_fingerprint.hex()
    return path if ours else None


def is_prior(path: Path) -> bool:
    """Whether a file's header says that it holds an index prior."""
    try:
        return bool(read_facts(path, _METADATA))
    except CodecError:
        return False


def tensors_of(network: PriorNetwork) -> dict[str, Tensor]:
    """All that a file has of a prior, by name."""
    tensors = {f"embeddings.{r + 1}": table for r, table in network.embeddings.items()}
    layers = {f"heads.{rate + 1}": head for rate, head in network.heads.items()}
    for number, block in enumerate(network.blocks):
        layers[f"blocks.{number}.gather"] = block.gather
        layers[f"blocks.{number}.mix"] = block.mix
    for name, layer in layers.items():
        tensors[f"{name}.weight"] = layer.weight
        tensors[f"{name}.bias"] = layer.bias
        tensors[f"{name}.shift"] = layer.shift
    return {name: value.cpu().contiguous() for name, value in tensors.items()}


def _network(tensors: dict[str, Tensor]) -> PriorNetwork:
    def parts(name: str) -> tuple[Tensor, Tensor, Tensor]:
        return tensors[f"{name}.weight"], tensors[f"{name}.bias"], tensors[f"{name}.shift"]

    def block(name: str) -> Block:
        gather = IntegerConvolution(*parts(f"{name}.gather"))
        return Block(gather, IntegerLinear(*parts(f"{name}.mix")))

    depth = sum(name.startswith("blocks.") and name.endswith(".mix.weight") for name in tensors)
    rates = sorted(
        int(name.split(".")[1]) - 1 for name in tensors if name.startswith("embeddings.")
    )
    return PriorNetwork(
        {rate: tensors[f"embeddings.{rate + 1}"] for rate in rates},
        [block(f"blocks.{i}") for i in range(depth)],
        {rate: IntegerLinear(*parts(f"heads.{rate + 1}")) for rate in rates},
    )
