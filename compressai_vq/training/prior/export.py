"""The averaged weights of a run to the integers that the package ships, with provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...atomic_file import write_atomically
from ...prior.fixed_point import (
    ACTIVATION_BITS,
    EMBEDDING_BITS,
    EMBEDDING_MAX,
    LOGIT_BITS,
    STREAM_BITS,
)
from ...prior.integer_convolution import IntegerConvolution
from ...prior.integer_layers import WEIGHT_MAX, IntegerLinear
from ...prior.network import Block, PriorNetwork
from ...prior.prior_weights import PriorWeights
from ..log import last_row
from ..state_file import load_state
from .model import PriorModel, fraction_bits


@torch.no_grad()
def integer_network(model: PriorModel) -> PriorNetwork:
    """The integer network of a trained model."""
    embeddings, heads = {}, {}
    for rate in model.rates:
        table = torch.floor(model.embedding(rate) * 2**EMBEDDING_BITS + 0.5)
        embeddings[rate] = table.clamp(-EMBEDDING_MAX, EMBEDDING_MAX).to("cpu", torch.int8)
        heads[rate] = IntegerLinear(*_integers(*model.head(rate), LOGIT_BITS))
    blocks = []
    for gather, mix in zip(model.gather, model.mix, strict=True):
        assert isinstance(gather.weight, Tensor) and isinstance(gather.bias, Tensor)
        assert isinstance(mix.weight, Tensor) and isinstance(mix.bias, Tensor)
        rows = gather.weight.permute(0, 2, 3, 1).flatten(1)
        blocks.append(
            Block(
                IntegerConvolution(*_integers(rows, gather.bias, ACTIVATION_BITS)),
                IntegerLinear(*_integers(mix.weight.flatten(1), mix.bias, STREAM_BITS)),
            )
        )
    return PriorNetwork(embeddings, blocks, heads)


def _integers(weight: Tensor, bias: Tensor, to: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weight, bias and shift of a layer."""
    weight, bias = weight.cpu(), bias.cpu()
    bits = fraction_bits(weight, bias, to)
    shift = bits + ACTIVATION_BITS - to
    integers = torch.floor(weight * torch.exp2(bits)[:, None] + 0.5)
    # Half of what is shifted away makes the shift round.
    half = torch.bitwise_left_shift(torch.ones(len(bias), dtype=torch.int32), shift.int()) // 2
    offsets = torch.floor(bias.double() * torch.exp2(bits + ACTIVATION_BITS) + 0.5).int() + half
    weight = integers.clamp(-WEIGHT_MAX, WEIGHT_MAX).to(torch.int8)
    return weight, offsets, shift.to(torch.int8)


def export(run: Path, maps_codewords: dict[int, Tensor], output: Path) -> None:
    """Write the weights file and, beside it, ``.json`` that tells where it comes from.

    Args:
        run: the run's folder, with ``state.pt`` and ``log.csv``.
        maps_codewords: each rate's codebook, of the weights that were trained on.
        output: safetensors file.
    """
    state = load_state(run / "state.pt")
    config = state["config"]
    sizes = {rate: torch.zeros(len(words)) for rate, words in maps_codewords.items()}
    model = PriorModel(maps_codewords, sizes, config["channels"], config["depth"])
    model.load_state_dict(state["average"])
    weights = PriorWeights(integer_network(model), bytes.fromhex(state["fingerprint"]))
    facts = _provenance(run, state)
    facts = {"fingerprint": weights.save(output).hex(), **facts}
    write_atomically(output.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())


def _provenance(run: Path, state: dict[str, Any]) -> dict[str, Any]:
    last = last_row(run / "log.csv")
    names = state.get("data", [])
    command = "python -m compressai_vq.training.prior"
    command += f" --data {' '.join(names)} --validation VALIDATION --runs RUNS"
    start = state.get("start")
    if start is not None:
        command += f" --config CONFIG --start EARLIER/{start.get('file', 'prior/state.pt')}"
    return {
        "codec": state["fingerprint"],
        "data": names,
        "commands": [command],
        **_amounts(state, len(state["rates"])),
        "metrics": last,  # validation, bits an index
        "start": _earlier(start, len(state["rates"])),
    }


def _earlier(start: dict[str, Any] | None, rates: int) -> dict[str, Any] | None:
    # A weights file's provenance has the amounts already.
    return start if start is None or "file" in start else _amounts(start, rates)


def _amounts(state: dict[str, Any], rates: int) -> dict[str, Any]:
    return {
        "commits": state["commits"],
        "steps": state["step"],
        "crops": state["step"] * state["config"]["batch"] * rates,
        "hours": round(state["seconds"] / 3600, 2),
        "config": state["config"],
    }
