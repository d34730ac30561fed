"""The coder's state: saved, loaded, refused, copied."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from compressai_vq.index_coder import TABLES, IndexCoder

from .test_index_coder import one_and_two_levels, shared_coder, typical_map


def test_state_dict_before_update() -> None:
    saved = IndexCoder(8).state_dict()
    loaded = IndexCoder(8)
    loaded.load_state_dict(saved)
    with pytest.raises(ValueError, match="update"):
        loaded.compress(typical_map(8, 2, 2))
    with pytest.raises(ValueError, match="update"):
        loaded.decompress([bytes(8)], (2, 2))


@one_and_two_levels
def test_state_dict_after_update(size: int) -> None:
    loaded = IndexCoder(size)
    loaded.load_state_dict(shared_coder(size).state_dict())
    indices = typical_map(size, 6, 7)
    assert loaded.compress(indices) == shared_coder(size).compress(indices)
    # Tables of another state are replaced, also by none.
    loaded.load_state_dict(IndexCoder(size).state_dict())
    assert loaded._quantized_cdf.numel() == 0


def _changed(name: str, state: dict[str, Any]) -> None:
    cdf, lengths = state["_quantized_cdf"], state["_cdf_length"]
    if name == "zero":
        cdf.zero_()
    elif name == "flat":
        cdf[-1, 3] = cdf[-1, 2]
    elif name == "short":
        cdf[0, lengths[0] - 2 :] -= 1
    elif name == "late":
        cdf[0, 0] = 1
    elif name == "length":
        lengths[0] -= 1
    elif name == "offset":
        state["_offset"][-1] = 1
    elif name == "part":
        state["_offset"] = state["_offset"][:0]
    elif name == "missing":
        del state["_cdf_length"]
    else:
        other = shared_coder({"smaller": 7, "larger": 4097}[name]).state_dict()
        state.update({table: other[table] for table in TABLES})


@one_and_two_levels
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "change",
    ["zero", "flat", "short", "late", "length", "offset", "part", "missing", "smaller", "larger"],
)
def test_no_tables_that_would_end_the_process(size: int, strict: bool, change: str) -> None:
    coder = copy.deepcopy(shared_coder(size))
    state = copy.deepcopy(coder.state_dict())
    _changed(change, state)
    with pytest.raises(RuntimeError, match=f"its like are no tables of {size} indices"):
        coder.load_state_dict(state, strict=strict)
    # Those that it had are still there.
    indices = typical_map(size, 6, 7)
    assert coder.compress(indices) == shared_coder(size).compress(indices)


def test_tables_on_no_device_are_taken() -> None:
    with torch.device("meta"):
        coder = IndexCoder(8)
    state = {name: value.to("meta") for name, value in shared_coder(8).state_dict().items()}
    coder.load_state_dict(shared_coder(8).state_dict(), assign=True)
    assert coder.compress(typical_map(8, 2, 2)) == shared_coder(8).compress(typical_map(8, 2, 2))
    coder.load_state_dict(state, assign=True)
    assert coder._quantized_cdf.is_meta


@one_and_two_levels
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies_write_the_same(size: int, way: str) -> None:
    coder = shared_coder(size)
    copied = copy.deepcopy(coder) if way == "deepcopy" else pickle.loads(pickle.dumps(coder))
    indices = typical_map(size, 6, 7)
    assert copied.compress(indices) == coder.compress(indices)
