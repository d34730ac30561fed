"""CompressAI's architectures, and ours in its zoo, with weights from a folder or from its zoo."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import safetensors.torch

from compressai_vq.errors import CodecError

from .compression_model import CompressionModelCodec

_SCALE = 1000


def retrained(architecture: str, folder: Path) -> CompressionModelCodec:
    """A codec of all the weights that ``benchmarks.train_baselines`` left in a folder.

    Each file ``NAME-TARGET.safetensors`` is a state dict and an operating point: its quality is
    its target rate in thousandths of a bit per pixel. What it was trained on and how long is in
    ``NAME-TARGET.json`` and, where there is one, goes into the description.

    Args:
        architecture: a name of CompressAI's zoo.
        folder: of the files.

    Raises:
        CodecError: when there are none, or no such architecture.
    """
    points = _operating_points(folder)
    build = _class(architecture)
    models = {quality: functools.partial(_load, build, path) for quality, path in points.items()}
    facts = "; ".join(f"quality {quality}: {_facts(path)}" for quality, path in points.items())
    description = f"{architecture} retrained; quality is the target rate in bpp/{_SCALE}; {facts}"
    codec = CompressionModelCodec(models, architecture, description)
    digest = hashlib.sha256(codec.description.encode())
    for path in points.values():
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    codec.fingerprint = digest.hexdigest()
    return codec


def from_zoo(architecture: str, qualities: list[int]) -> CompressionModelCodec:
    """A codec of CompressAI's own weights for MSE, downloaded unless torch has cached them.

    Raises:
        CodecError: when they cannot be downloaded.
    """
    import compressai
    from compressai.zoo import image_models

    def load(quality: int) -> Any:
        try:
            return image_models[architecture](quality, "mse", pretrained=True, progress=False)
        except OSError as error:  # urllib's errors too
            reason = getattr(error, "reason", None) or error
            raise CodecError(f"CompressAI's weights cannot be downloaded: {reason}") from None

    models = {quality: functools.partial(load, quality) for quality in qualities}
    description = f"{architecture}, CompressAI {compressai.__version__}'s weights for MSE"
    codec = CompressionModelCodec(models, architecture, description)
    codec.ready(qualities[0])  # better now than after an hour of other codecs
    return codec


def _operating_points(folder: Path) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        target = re.search(r"-(\d*\.?\d+)$", path.stem)
        quality = round(float(target[1]) * _SCALE) if target else 0
        if not 1 <= quality <= 255 or quality in found:
            raise CodecError(
                f"{path}: names end in a target rate of 0.001 to 0.255, each in its own"
            )
        found[quality] = path
    if not found:
        raise CodecError(
            f"no weights in {folder}: train them with python -m benchmarks.train_baselines --runs "
            f"{folder.parent}, or name another folder with --models"
        )
    return dict(sorted(found.items()))


def _class(architecture: str) -> Any:
    from compressai.zoo.image import model_architectures

    from compressai_vq.zoo import register

    register()
    if architecture not in model_architectures:
        raise CodecError(f"{architecture} is not in CompressAI's zoo")
    return model_architectures[architecture]


def _load(build: Any, path: Path) -> Any:
    try:
        return build.from_state_dict(safetensors.torch.load_file(path))
    except CodecError:
        raise
    except Exception as error:  # torch's and safetensors' readers fail in many ways
        reason = " ".join(str(error).split())[:200]
        raise CodecError(f"{path} cannot be loaded as {build.__name__}: {reason}") from None


def _facts(weights: Path) -> str:
    path = weights.with_suffix(".json")
    if not path.is_file():
        return "nothing is known of its training"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        names = [name for name in ("crops", "hours", "parameters") if name in facts]
        return ", ".join(f"{facts[name]} {name}" for name in names)
    except (ValueError, TypeError) as error:
        raise CodecError(f"{path} is not a JSON object: {error}") from None
