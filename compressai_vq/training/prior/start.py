"""What a new run goes on from: another run's ``state.pt``, or a prior's weights file.

::

    integers of a channel     shift says what one unit is
            |
            v
    weight = integers / 2 ** bits          tables (embeddings, heads): free values, next to
    bias   = (offset - rounding) / ...     functions of the codewords that begin at zero

The weights file holds what the averaged weights were rounded to, so little is lost by it, and it
is there where the run's folder is not.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import CodecError
from ...prior.fixed_point import ACTIVATION_BITS, EMBEDDING_BITS, LOGIT_BITS, STREAM_BITS
from ...prior.integer_convolution import IntegerConvolution
from ...prior.integer_layers import IntegerLinear
from ...prior.prior_weights import PriorWeights, is_prior
from .model import PriorModel

_KNOWN = ("config", "step", "seconds", "commits", "fingerprint", "start")


def start_from(path: Path, model: PriorModel) -> dict[str, Any]:
    """Give a fresh model the values of an earlier one, of the same rates and sizes.

    Args:
        path: ``state.pt`` of a run, or a weights file with its provenance, ``.json``, beside it.
        model: changed in place; its codewords stay.

    Returns:
        What is known of the earlier run, for the record.

    Raises:
        CodecError: when it cannot be read or has other rates or sizes.
    """
    if is_prior(path):
        values, facts = _values_of_integers(PriorWeights.load(path), model), _facts_beside(path)
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            values = state["average"]
            facts = {name: state[name] for name in _KNOWN if name in state}
        except Exception as error:  # torch names no class of what a foreign file raises
            reason = str(error).partition("\n")[0]
            raise CodecError(f"cannot start from {path}: {reason}") from error
        if values.keys() != model.state_dict().keys():
            raise CodecError(f"cannot start from {path}: it has other rates or another depth")
    values = {k: v for k, v in values.items() if not k.startswith("codewords_")}
    try:
        model.load_state_dict(values, strict=False)
    except RuntimeError as error:
        raise CodecError(f"cannot start from {path}: it has other sizes") from error
    return facts


def _facts_beside(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {"file": path.name}
    names = ("fingerprint", "commits", "steps", "crops", "hours", "config", "start")
    return {"file": path.name} | {name: facts[name] for name in names if name in facts}


@torch.no_grad()
def _values_of_integers(weights: PriorWeights, model: PriorModel) -> dict[str, Tensor]:
    """The state dict of a model that rounds to the file's integers."""
    network = weights.network
    if sorted(network.embeddings) != model.rates or len(network.blocks) != len(model.gather):
        raise CodecError("cannot start from a prior of other rates or another depth")
    values: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        # The last layer of either function of codewords, and what all codewords share.
        if name.startswith(("read.4.", "write.4.", "gap", "rate_bias")):
            values[name] = torch.zeros_like(value)
    for rate, table in network.embeddings.items():
        values[f"read_free.{rate}"] = table.float() / 2**EMBEDDING_BITS
        rows, bias = _reals(network.heads[rate], LOGIT_BITS)
        values[f"write_free.{rate}"] = rows * math.sqrt(rows.shape[1])
        values[f"write_bias.{rate}"] = bias
    for number, block in enumerate(network.blocks):
        rows, values[f"gather.{number}.bias"] = _reals(block.gather, ACTIVATION_BITS)
        channels = len(rows)
        values[f"gather.{number}.weight"] = rows.view(channels, 3, 3, -1).permute(0, 3, 1, 2)
        rows, values[f"mix.{number}.bias"] = _reals(block.mix, STREAM_BITS)
        values[f"mix.{number}.weight"] = rows[:, :, None, None]
    return values


def _reals(layer: IntegerLinear | IntegerConvolution, to: int) -> tuple[Tensor, Tensor]:
    """Weight (out, ...) and bias (out,) of a layer; the reverse of the export's rounding."""
    bits = layer.shift.double() + to - ACTIVATION_BITS
    half = torch.floor(torch.exp2(layer.shift.double() - 1))
    weight = layer.weight.double() * torch.exp2(-bits)[:, None]
    bias = (layer.bias.double() - half) * torch.exp2(-bits - ACTIVATION_BITS)
    return weight.float(), bias.float()
