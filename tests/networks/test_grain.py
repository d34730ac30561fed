"""Grain: the same at a place whoever asks, another one at every other place."""

from __future__ import annotations

import pytest
import torch

from compressai_vq.networks.grain import PERIOD, Grain, grain_channels
from compressai_vq.networks.lite import LiteDecoder

from ..fixtures import seeded


def test_a_region_has_the_grain_of_its_place() -> None:
    grain = Grain(3, 5)
    with torch.no_grad():
        whole = grain(2 * PERIOD, PERIOD + 9)
        assert whole.shape == (1, 5, 2 * PERIOD, PERIOD + 9)
        part = grain(30, 20, (50, 40))
        assert torch.allclose(part, whole[..., 50:80, 40:60], atol=1e-6)
        again = grain(7, 7, (PERIOD, 3 * PERIOD))
        assert torch.allclose(again, whole[..., :7, :7], atol=1e-6)
        assert (whole[..., 1:] - whole[..., :-1]).abs().mean() > 0.01


def test_the_field_is_always_the_same() -> None:
    torch.manual_seed(1)
    first = Grain(2, 4)
    torch.manual_seed(2)
    second = Grain(2, 4)
    assert torch.equal(first.field, second.field)
    assert torch.equal(first.field, first.field.half().float())  # fp16 weights files keep it
    assert 0.95 < first.field.std() < 1.05
    with torch.device("meta"):  # as weights files are loaded
        assert not Grain(2, 4).project.weight.numel() - 8


def test_blocks_of_a_flat_map_differ_with_grain_only() -> None:
    plain, grainy = LiteDecoder(4).eval(), LiteDecoder(4, grain_channels=2).eval()
    grainy.load_state_dict(plain.state_dict(), strict=False)
    flat = torch.randn(1, 4, 1, 1, generator=seeded()).expand(1, 4, 40, 40)
    with torch.no_grad():
        for decoder, alike in ((plain, True), (grainy, False)):
            picture = decoder(flat, 3)
            # Far enough inside: at the edges are the zeros of convolutions.
            here, there = picture[..., 288:304, 288:304], picture[..., 304:320, 304:320]
            assert torch.allclose(here, there, atol=1e-5) == alike


def test_grain_channels_of_a_state_dict() -> None:
    assert grain_channels({}) == 0
    state = LiteDecoder(4, grain_channels=6).state_dict()
    assert grain_channels({f"decoder.{name}": value for name, value in state.items()}) == 6
    for shape in ((10**9, 0), (10**9, 0, 64), ()):
        with pytest.raises(ValueError, match=r"not \(G, 64, 64\)"):
            grain_channels({"decoder.grain.field": torch.empty(shape)})
