"""The paper's transformer: what it sees, in which order it guesses, and its weights file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.prior import raster_transformer
from compressai_vq.prior.raster_transformer import (
    RasterTransformer,
    logits_at,
    new_gpt,
    wavefronts,
)
from compressai_vq.transport.fills import FILLS
from compressai_vq.transport.packets import packetize
from compressai_vq.transport.restoring import depacketize

from ..fixtures import photograph, seeded, untrained_weights
from .made_up import random_map

SIZE, WINDOW = 8, 4
METADATA = "compressai_vq_raster_transformer"
SHAPES = [(4, 4), (9, 13), (3, 7), (6, 2), (1, 1)]


@pytest.fixture(autouse=True)
def fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    # Close calls must not hang on how many windows are computed at once.
    monkeypatch.setattr(raster_transformer, "has_fast_bf16", lambda: False)


@functools.cache
def made_up() -> RasterTransformer:
    """Random weights, large enough to make guesses differ; no test changes it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        gpt = new_gpt(SIZE, WINDOW, layers=2, heads=2, width=16)
        with torch.no_grad():
            for parameter in gpt.parameters():
                parameter.add_(0.4 * torch.randn_like(parameter))
    return RasterTransformer(gpt.eval(), 1, untrained_weights().fingerprint)


def holes(height: int, width: int, share: float, seed: int = 0) -> Tensor:
    return torch.rand(height, width, generator=seeded(seed)) < share


@torch.no_grad()
def one_after_another(transformer: RasterTransformer, indices: Tensor, lost: Tensor) -> Tensor:
    """Raster order to the letter: each gap by itself, from the whole window around it."""
    (height, width), window = lost.shape, transformer.window
    padded = torch.full((max(height, window), max(width, window)), transformer.size)
    padded[:height, :width] = indices.masked_fill(lost, transformer.size)
    for row, column in lost.nonzero().tolist():
        top = min(max(row - window // 2, 0), padded.shape[0] - window)
        left = min(max(column - window // 2, 0), padded.shape[1] - window)
        tokens = padded[top : top + window, left : left + window].reshape(1, -1)
        logits, _ = transformer.gpt(tokens)
        at = (row - top) * window + column - left
        padded[row, column] = logits[0, at, : transformer.size].argmax()
    return padded[:height, :width]


@torch.no_grad()
def test_logits_are_the_packages_own() -> None:
    gpt = made_up().gpt
    tokens = torch.randint(SIZE + 1, (3, 11), generator=seeded())
    rows, places = torch.tensor([0, 2, 2]), torch.tensor([10, 0, 7])
    whole, _ = gpt(tokens)
    assert torch.allclose(
        logits_at(gpt, tokens, rows, places), whole[rows, places, :SIZE], atol=1e-5
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_groups_at_once_are_raster_order(shape: tuple[int, int], share: float) -> None:
    transformer = made_up()
    indices, lost = random_map(0, *shape), holes(*shape, share)
    filled, confidence = transformer.restore(indices, lost)
    assert torch.equal(filled, one_after_another(transformer, indices, lost))
    assert filled.shape == shape and filled.dtype == torch.int64
    assert torch.equal(filled[~lost], indices[~lost]) and (confidence[~lost] == 1).all()
    assert ((confidence[lost] > 0) & (confidence[lost] < 1)).all()
    assert confidence.shape == shape and confidence.dtype == torch.float32
    if share == 0.5 and lost.sum() > 20:
        assert filled[lost].unique().numel() > 2
    again, _ = transformer.restore(indices.masked_fill(lost, 5), lost)
    assert torch.equal(again, filled)


def test_few_windows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    indices, lost = random_map(0, 12, 30), holes(12, 30, 0.3)
    whole, _ = made_up().restore(indices, lost)
    monkeypatch.setattr(raster_transformer, "WINDOWS_AT_ONCE", 1)
    one_by_one, _ = made_up().restore(indices, lost)
    assert torch.equal(whole, one_by_one)


@pytest.mark.parametrize("shape", [*SHAPES, (40, 30)])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_no_gap_waits_for_one_of_its_own_group(shape: tuple[int, int], share: float) -> None:
    lost = holes(*shape, share).numpy()
    groups = wavefronts(lost, WINDOW)
    order = {tuple(gap): n for n, group in enumerate(groups) for gap in group.tolist()}
    assert sorted(order) == [tuple(gap) for gap in np.argwhere(lost).tolist()]
    for (row, column), number in order.items():
        top = min(max(row - WINDOW // 2, 0), max(shape[0] - WINDOW, 0))
        left = min(max(column - WINDOW // 2, 0), max(shape[1] - WINDOW, 0))
        for (above, beside), other in order.items():
            if top <= above and left <= beside < left + WINDOW and (above, beside) < (row, column):
                assert other < number
    if share == 1.0 and shape == (40, 30):
        assert len(groups) < lost.sum() / 4


def test_only_what_comes_before_in_the_window_counts() -> None:
    indices = random_map(0, 12, 12)
    lost = torch.zeros(12, 12, dtype=torch.bool)
    lost[6, 6] = True
    _, confidence = made_up().restore(indices, lost)
    seen = torch.zeros(12, 12, dtype=torch.bool)
    for row, column in torch.cartesian_prod(torch.arange(12), torch.arange(12)).tolist():
        changed = indices.clone()
        changed[row, column] = (changed[row, column] + 3) % SIZE
        _, other = made_up().restore(changed, lost)
        seen[row, column] = other[6, 6] != confidence[6, 6]
    wanted = torch.zeros(12, 12, dtype=torch.bool)
    wanted[4:6, 4:8] = True  # the rows above of the 4 x 4 window
    wanted[6, 4:6] = True  # its own, as far as the gap
    assert torch.equal(seen, wanted)


def test_guesses_are_fed_to_later_gaps() -> None:
    indices = random_map(0, 1, 6)
    lost = torch.tensor([[False, False, True, True, False, False]])
    filled, confidence = made_up().restore(indices, lost)
    known = indices.clone()
    known[0, 2] = filled[0, 2]
    later = torch.tensor([[False, False, False, True, False, False]])
    alone, sure = made_up().restore(known, later)
    assert alone[0, 3] == filled[0, 3]
    assert sure[0, 3].item() == pytest.approx(confidence[0, 3].item(), rel=1e-4)
    known[0, 2] = (filled[0, 2] + 1) % SIZE
    _, other = made_up().restore(known, later)
    assert abs(other[0, 3].item() - confidence[0, 3].item()) > 1e-3


def test_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster_transformer, "has_fast_bf16", lambda: True)
    transformer = RasterTransformer(made_up().gpt, 1, b"")
    indices, lost = random_map(0, 9, 9), torch.zeros(9, 9, dtype=torch.bool)
    lost[4, 4] = True
    _, confidence = transformer.restore(indices, lost)
    _, exact = made_up().restore(indices, lost)
    assert confidence[4, 4].item() == pytest.approx(exact[4, 4].item(), rel=0.1)
    assert all(p.dtype == torch.float32 for p in transformer.gpt.parameters())


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.safetensors"
    fingerprint = made_up().save(path)
    loaded = RasterTransformer.load(path)
    assert loaded.fingerprint == fingerprint and len(fingerprint) == 32
    assert (loaded.size, loaded.window, loaded.quality) == (SIZE, WINDOW, 1)
    assert loaded.codec == made_up().codec
    for name, value in made_up().gpt.state_dict().items():
        assert torch.allclose(loaded.gpt.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    assert loaded.save(tmp_path / "again") == fingerprint
    indices, lost = random_map(0, 9, 9), holes(9, 9, 0.3)
    assert torch.equal(loaded.restore(indices, lost)[1] == 1, ~lost)


def damaged(how: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {k: v for k, v in made_up().gpt.state_dict().items() if not k.endswith("attn.mask")}
    facts: dict[str, Any] = {"format": 1, "codec": "00" * 32, "quality": 1, "heads": 2}
    if how == "lacks":
        del tensors["head.weight"]
    elif how == "more":
        tensors["blocks.7.ln1.weight"] = torch.ones(16)
    elif how == "shape":
        tensors["head.weight"] = torch.ones(4, 16)
    elif how == "window":
        tensors["pos_emb"] = torch.ones(1, 15, 16)
    elif how == "infinite":
        tensors["pos_emb"] = torch.full((1, 16, 16), torch.inf)
    elif how == "heads":
        facts["heads"] = 3
    elif how == "no heads":
        facts["heads"] = 0
    elif how == "codec":
        facts["codec"] = "no digits"
    elif how == "large":
        tensors["pos_emb"] = torch.ones(1, 96 * 96, 16)
    elif how == "quality":
        del facts["quality"]
    return tensors, facts


@pytest.mark.parametrize(
    "how",
    [
        "lacks",
        "more",
        "shape",
        "window",
        "infinite",
        "heads",
        "no heads",
        "codec",
        "quality",
        "large",
    ],
)
def test_damaged_files(tmp_path: Path, how: str) -> None:
    tensors, facts = damaged(how)
    path = tmp_path / "t.safetensors"
    safetensors.torch.save_file(tensors, path, {METADATA: json.dumps(facts)})
    with pytest.raises(CodecError, match="lacks a part of the transformer") as caught:
        RasterTransformer.load(path)
    assert "\n" not in str(caught.value)
    tensors, facts = damaged("not at all")
    safetensors.torch.save_file(tensors, path, {METADATA: json.dumps(facts)})
    assert RasterTransformer.load(path).size == SIZE


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    with pytest.raises(CodecError, match="cannot read"):
        RasterTransformer.load(path)
    path.write_bytes(b"no tensors at all")
    with pytest.raises(CodecError, match="not a safetensors file"):
        RasterTransformer.load(path)
    for facts in ({}, {METADATA: '{"format": 99}'}, {METADATA: "[]"}):
        safetensors.torch.save_file({"a": torch.ones(1)}, path, facts)
        with pytest.raises(CodecError, match="no raster transformer"):
            RasterTransformer.load(path)


def test_it_belongs_to_one_quality_of_one_codec() -> None:
    weights = untrained_weights()
    made_up().check_fits(weights, 1)
    with pytest.raises(CodecError, match="quality 1, not 2"):
        made_up().check_fits(weights, 2)
    with pytest.raises(CodecError, match="belongs to weights"):
        made_up().check_fits(untrained_weights(1), 1)
    lost = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(CodecError, match="knows 8 codewords, not 16"):
        made_up().fill(torch.zeros(2, 2, dtype=torch.int64), lost, weights.codec(2))


def test_it_is_a_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILLS, "transformer", made_up().fill)
    codec = FileCodec(untrained_weights())
    packets = packetize(codec.compress(photograph(80, 112), 1), codec, 1200, 4)
    received = depacketize(packets[1:], codec, "transformer")
    assert received.fill == "transformer" and received.lost.any()
    assert received.picture.shape == (3, 80, 112)
    assert torch.equal(received.confidence < 1, received.lost)
    monkeypatch.undo()
    with pytest.raises(CodecError, match="unknown fill transformer"):
        depacketize(packets[1:], codec, "transformer")
