"""Number formats of inference."""

from __future__ import annotations

import pytest
import torch

from compressai_vq import precision
from compressai_vq.architectures import Mao2024VQGAN, Mao2024VQGANLite
from compressai_vq.codec import VQGANCodec
from compressai_vq.errors import CodecError
from compressai_vq.precision import autocast, for_inference, for_training, prefers_bf16


def _dtype(codec: VQGANCodec) -> torch.dtype:
    return next(codec.encoder.parameters()).dtype


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_uses_bf16_where_the_cpu_is_fast_at_it(
    fast: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: fast)
    assert _dtype(for_inference(Mao2024VQGANLite(8))) == expected
    taming = for_inference(Mao2024VQGAN(8, 32, width=32))
    formats = {name: parameter.dtype for name, parameter in taming.decoder.named_parameters()}
    # Of taming's networks the small sizes, which matter most, stay in fp32.
    assert formats["net.up.0.block.0.conv1.weight"] == expected
    assert formats["net.mid.block_1.conv1.weight"] == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_training_is_in_bf16_where_the_device_is_fast_at_it(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: fast)
    assert for_training("cpu") == ("bf16-mixed" if fast else "32-true")
    assert for_training("cuda") == "bf16-mixed"


@pytest.mark.parametrize("fast", [True, False])
def test_gpus_that_emulate_bf16_compute_in_fp32(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return fast or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert prefers_bf16("cuda:0") == fast
    for accelerator in ("cuda", "gpu"):
        assert for_training(accelerator) == ("bf16-mixed" if fast else "32-true")


@pytest.mark.parametrize("fast", [True, False])
def test_a_region_is_in_bf16_where_the_device_is_fast_at_it(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: fast)
    x = torch.ones(2, 2)
    with autocast("cpu"):
        assert (x @ x).dtype == (torch.bfloat16 if fast else torch.float32)
    with autocast("cpu", enabled=False):
        assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("name", ["bfloat16", "BF16", "", "fp16"])
def test_other_precisions_are_refused(name: str) -> None:
    with pytest.raises(CodecError, match=r"unknown precision .*known: auto, fp32, bf16"):
        for_inference(Mao2024VQGANLite(8), precision=name)


def test_codebook_and_frequencies_stay_in_fp32() -> None:
    codec = for_inference(Mao2024VQGANLite(8), precision="bf16")
    assert codec.codebook.weight.dtype == torch.float32
    assert codec.index_coder.quantiles.dtype == torch.float32


def test_bf16_decodes_to_nearly_the_same_picture() -> None:
    torch.manual_seed(0)
    codec = Mao2024VQGANLite(64).eval()
    codec.update()
    indices = torch.randint(64, (1, 4, 6))
    exact = codec.decode(indices)
    rounded = for_inference(codec, precision="bf16").decode(indices)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).abs().mean() < 0.01
