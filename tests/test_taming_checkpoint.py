from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from compressai_vq.errors import CodecError
from compressai_vq.networks.taming import state_from_taming
from compressai_vq.taming_checkpoint import read_taming_checkpoint

from .taming_reference import Reference, one_thread, save_lightning  # noqa: F401

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return Reference(8).state_dict()


def assert_read(path: Path, state: State) -> None:
    found = read_taming_checkpoint(path)
    expected = state_from_taming(state)
    assert found.keys() == expected.keys()
    assert not any(name.startswith("loss") for name in found)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def assert_refused(path: Path, words: str) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        read_taming_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message


def test_lightning_file_with_foreign_classes(tmp_path: Path, state: State) -> None:
    save_lightning(tmp_path / "last.ckpt", state)
    assert_read(tmp_path / "last.ckpt", state)


def test_bare_state_dict(tmp_path: Path, state: State) -> None:
    torch.save(state, tmp_path / "last.ckpt")
    assert_read(tmp_path / "last.ckpt", state)


def test_parameters_views_and_other_layouts(tmp_path: Path, state: State) -> None:
    changed: dict[str, torch.Tensor] = dict(state)
    changed["quant_conv.bias"] = torch.nn.Parameter(state["quant_conv.bias"])
    changed["encoder.conv_in.bias"] = torch.cat([torch.zeros(5), state["encoder.conv_in.bias"]])[
        5:
    ]
    name = "encoder.conv_in.weight"
    changed[name] = state[name].contiguous(memory_format=torch.channels_last)
    save_lightning(tmp_path / "last.ckpt", changed)
    assert_read(tmp_path / "last.ckpt", state)


def test_half_precision_becomes_single(tmp_path: Path, state: State) -> None:
    halves = {name: value.half() for name, value in state.items()}
    save_lightning(tmp_path / "last.ckpt", halves)
    found = read_taming_checkpoint(tmp_path / "last.ckpt")
    assert all(value.dtype == torch.float32 for value in found.values())
    assert torch.equal(found["codebook.weight"], halves["quantize.embedding.weight"].float())


def test_safetensors(tmp_path: Path, state: State) -> None:
    safetensors.torch.save_file(state, tmp_path / "vqgan.safetensors")
    assert_read(tmp_path / "vqgan.safetensors", state)


@pytest.mark.parametrize("foreign", [False, True])
def test_legacy_format(
    tmp_path: Path, state: State, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def legacy(value: Any, path: Path) -> None:
        save(value, path, _use_new_zipfile_serialization=False)

    monkeypatch.setattr(torch, "save", legacy)
    if foreign:
        save_lightning(tmp_path / "last.ckpt", state)
    else:
        torch.save(state, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").read_bytes()[:2] == b"\x80\x02"
    assert_read(tmp_path / "last.ckpt", state)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, state: State, legacy: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "last.ckpt"
    checkpoint = {"state_dict": state, "callbacks": [Malicious(trace)]}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    assert_read(path, state)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the trap does work
    assert trace.exists()


def test_code_in_place_of_weights_is_not_run(tmp_path: Path, state: State) -> None:
    trace, path = tmp_path / "trace", tmp_path / "last.ckpt"
    torch.save({**state, "quant_conv.bias": Malicious(trace)}, path)
    assert_refused(path, r"not a readable checkpoint: quant_conv\.bias is not a tensor")
    torch.save(Malicious(trace), path)
    assert_refused(path, r"encoder\.conv_in\.weight is missing")
    torch.save([1, 2], path)
    assert_refused(path, "holds no state dict")
    assert not trace.exists()


def test_missing_names(tmp_path: Path, state: State) -> None:
    state = {k: v for k, v in state.items() if k != "decoder.conv_in.bias"}
    torch.save(state, tmp_path / "last.ckpt")
    assert_refused(tmp_path / "last.ckpt", r"decoder\.conv_in\.bias is missing")
    torch.save({"weight": torch.ones(3)}, tmp_path / "last.ckpt")
    assert_refused(tmp_path / "last.ckpt", r"encoder\.conv_in\.weight is missing")


def test_missing_name_is_given_as_the_checkpoint_has_it(tmp_path: Path, state: State) -> None:
    for name in ("encoder.down.1.downsample.conv.weight", "post_quant_conv.weight"):
        torch.save({k: v for k, v in state.items() if k != name}, tmp_path / "last.ckpt")
        assert_refused(tmp_path / "last.ckpt", f": {name} is missing")


def test_another_layout(tmp_path: Path, state: State) -> None:
    shallow = {k: v for k, v in state.items() if ".4." not in k}
    torch.save(shallow, tmp_path / "last.ckpt")
    assert_refused(tmp_path / "last.ckpt", "more.* missing")
    torch.save({**state, "encoder.down.5.weight": torch.ones(3)}, tmp_path / "last.ckpt")
    assert_refused(tmp_path / "last.ckpt", r"encoder\.down\.5\.weight does not belong")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("quantize.embedding.weight", (8, 32)),
        ("quantize.embedding.weight", (8,)),
        ("quant_conv.weight", (48, 16, 1, 1)),
        ("encoder.conv_in.weight", (33, 3, 3, 3)),
        ("encoder.conv_in.weight", (64, 3, 3, 3)),
        ("decoder.conv_out.bias", (4,)),
        ("decoder.conv_out.bias", ()),
    ],
)
def test_wrong_shapes(tmp_path: Path, state: State, name: str, shape: tuple[int, ...]) -> None:
    torch.save({**state, name: torch.zeros(shape)}, tmp_path / "last.ckpt")
    assert_refused(tmp_path / "last.ckpt", "not a VQGAN f16")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_values_that_are_not_finite(tmp_path: Path, state: State, value: float) -> None:
    broken = state["quant_conv.bias"].double()
    broken[3] = value
    save_lightning(tmp_path / "last.ckpt", {**state, "quant_conv.bias": broken})
    assert_refused(tmp_path / "last.ckpt", r"quant_conv\.bias has values that are not finite")


def test_entries_that_are_not_floats(tmp_path: Path, state: State) -> None:
    torch.save({**state, "quant_conv.bias": torch.zeros(16).long()}, tmp_path / "last.ckpt")
    assert_refused(tmp_path / "last.ckpt", r"quant_conv\.bias is not a tensor of floats")
    for value in (3.0, "text", torch.zeros(16, dtype=torch.complex64), torch.eye(4).to_sparse()):
        torch.save({**state, "quant_conv.bias": value}, tmp_path / "last.ckpt")
        assert_refused(tmp_path / "last.ckpt", r"quant_conv\.bias is (not a tensor|of a type)")


def test_claims_beyond_the_data_are_not_believed(tmp_path: Path, state: State) -> None:
    huge = torch.zeros(1).expand(1 << 40, 16)
    torch.save({**state, "quantize.embedding.weight": huge}, tmp_path / "last.ckpt")
    words = r"not a readable checkpoint: quantize\.embedding\.weight does not fit"
    assert_refused(tmp_path / "last.ckpt", words)
    save_lightning(tmp_path / "last.ckpt", {**state, "quantize.embedding.weight": huge})
    assert_refused(tmp_path / "last.ckpt", words)


def test_files_that_are_no_checkpoints(tmp_path: Path, state: State) -> None:
    path = tmp_path / "last.ckpt"
    for data in (b"", b"text", b"<html></html>", bytes(100), b"\x80\x02.", b"PK\x03\x04"):
        path.write_bytes(data)
        assert_refused(path, "is not a readable checkpoint")
    assert_refused(tmp_path / "missing.ckpt", "cannot read checkpoint .*No such file")
    assert_refused(tmp_path, "cannot read checkpoint .*Is a directory")
    (tmp_path / "a.safetensors").write_bytes(b"text")
    assert_refused(tmp_path / "a.safetensors", "is not a readable checkpoint")
    assert_refused(tmp_path / "missing.safetensors", "No such file")


@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files(tmp_path: Path, state: State, legacy: bool) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    for length in (10, 1000, len(data) // 2, len(data) - 10):
        path.write_bytes(data[:length])
        assert_refused(path, "is not a readable checkpoint")
