"""The lite networks as ONNX, and the tables that decoding needs beside them.

::

    encoder.onnx        image (N, 3, H, W) in [0, 1], rate --> latent (N, D, H/16, W/16)
    decoder.onnx        codewords (N, D, h, w), rate, corner
                                                           --> image (N, 3, 16 h, 16 w) in [0, 1]
    codec.safetensors   codebooks.{1..9}     fp32 (K, D)
                        frequencies.{1..9}   int32 (K,), of 2 ** 16: how often each index occurs
                        powers_of_two        int32, floor(2 ** (30 - i / 256)): the prior's weights
                        metadata, as JSON: format, architecture, fingerprint (the one that
                        compressed images carry), prior (the joint fingerprint of images
                        coded by it, or none), margin, max_pixels, checksums (the other
                        files' CRC-32)
    prior.safetensors   the index prior's own file, when there is one

H and W are multiples of 16, N, H and W are free, and ``rate`` is a scalar, quality - 1: one pair
serves all nine.  ``corner`` is the row and the column, in a larger map, of the first codeword: 0
and 0 for a whole map; the decoder's grain hangs on the position.  The graphs are written out
operator by operator from the weights' tensors, not traced: that takes no time, and gives what
runtimes run well (``LayerNormalization`` takes the rate's scale and shift as inputs).  Tensors
are stored as they are in the weights file, the package's in fp16, and cast when a file is
loaded: half the size, and computing is fp32.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from .atomic_file import write_together
from .codec import VQGANCodec
from .errors import CodecError
from .frequencies import PRECISION
from .ladder_weights import LadderWeights
from .networks.channel_norm import EPSILON
from .networks.grain import PERIOD, grain_channels
from .networks.lite import LiteDecoder
from .networks.lite_tiled import decoder_radii
from .prior.distribution import weights_of
from .prior.fixed_point import LOGIT_BITS
from .prior.prior_weights import PriorWeights
from .rates import STRIDE

FORMAT = 4  # 1: without the decoder's corner; 2: without checksums; 3: without the tables'
METADATA = "compressai_vq_onnx"
ARCHITECTURE = "mao2024-vqgan-lite"
FILES = ("encoder.onnx", "decoder.onnx", "prior.safetensors", "codec.safetensors")
"""Names of what an export writes; the prior only where there is one."""

_OPSET = 18
_IR_VERSION = 10  # of ONNX's file format; the helpers' default may be newer than a runtime reads
_LARGEST_WEIGHT_BITS = 30
_ENCODER, _DECODER, _PRIOR, _TABLES = FILES


def export_onnx(
    weights: LadderWeights,
    folder: Path,
    qualities: Iterable[int] | None = None,
    prior: Path | None = None,
) -> list[Path]:
    """Write the networks, the tables and the prior into a folder, which is made if need be.

    Args:
        weights: of ``mao2024-vqgan-lite``, loaded from a file.
        folder: where to; files of these names that are there are replaced.
        qualities: which ones' codebooks to write; by default all that the weights have.
        prior: file of the index prior of these weights.

    Returns:
        The files that were written.

    Raises:
        CodecError: when the weights are of another architecture or lack a quality, the prior is
            another one's, the extra ``onnx`` is missing, or the folder cannot be written to.
    """
    if weights.architecture != ARCHITECTURE:
        raise CodecError(f"only {ARCHITECTURE} can be exported, not {weights.architecture}")
    codecs = {q: weights.codec(q, shared=True) for q in qualities or weights.qualities}
    if not codecs:
        raise CodecError("these weights have no qualities to export")
    loaded = None if prior is None else PriorWeights.load(prior)
    if loaded is not None:
        loaded.check_fits(weights)
    # All is made before anything is written: files of two exports must not be mixed.
    contents = {_ENCODER: encoder_model(weights), _DECODER: decoder_model(weights)}
    if prior is not None:
        contents[_PRIOR] = prior.read_bytes()
    elif (folder / _PRIOR).exists():
        raise CodecError(f"{folder} holds another export's index prior: remove it first")
    checksums = {name: zlib.crc32(data) for name, data in contents.items()}
    contents[_TABLES] = _tables(weights, codecs, loaded, checksums)
    write_together({folder / name: data for name, data in contents.items()})
    return [folder / name for name in contents]


def encoder_model(weights: LadderWeights) -> bytes:
    """The encoder as a serialised ONNX model; see the module's text for its inputs.

    Raises:
        CodecError: when the extra ``onnx`` is missing.
    """
    graph = _Graph(weights, "encoder")
    x = graph.add("Sub", graph.add("Mul", "image", graph.scalar(2.0)), graph.scalar(1.0))
    x = graph.blocks(graph.unshuffled_conv(x, "stem", 4), "quarter")
    x = graph.blocks(graph.unshuffled_conv(x, "to_eighth", 2), "eighth")
    x = graph.blocks(graph.unshuffled_conv(x, "to_sixteenth", 2), "sixteenth")
    x = graph.conv(graph.norm_silu(x, "norm"), "head")
    channels = weights.tensors["encoder.head.weight"].shape[0]
    return graph.model(
        ("image", 3, "height", "width"), x, ("latent", channels, "height/16", "width/16")
    )


def decoder_model(weights: LadderWeights) -> bytes:
    """The decoder as a serialised ONNX model; see the module's text for its inputs.

    Raises:
        CodecError: when the extra ``onnx`` is missing.
    """
    graph = _Graph(weights, "decoder")
    x = graph.conv("codewords", "stem")
    if grain_channels(weights.tensors):
        x = graph.add("Add", x, graph.grain("codewords"))
    x = graph.blocks(x, "sixteenth")
    x = graph.blocks(graph.twice(graph.conv(x, "to_eighth")), "eighth")
    x = graph.blocks(graph.twice(graph.conv(x, "to_quarter")), "quarter")
    x = graph.shuffle(graph.conv(graph.norm_silu(x, "norm"), "to_half"))
    x = graph.shuffle(graph.conv(graph.silu(x), "head"))
    x = graph.add("Add", graph.add("Mul", x, graph.scalar(0.5)), graph.scalar(0.5))
    x = graph.add("Clip", x, graph.scalar(0.0), graph.scalar(1.0))
    channels = weights.tensors["decoder.stem.weight"].shape[1]
    return graph.model(
        ("codewords", channels, "height", "width"),
        x,
        ("image", 3, "16*height", "16*width"),
        corner=True,
    )


def decoder_margin(codec: VQGANCodec) -> int:
    """How many latent positions away a pixel can still depend on one: its reach, rounded up.

    With so many positions around it a part of a map decodes to the same pixels as in the whole.
    """
    assert isinstance(codec.decoder, LiteDecoder)
    return -(-sum(decoder_radii(codec.decoder)) // STRIDE)


def _depth(weights: LadderWeights, stage: str) -> int:
    numbers = itertools.takewhile(
        lambda n: f"{stage}.{n}.conv1.weight" in weights.tensors, itertools.count()
    )
    return len(list(numbers))


def _tables(
    weights: LadderWeights,
    codecs: dict[int, VQGANCodec],
    prior: PriorWeights | None,
    checksums: dict[str, int],
) -> bytes:
    below = torch.arange((_LARGEST_WEIGHT_BITS << LOGIT_BITS) + 1)
    tensors = {"powers_of_two": weights_of(-below[None].float())[0].to(torch.int32)}
    for quality, codec in codecs.items():
        shares = codec.index_coder.probabilities * (1 << PRECISION)
        tensors[f"codebooks.{quality}"] = codec.codebook.weight.detach().float().contiguous()
        tensors[f"frequencies.{quality}"] = shares.to(torch.int32)
    any_codec = next(iter(codecs.values()))
    facts = {
        "format": FORMAT,
        "architecture": weights.architecture,
        "fingerprint": weights.image_fingerprint.hex(),
        "prior": None if prior is None else prior.joint_fingerprint.hex(),
        "margin": decoder_margin(any_codec),
        "max_pixels": any_codec.max_pixels,
    }
    data = safetensors.torch.save(tensors)
    numbers = data[8 + int.from_bytes(data[:8], "little") :]  # which lie alike with the facts
    facts["checksums"] = {**checksums, _TABLES: zlib.crc32(numbers)}
    return safetensors.torch.save(tensors, {METADATA: json.dumps(facts, sort_keys=True)})


class _Graph:
    """An ONNX graph in the making: every method adds operators and names their result.

    Args:
        weights: whose tensors become the graph's.
        network: ``"encoder"`` or ``"decoder"``.
    """

    def __init__(self, weights: LadderWeights, network: str) -> None:
        try:
            import onnx
        except ImportError:
            raise CodecError(
                "this needs the extra 'onnx': pip install 'compressai-vq[onnx]'"
            ) from None
        self._onnx: Any = onnx
        self._weights, self._network = weights, network
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._known: dict[str, str] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One operator."""
        name = f"{operator}_{len(self._nodes)}"
        node = self._onnx.helper.make_node(operator, list(inputs), [name], name, **attributes)
        self._nodes.append(node)
        return name

    def scalar(self, value: float) -> str:
        """A constant without dimensions."""
        return self._constant(f"constant_{value}", torch.tensor(value))

    def parameter(self, name: str) -> str:
        """A tensor of the weights file, in fp32."""
        return self._stored(name, self._weights.tensors[f"{self._network}.{name}"])

    def conv(self, x: str, name: str, weight: str | None = None) -> str:
        """A convolution that keeps height and width."""
        tensors, prefix = self._weights.tensors, f"{self._network}.{name}"
        side = tensors[f"{prefix}.weight"].shape[-1]
        bias = [self.parameter(f"{name}.bias")] if f"{prefix}.bias" in tensors else []
        return self.add(
            "Conv", x, weight or self.parameter(f"{name}.weight"), *bias,
            kernel_shape=[side] * 2, pads=[side // 2] * 4,
        )  # fmt: skip

    def unshuffled_conv(self, x: str, name: str, block: int) -> str:
        """torch's ``pixel_unshuffle`` and a convolution."""
        # ONNX's operator puts the channel last among what becomes channels, torch puts it
        # first: the convolution's inputs are put into that order instead.
        weight = self._weights.tensors[f"{self._network}.{name}.weight"]
        out, into, *kernel = weight.shape
        ordered = weight.view(out, into // block**2, block**2, *kernel).transpose(1, 2)
        stored = self._stored(f"{name}.weight", ordered.reshape(weight.shape))
        return self.conv(self.add("SpaceToDepth", x, blocksize=block), name, stored)

    def norm_silu(self, x: str, name: str) -> str:
        """``RateNorm`` and the SiLU that follows it everywhere."""
        scale, shift = (
            self.add("Gather", self.parameter(f"{name}.{part}"), "rate", axis=0)
            for part in ("weight", "bias")
        )
        last = self.add("Transpose", x, perm=[0, 2, 3, 1])
        y = self.add("LayerNormalization", last, scale, shift, axis=-1, epsilon=EPSILON)
        return self.add("Transpose", self.silu(y), perm=[0, 3, 1, 2])

    def silu(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def blocks(self, x: str, stage: str) -> str:
        """All residual blocks of a stage."""
        for number in range(_depth(self._weights, f"{self._network}.{stage}")):
            block = f"{stage}.{number}"
            y = self.conv(self.norm_silu(x, f"{block}.norm1"), f"{block}.conv1")
            y = self.conv(self.norm_silu(y, f"{block}.norm2"), f"{block}.conv2")
            x = self.add("Add", x, y)
        return x

    def grain(self, x: str) -> str:
        """``Grain`` for a map of the size of ``x``."""
        field = self.parameter("grain.field")
        size = self.add("Shape", x)
        for axis in (0, 1):  # rows, columns
            wanted = self._constant(f"axis_{axis + 2}", torch.tensor(axis + 2))
            start = self.add(
                "Gather", "corner", self._constant(f"axis_{axis}", torch.tensor(axis))
            )
            stop = self.add("Add", start, self.add("Gather", size, wanted))
            positions = self.add("Range", start, stop, self._constant("one", torch.tensor(1)))
            period = self._constant("period", torch.tensor(PERIOD))
            field = self.add("Gather", field, self.add("Mod", positions, period), axis=axis + 1)
        first = self._constant("first_axis", torch.tensor([0]))
        return self.conv(self.add("Unsqueeze", field, first), "grain.project")

    def twice(self, x: str) -> str:
        """Every position four times."""
        scales = self._constant("twice", torch.tensor([1.0, 1.0, 2.0, 2.0]))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", x, "", scales, mode="nearest", **how)

    def shuffle(self, x: str) -> str:
        """torch's ``pixel_shuffle`` by 2."""
        return self.add("DepthToSpace", x, blocksize=2, mode="CRD")

    def model(
        self,
        source: tuple[str, int, str, str],
        result: str,
        target: tuple[str, int, str, str],
        corner: bool = False,
    ) -> bytes:
        """The whole, serialised; ``source`` and ``target`` are name, channels, height, width."""
        helper, proto = self._onnx.helper, self._onnx.TensorProto
        name, *shape = target
        self._nodes.append(helper.make_node("Identity", [result], [name], name))
        inputs = [
            helper.make_tensor_value_info(source[0], proto.FLOAT, ["batch", *source[1:]]),
            helper.make_tensor_value_info("rate", proto.INT64, []),
        ]
        if corner:
            inputs.append(helper.make_tensor_value_info("corner", proto.INT64, [2]))
        outputs = [helper.make_tensor_value_info(name, proto.FLOAT, ["batch", *shape])]
        graph = helper.make_graph(self._nodes, self._network, inputs, outputs, self._tensors)
        model = helper.make_model(
            graph,
            producer_name="compressai-vq",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", _OPSET)],
        )
        facts = {
            "architecture": self._weights.architecture,
            "fingerprint": self._weights.image_fingerprint.hex(),
        }
        helper.set_model_props(model, facts)
        self._onnx.checker.check_model(model)
        return model.SerializeToString()

    def _stored(self, name: str, tensor: Tensor) -> str:
        if name not in self._known:
            self._known[name] = self._constant(name, tensor)
            if tensor.dtype != torch.float32:
                single = self._onnx.TensorProto.FLOAT
                self._known[name] = self.add("Cast", self._known[name], to=single)
        return self._known[name]

    def _constant(self, name: str, tensor: Tensor) -> str:
        if all(known.name != name for known in self._tensors):
            array = tensor.detach().cpu().contiguous().numpy()
            self._tensors.append(self._onnx.numpy_helper.from_array(array, name))
        return name
