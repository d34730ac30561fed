"""``compressai-vq info``: what a ``.cvq`` or weights file says of itself."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codings import FREQUENCIES, PRIOR
from ..container import MAGIC, Container
from ..errors import CodecError
from ..rates import LADDER
from . import jobs, quick_start
from .decompress import read_container
from .path_arguments import any_path
from .standard_streams import remark, show
from .weights import file_codec

if TYPE_CHECKING:
    from ..ladder_weights import LadderWeights
    from ..prior.prior_weights import PriorWeights


_FINGERPRINTS = {FREQUENCIES: "weights", PRIOR: "weights_and_prior"}


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "info", help="what .cvq and weights files hold; without a file: the weights in use"
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=any_path,
        metavar="FILE",
        help="or folders, whose .cvq files count",
    )
    jobs.add_json_argument(parser)
    jobs.add_weights_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Describe every file."""
    described: list[dict[str, Any]] = []
    failed = False
    for name in ("architecture", "weights", "prior"):
        if arguments.files and getattr(arguments, name) is not None:
            raise CodecError(f"--{name} is of no use to what files say: leave it or them out")
    if not arguments.files:
        codec = file_codec(arguments)
        described.append(
            {"weights": str(arguments.weights or "default"), **describe_weights(codec.weights)}
        )
        described[0]["coding"] = codec.coding
        described[0]["prior"] = codec.prior.fingerprint.hex() if codec.prior else "none"
        if codec.prior is not None:
            described[0]["weights_and_prior"] = codec.prior.joint_fingerprint.hex()
    for path in (found for named in arguments.files for found in _files(named)):
        try:
            if path.is_dir():
                raise CodecError(f"{path}: no files that end in .cvq")
            described.append({"file": str(path), **describe(path)})
        except CodecError as error:
            failed = True
            text = jobs.one_line(error)
            if arguments.json:
                described.append({"file": str(path), "error": text})
            remark(f"error: {jobs.with_name(path, text)}")
    if arguments.json:
        show(json.dumps(described, indent=2))
    else:
        for entry in described:
            show("\n".join(f"{k}: {_text(v)}" for k, v in entry.items()) + "\n")
    return 2 if failed else 0


def _files(named: Path) -> list[Path]:
    """A folder's ``.cvq`` files, or itself where there are none, and a file itself."""
    with contextlib.suppress(CodecError):
        return jobs.find([named], (".cvq",))
    return [named]


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def describe_weights(weights: LadderWeights) -> dict[str, Any]:
    """The facts of one set of weights."""
    return {
        "kind": "weights",
        "architecture": weights.architecture,
        "fingerprint": weights.fingerprint.hex(),
        "image_fingerprint": weights.image_fingerprint.hex(),
        "qualities": weights.qualities,
        "frequencies": weights.calibration,
        "parameters": sum(
            value.numel()
            for name, value in weights.tensors.items()
            if name.startswith(("encoder.", "decoder."))
        ),
    }


def describe_prior(prior: PriorWeights) -> dict[str, Any]:
    """The facts of one index prior."""
    network = prior.network
    layers = [layer for block in network.blocks for layer in (block.gather, block.mix)]
    tables = [*network.embeddings.values(), *(head.weight for head in network.heads.values())]
    return {
        "kind": "index prior",
        "fingerprint": prior.fingerprint.hex(),
        "weights_and_prior": prior.joint_fingerprint.hex(),
        "codec": prior.codec.hex(),
        "qualities": [rate + 1 for rate in sorted(network.sizes)],
        "parameters": sum(t.numel() for t in [*tables, *(layer.weight for layer in layers)]),
    }


def describe(path: Path) -> dict[str, Any]:
    """The facts of one file.

    Raises:
        CodecError: when it is damaged or of another kind.
    """
    data = read_container(path)
    # A safetensors file starts with the length of its JSON header, and that with a brace.
    if data[: len(MAGIC)] != MAGIC and data[8:9] == b"{":
        quick_start.import_compressai()
        from ..ladder_weights import LadderWeights
        from ..prior.prior_weights import PriorWeights, is_prior

        if is_prior(path):
            return describe_prior(PriorWeights.load(path))
        return describe_weights(LadderWeights.load(path))
    container = Container.from_bytes(data)
    return {
        "kind": "image",
        "architecture": container.architecture,
        "quality": container.quality,
        "codewords": LADDER[container.quality - 1],
        "coding": container.coding,
        # The first bytes of what weights, or a prior and its weights together, are told by.
        _FINGERPRINTS[container.coding]: container.fingerprint.hex(),
        "width": container.width,
        "height": container.height,
        "bytes": len(data),
        "header_bytes": len(data) - len(container.payload),
        "bpp": 8 * len(data) / (container.width * container.height),
    }
