"""Checkpoints of the reimplementation (``hific_low.pt``, ``hific_med.pt``, ``hific_hi.pt``).

Such a file is a dict that ``torch.save`` wrote; of it are read::

    model_state_dict   Encoder.*, Generator.*, Hyperprior.analysis_net.*, .synthesis_mu.*,
                       .synthesis_std.*, .hyperlatent_likelihood.{H,a,b}_{0..3}
    args               normalize_input_image, likelihood_type

Everything else (optimizers, discriminator, tables of its coder) is left alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.inert_pickle import read_inert

from .codec import HiFiC

_RENAMED = (
    (re.compile(r"^Encoder\."), "encoder."),
    (re.compile(r"^Generator\."), "generator."),
    (re.compile(r"^Hyperprior\.hyperlatent_likelihood\.H_"), "entropy_bottleneck.matrices."),
    (re.compile(r"^Hyperprior\.hyperlatent_likelihood\.a_"), "entropy_bottleneck.factors."),
    (re.compile(r"^Hyperprior\.hyperlatent_likelihood\.b_"), "entropy_bottleneck.biases."),
    (re.compile(r"^Hyperprior\.(?=analysis_net|synthesis_mu|synthesis_std)"), "hyperprior."),
)
_LARGEST = 4096  # channels; what a damaged file claims is not allocated


def import_hific(path: Path) -> HiFiC:
    """A checkpoint of the reimplementation as a codec, its coder's tables built.

    Args:
        path: the file.  Code in it is never run.

    Returns:
        The codec in evaluation mode.  Its sizes are those of the checkpoint's tensors.

    Raises:
        CodecError: when the file cannot be read or is not such a model.
    """
    theirs, arguments = _read(path)
    try:
        codec = _codec(theirs, arguments)
    except (ValueError, RuntimeError) as error:
        raise CodecError(f"{path} is no HiFiC that can be imported: {error}") from error
    codec.update(force=True, update_quantiles=True)
    return codec.eval()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The entries of ``model_state_dict`` that count, under our names, and ``args``."""
    arguments: dict[str, Any] = {}

    def entries(root: Any) -> dict[str, Any]:
        state = root.get("model_state_dict") if isinstance(root, dict) else None
        if not isinstance(state, dict):
            raise ValueError("it has no model_state_dict")
        given = root.get("args")
        arguments.update(given if isinstance(given, dict) else {})
        renamed = ((_our_name(name), value) for name, value in state.items())
        return {name: value for name, value in renamed if name is not None}

    try:
        with path.open("rb") as file:
            # The arguments may name classes, which torch's own safe reader refuses.
            return read_inert(file, entries), arguments
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise CodecError(f"cannot read checkpoint {path}: {reason}") from error
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise CodecError(f"{path} is not a readable checkpoint: {reason}") from error
    except Exception as error:  # damaged and hostile files make unpicklers fail in any way
        raise CodecError(f"{path} is not a readable checkpoint: it is damaged") from error


def _our_name(name: Any) -> str | None:
    for pattern, replacement in _RENAMED:
        if isinstance(name, str) and pattern.match(name):
            return pattern.sub(replacement, name)
    return None


def _codec(state: dict[str, Tensor], arguments: dict[str, Any]) -> HiFiC:
    likelihood = arguments.get("likelihood_type", "gaussian")
    if likelihood != "gaussian":
        named = likelihood if isinstance(likelihood, str) else "strange"
        raise ValueError(f"its latents are coded with a {named} density, not a gaussian one")
    if arguments.get("use_latent_mixture_model") or arguments.get("sample_noise"):
        raise ValueError("it uses a mixture model of latents, or noise in the generator")
    for name, value in state.items():
        if not value.is_floating_point():
            raise ValueError(f"{name} is not a tensor of floats")
        if not value.shape or max(value.shape) > _LARGEST or not 0 < value.numel() < 1 << 28:
            raise ValueError(f"{name} has shape {tuple(value.shape)}")
    with torch.device("meta"):  # shapes alone: nothing is allocated before they are right
        sketch = HiFiC.sized_for(state).state_dict()
    for name, value in sketch.items():
        if _is_learned_by_them(name) and name not in state:
            raise ValueError(f"{name} is missing")
        if name in state and state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(value.shape)}"
            raise ValueError(f"{name} has shape {shapes}")
    for name in state.keys() - sketch.keys():
        raise ValueError(f"{name} does not belong to it")
    for name, value in state.items():
        state[name] = value.float()
        if not torch.isfinite(state[name]).all():
            raise ValueError(f"{name} has values that are not finite")
    codec = HiFiC.sized_for(state)
    codec.load_state_dict({**codec.state_dict(), **state})
    codec.signed.fill_(bool(arguments.get("normalize_input_image", False)))
    return codec


def _is_learned_by_them(name: str) -> bool:
    """Whether the reimplementation has a tensor for it; the rest is CompressAI's own."""
    learned = ("matrices.", "factors.", "biases.")
    part, _, rest = name.partition(".")
    if part == "entropy_bottleneck":
        return rest.startswith(learned)
    return part in ("encoder", "generator", "hyperprior")
