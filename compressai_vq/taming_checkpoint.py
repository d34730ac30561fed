"""Published checkpoints of taming-transformers: read without running code, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from .errors import CodecError
from .inert_pickle import read_inert
from .networks.taming import (
    TAMING_PREFIXES,
    TamingDecoder,
    TamingEncoder,
    state_from_taming,
)

# Far above any published model; what a damaged file claims is not allocated.
_LARGEST = {"codebook": 1 << 17, "latent": 4096, "width": 1024}


def read_taming_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights of a taming VQGAN f16, under this package's names.

    Args:
        path: a Lightning checkpoint (its ``state_dict`` is taken), a bare state dict that
            ``torch.save`` wrote, or a ``.safetensors`` file of the same names.  Code in a
            pickle is never run.

    Returns:
        ``encoder.*`` and ``decoder.*`` for :class:`~.networks.taming.TamingEncoder` and
        ``TamingDecoder``, and ``codebook.weight`` (K, D): finite, contiguous fp32 tensors.
        The networks' width need not be the published 128.

    Raises:
        CodecError: when the file cannot be read or is not such a model.
    """
    try:
        state = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise CodecError(f"cannot read checkpoint {path}: {reason}") from error
    except (ValueError, safetensors.SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise CodecError(f"{path} is not a readable checkpoint: {reason}") from error
    except Exception as error:  # damaged and hostile files make unpicklers fail in any way
        raise CodecError(f"{path} is not a readable checkpoint: it is damaged") from error
    try:
        return _checked(state)
    except ValueError as error:
        raise CodecError(f"{path} is not a VQGAN f16 of taming-transformers: {error}") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    path.open("rb").close()  # its own error for a missing file says too little
    with safetensors.safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(TAMING_PREFIXES)]  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}


def _torch_file(path: Path) -> dict[str, Tensor]:
    # Lightning files name classes, which torch's own safe reader refuses.
    with path.open("rb") as file:
        return read_inert(file, _entries)


def _entries(root: Any) -> dict[str, Any]:
    """The entries that count, out of a Lightning checkpoint or a bare state dict."""
    state = root.get("state_dict", root) if isinstance(root, dict) else None
    if not isinstance(state, dict):
        raise ValueError("it holds no state dict")
    return {k: v for k, v in state.items() if isinstance(k, str) and k.startswith(TAMING_PREFIXES)}


def _checked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, value in state.items():
        if not value.is_floating_point():
            raise ValueError(f"{name} is not a tensor of floats")
    expected = _expected_shapes(state)
    renamed = state_from_taming(state)
    theirs = {new: old for old, new in zip(state, renamed, strict=True)}
    for name, shape in expected.items():
        if name not in renamed:
            more = len(expected.keys() - renamed.keys()) - 1
            rest = f" (and {more} more)" if more else ""
            raise ValueError(f"{_taming_name(name)}{rest} is missing")
        if tuple(renamed[name].shape) != shape:
            found = tuple(renamed[name].shape)
            raise ValueError(f"{theirs[name]} has shape {found}, not {shape}")
    for name, value in renamed.items():
        if name not in expected:
            raise ValueError(f"{theirs[name]} does not belong to it")
        renamed[name] = value.float()
        if not torch.isfinite(renamed[name]).all():
            raise ValueError(f"{theirs[name]} has values that are not finite")
    return {
        name: renamed[name].detach().clone(memory_format=torch.contiguous_format)
        for name in expected
    }


def _expected_shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Our names and shapes for the width, K and D that the checkpoint has."""
    sizes = {}
    for size, name, dims in (
        ("width", "encoder.conv_in.weight", 4),
        ("latent", "quant_conv.weight", 4),
        ("codebook", "quantize.embedding.weight", 2),
    ):
        if name not in state:
            raise ValueError(f"{name} is missing")
        shape = state[name].shape
        if len(shape) != dims or not 0 < shape[0] <= _LARGEST[size]:
            raise ValueError(f"{name} has shape {tuple(shape)}")
        sizes[size] = shape[0]
    if sizes["width"] % 32:
        raise ValueError(f"its width of {sizes['width']} is not a multiple of 32")
    with torch.device("meta"):  # shapes alone: nothing is allocated
        encoder = TamingEncoder(sizes["latent"], sizes["width"])
        decoder = TamingDecoder(sizes["latent"], sizes["width"])
    shapes = {f"encoder.{k}": tuple(v.shape) for k, v in encoder.state_dict().items()}
    shapes |= {f"decoder.{k}": tuple(v.shape) for k, v in decoder.state_dict().items()}
    return shapes | {"codebook.weight": (sizes["codebook"], sizes["latent"])}


def _taming_name(name: str) -> str:
    name = name.replace(".halve.", ".downsample.").replace("codebook.", "quantize.embedding.")
    for part in ("encoder.", "decoder."):
        name = name.removeprefix(part) if "quant_conv" in name else name
    return name.replace("coder.net.", "coder.")
