"""The lite pair in tiles: how far its halves see, and that tiles give what the whole gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from compressai_vq.architectures import Mao2024VQGAN, Mao2024VQGANLite
from compressai_vq.networks import lite_tiled
from compressai_vq.networks.lite import LiteDecoder, LiteEncoder
from compressai_vq.networks.lite_tiled import decoder_radii, encoder_radii
from compressai_vq.picture import from_unit
from compressai_vq.precision import for_inference

from ..fixtures import photograph, seeded

SIZE, DIMENSIONS = 64, 4


@pytest.fixture(scope="module")
def codec() -> Mao2024VQGANLite:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = Mao2024VQGANLite(SIZE, DIMENSIONS, grain_channels=2).eval()
        for name, parameter in codec.named_parameters():
            # Fresh blocks are the identity (their last layer is zero): give them something to
            # do, and to every channel, for norms of constants would hide what is missing.
            if name.startswith(("encoder.", "decoder.")):
                parameter.data.add_(0.02 * torch.randn_like(parameter))
        latents = codec.latent(photograph(160, 240)[None])[0].flatten(1).t()
        codec.codebook.weight.data = latents[torch.randperm(len(latents))[:SIZE]].detach()
    return codec


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, each of several tiles, on pictures of a few hundred pixels."""
    monkeypatch.setattr(lite_tiled, "BLOCK", 12)
    monkeypatch.setattr(lite_tiled, "TILE", 5)
    monkeypatch.setattr(Mao2024VQGANLite, "whole_positions", 1)


def changed_columns(
    network: Callable[[Tensor], Tensor], x: Tensor, column: int
) -> tuple[int, int]:
    """First and last column of a network's output that depend on a column of its input."""
    other = x.clone()
    other[..., column] += torch.randn(other[..., column].shape, generator=seeded(1)).to(x)
    with torch.no_grad():
        changed = (network(x) != network(other)).flatten(0, 2).any(0).nonzero().flatten()
    return int(changed[0]), int(changed[-1])


def doubles(*shape: int) -> Tensor:
    return torch.rand(shape, generator=seeded(), dtype=torch.float64)


def test_the_encoder_sees_as_far_as_its_radius(codec: Mao2024VQGANLite) -> None:
    network: LiteEncoder = codec.encoder.double()
    radii = encoder_radii(network)
    assert radii.margins == (3, 4)
    try:
        x = doubles(1, 3, 16, 640)
        for column in (320, 335):
            first, last = changed_columns(lambda x: network(x, 3), x, column)
            # A position's block begins at 16 * first, and reaches `radius` pixels beyond it.
            assert 16 * first - sum(radii) <= column < 16 * last + 16 + sum(radii)
            fine = changed_columns(lambda x: network.fine(x, 3), x, column)
            assert 16 * fine[0] - radii.fine <= column < 16 * fine[1] + 16 + radii.fine
            assert column // 16 - fine[0] <= radii.margins[0]
            assert fine[1] - column // 16 <= radii.margins[0]
        # No margin is larger than it must be: the furthest that may change does.
        reach = [changed_columns(lambda x: network(x, 3), x, c) for c in (320, 335)]
        assert (reach[0][0], reach[1][1]) == (20 - sum(radii.margins), 20 + sum(radii.margins))
        f = doubles(1, 256, 1, 20)
        coarse = changed_columns(lambda x: network.coarse(x, 3), f, 10)
        assert coarse == (10 - radii.coarse // 16, 10 + radii.coarse // 16)
    finally:
        codec.float()


def test_the_decoder_sees_as_far_as_its_radius(codec: Mao2024VQGANLite) -> None:
    network: LiteDecoder = codec.decoder.double()
    radii = decoder_radii(network)
    assert radii.margins == (5, 11)
    try:
        z = doubles(1, DIMENSIONS, 1, 40)
        first, last = changed_columns(lambda z: network(z, 3), z, 20)
        # As a pixel sees whole positions: within its radius, rounded up to its shuffles.
        assert 16 * 20 - sum(radii) - 2 <= first <= 16 * 20 - sum(radii) + 2
        assert 16 * 21 - 1 + sum(radii) - 2 <= last <= 16 * 21 - 1 + sum(radii) + 2
        assert first >= 16 * (20 - sum(radii.margins))
        assert last < 16 * (21 + sum(radii.margins))
        x = doubles(1, 128, 1, 20)
        first, last = changed_columns(lambda x: network.fine(x, 3), x, 10)
        assert 16 * (10 - radii.margins[0]) <= first < 16 * (11 - radii.margins[0])
        assert 16 * (10 + radii.margins[0]) <= last < 16 * (11 + radii.margins[0])
        coarse = changed_columns(lambda z: network.coarse(z, 3), z, 20)
        assert coarse == (20 - radii.coarse // 16, 20 + radii.coarse // 16)
    finally:
        codec.float()


def test_the_two_halves_are_the_whole(codec: Mao2024VQGANLite) -> None:
    x = torch.rand(2, 3, 48, 64, generator=seeded())
    with torch.no_grad():
        features = codec.encoder.fine(x, 4)
        latent = codec.encoder(x, 4)
        assert torch.equal(codec.encoder.coarse(features, 4), latent)
        features = codec.decoder.coarse(latent, 4)
        image = codec.decoder(latent, 4)
        assert torch.equal(codec.decoder.fine(features, 4), image)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("height", "width"), [(211, 250), (17, 600), (300, 16)])
def test_tiles_give_the_same_indices_and_pixels(
    codec: Mao2024VQGANLite, monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    picture = photograph(height, width)
    x = picture[None].float() / 255
    indices, image = codec.encode(x), codec.decode(codec.encode(x))
    painted = codec.paint(indices[0], height, width)
    calls = spy(monkeypatch)
    assert torch.equal(codec.encode(picture[None]), indices)  # from 8-bit pixels
    assert len(calls) > 1
    monkeypatch.setattr(Mao2024VQGANLite, "whole_positions", None)
    assert torch.equal(codec.encode(x), indices)
    assert torch.equal(codec.encode(picture[None]), indices)
    assert len(indices.unique()) > 5
    whole = codec.decode(indices)
    # Sums may be taken in another order for other shapes, but not of other numbers.
    assert image.shape == whole.shape
    assert (image - whole).abs().max() < 2e-5
    assert painted.shape == (3, height, width) and painted.dtype == torch.uint8
    expected = from_unit(whole)[:, :height, :width]
    assert (painted.int() - expected.int()).abs().max() <= 1
    assert (painted == expected).float().mean() > 0.999


@pytest.mark.usefixtures("small_tiles")
def test_margins_are_needed(codec: Mao2024VQGANLite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would see a margin that is too small."""
    picture = photograph(100, 240)[None]
    right = codec.decode(codec.encode(picture))
    for radii in ("encoder_radii", "decoder_radii"):
        with monkeypatch.context() as patch:
            patch.setattr(lite_tiled, radii, lambda _: lite_tiled.Radii(0, 0))
            assert (codec.decode(codec.encode(picture)) - right).abs().max() > 0.01


@pytest.mark.usefixtures("small_tiles")
def test_batches(codec: Mao2024VQGANLite) -> None:
    pictures = torch.stack([photograph(100, 240), photograph(100, 240, 1)])
    indices = codec.encode(pictures)
    assert torch.equal(indices[1:], codec.encode(pictures[1:]))
    assert torch.allclose(codec.decode(indices)[1:], codec.decode(indices[1:]), atol=2e-5)


@pytest.mark.usefixtures("small_tiles")
def test_bf16(codec: Mao2024VQGANLite, monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = Mao2024VQGANLite.from_state_dict(codec.state_dict())
    rounded = for_inference(rounded, precision="bf16")
    picture = photograph(100, 240)
    indices = rounded.encode(picture[None])[0]
    painted = rounded.paint(indices, 100, 240)
    monkeypatch.setattr(Mao2024VQGANLite, "whole_positions", None)
    assert (rounded.encode(picture[None])[0] == indices).float().mean() > 0.98
    difference = (painted.float() - rounded.paint(indices, 100, 240).float()).abs()
    assert difference.mean() < 1


def test_usual_sizes_are_not_cut(codec: Mao2024VQGANLite, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = spy(monkeypatch)
    codec.encode(torch.zeros(1, 3, 512, 768, dtype=torch.uint8))
    assert not calls
    assert codec._in_tiles((1080 // 16 + 1, 1920 // 16)) is False
    assert codec._in_tiles((2160 // 16, 3840 // 16)) is True
    assert Mao2024VQGAN.whole_positions is None


def spy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with one entry for each tile that the encoder gets from now on."""
    calls: list[int] = []
    original = lite_tiled.like_weights

    def counted(x: Tensor, network: torch.nn.Module) -> Tensor:
        if isinstance(network, LiteEncoder) and x.shape[1] == 3:
            calls.append(x.shape[-1])
        return original(x, network)

    monkeypatch.setattr(lite_tiled, "like_weights", counted)
    return calls
