"""The lite pair: sizes, locality, and the two ways to say which rate."""

from __future__ import annotations

import pytest
import torch

from compressai_vq.networks import winograd
from compressai_vq.networks.lite import LiteDecoder, LiteEncoder, RateNorm, _Halving
from compressai_vq.networks.memory_layout import channels_last, like_weights


@pytest.fixture(scope="module")
def pair() -> tuple[LiteEncoder, LiteDecoder]:
    torch.manual_seed(0)
    encoder, decoder = LiteEncoder(8).eval(), LiteDecoder(8).eval()
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        # Fresh blocks are the identity (their last layer is zero): give them something to do.
        with torch.no_grad():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return encoder, decoder


def test_at_most_twelve_million_parameters(pair: tuple[LiteEncoder, LiteDecoder]) -> None:
    assert sum(p.numel() for module in pair for p in module.parameters()) <= 12_000_000


def test_shapes(pair: tuple[LiteEncoder, LiteDecoder]) -> None:
    encoder, decoder = pair
    with torch.no_grad():
        latent = encoder(torch.rand(2, 3, 48, 80), 4)
        assert latent.shape == (2, 8, 3, 5)
        assert decoder(latent, 4).shape == (2, 3, 48, 80)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_halving_is_pixel_unshuffle_and_a_convolution(layout: torch.memory_format) -> None:
    """So that weights are those of the convolution."""
    halving = _Halving(3, 7).to(memory_format=layout)  # type: ignore[call-overload]
    assert halving.weight.shape == (7, 12, 1, 1)
    x = torch.rand(2, 3, 6, 10).contiguous(memory_format=layout)
    unshuffled = torch.nn.functional.pixel_unshuffle(x, 2)
    wanted = torch.nn.functional.conv2d(unshuffled, halving.weight, halving.bias)
    assert torch.allclose(halving(x), wanted, atol=1e-6)


def test_one_rate_and_a_rate_for_each_picture_agree(
    pair: tuple[LiteEncoder, LiteDecoder],
) -> None:
    encoder, decoder = pair
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        each = encoder(x, torch.tensor([1, 7]))
        assert torch.allclose(each[:1], encoder(x[:1], 1), atol=1e-5)
        assert torch.allclose(each[1:], encoder(x[1:], 7), atol=1e-5)
        assert not torch.allclose(each[1:], encoder(x[1:], 1), atol=1e-3)
        y = decoder(each, torch.tensor([1, 7]))
        assert torch.allclose(y[1:], decoder(each[1:], 7), atol=1e-4)


def test_a_far_away_change_changes_nothing(pair: tuple[LiteEncoder, LiteDecoder]) -> None:
    """No statistic is taken over the image: large images are not another task."""
    encoder, decoder = pair
    x = torch.rand(1, 3, 32, 640)
    y = x.clone()
    y[..., 512:] = 0
    with torch.no_grad():
        a, b = encoder(x, 0), encoder(y, 0)
        assert torch.equal(a[..., :8], b[..., :8])
        assert not torch.equal(a[..., 33:], b[..., 33:])
        a, b = decoder(a, 0), decoder(torch.cat([a[..., :32], b[..., 32:]], -1), 0)
        assert torch.equal(a[..., :128], b[..., :128])


def test_channels_last_gives_the_same_values(pair: tuple[LiteEncoder, LiteDecoder]) -> None:
    encoder = pair[0]
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        plain = encoder(x, 2)
        laid_out = channels_last(LiteEncoder(8).eval())
        laid_out.load_state_dict(encoder.state_dict())
        given = like_weights(x, laid_out)
        assert given.is_contiguous()  # a picture
        features = like_weights(torch.rand(1, 8, 2, 3), laid_out)
        assert features.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(plain, laid_out(given, 2), atol=1e-5)


@pytest.mark.skipif(not winograd.available(), reason="torch has no NNPACK here")
def test_winograds_filtering_gives_the_same_values(
    pair: tuple[LiteEncoder, LiteDecoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, decoder = pair
    x = torch.rand(1, 3, 240, 256) * 2 - 1
    with torch.no_grad():
        latent, picture = encoder(x, 3), decoder(encoder(x, 3), 3)
        monkeypatch.setattr(winograd, "pays", lambda *_: False)
        plain = encoder(x, 3), decoder(latent, 3)
    for found, expected in zip((latent, picture), plain, strict=True):
        assert not torch.equal(found, expected)
        assert torch.allclose(found, expected, atol=1e-3 * expected.square().mean().sqrt().item())


def test_norm_is_the_same_in_either_layout() -> None:
    torch.manual_seed(0)
    norm = RateNorm(24)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = 3 * torch.randn(2, 24, 5, 7) + 2
    last = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        before = x.clone()
        assert torch.allclose(norm(x, 4), norm(last, 4), atol=1e-5)
        assert torch.equal(x, before)
    assert torch.allclose(norm(x, 4), norm(last, 4), atol=1e-5)


def test_norm_of_a_constant_is_its_shift() -> None:
    norm = RateNorm(4)
    with torch.no_grad():
        norm.bias[3] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    y = norm(torch.full((1, 4, 2, 2), 5.0), 3)
    assert torch.allclose(y[0, :, 0, 0], norm.bias[3])
