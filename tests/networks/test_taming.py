from __future__ import annotations

import pytest
import torch
from compressai.zoo.pretrained import load_pretrained

from compressai_vq.architectures import Mao2024VQGAN
from compressai_vq.networks.memory_layout import channels_last, like_weights
from compressai_vq.networks.taming import TamingDecoder, TamingEncoder, state_from_taming

from ..taming_reference import Reference, one_thread  # noqa: F401


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(16)


Pair = tuple[TamingEncoder, TamingDecoder]


@pytest.fixture
def pair(reference: Reference) -> Pair:
    """Our networks with the reference's weights."""
    state = state_from_taming(reference.state_dict())
    encoder, decoder = TamingEncoder(16, 32).eval(), TamingDecoder(16, 32).eval()
    for name, network in (("encoder.", encoder), ("decoder.", decoder)):
        network.load_state_dict(
            {k.removeprefix(name): v.clone() for k, v in state.items() if k.startswith(name)}
        )
    return encoder, decoder


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_networks_are_tamings_own(
    reference: Reference, pair: Pair, last: bool, grad: bool
) -> None:
    encoder, decoder = map(channels_last, pair) if last else pair
    x = torch.rand(1, 3, 48, 32) * 2 - 1
    with torch.set_grad_enabled(grad):
        latent = encoder(like_weights(x, encoder))
        y = decoder(like_weights(latent, decoder))
    assert latent.shape == (1, 16, 3, 2)
    assert y.shape == x.shape
    with torch.no_grad():
        expected = reference.quant_conv(reference.encoder(x))
        assert torch.allclose(latent, expected, atol=1e-5 * expected.abs().max().item() + 1e-4)
        expected = reference.decoder(reference.post_quant_conv(latent))
        assert expected.std() > 0.05
        assert torch.allclose(y, expected, atol=1e-3)


def test_bf16_is_where_the_work_is_and_gives_nearly_the_same(
    reference: Reference, pair: Pair
) -> None:
    encoder, decoder = pair
    encoder.use_bf16()
    decoder.use_bf16()
    for network, low, high in (
        (encoder, "net.down.0.block.0.conv1", "net.down.4.block.0.norm1"),
        (encoder, "net.mid.block_1.conv1", "net.conv_out"),
        (encoder, "net.down.4.attn.0.q", "net.down.4.attn.0.norm"),
        (decoder, "net.up.0.block.0.conv1", "net.up.4.block.0.norm1"),
        (decoder, "net.up.4.block.0.conv2", "net.mid.block_1.conv1"),
        (decoder, "net.mid.attn_1.q", "net.mid.attn_1.norm"),
    ):
        parameters = dict(network.named_parameters())
        assert parameters[f"{low}.weight"].dtype == torch.bfloat16
        assert parameters[f"{high}.weight"].dtype == torch.float32
    x = torch.rand(1, 3, 64, 48) * 2 - 1
    with torch.no_grad():
        expected = reference.quant_conv(reference.encoder(x))
        error = encoder(like_weights(x, encoder)) - expected
        assert 0 < error.std() < 0.1 * expected.std()
        y = decoder(like_weights(expected, decoder)).float()
        error = (y - reference.decoder(reference.post_quant_conv(expected))) / 2
    assert error.abs().max() > 0
    assert -10 * error.square().mean().log10() > 40  # dB


def test_gradients_reach_the_latent_through_bf16(pair: Pair) -> None:
    decoder = pair[1].requires_grad_(False)
    z = torch.randn(1, 16, 2, 3, requires_grad=True)
    (expected,) = torch.autograd.grad(decoder(z).square().mean(), z)
    decoder.use_bf16()
    (gradient,) = torch.autograd.grad(decoder(z).float().square().mean(), z)
    assert torch.nn.functional.cosine_similarity(gradient, expected).min() > 0.99


def test_every_name_has_one_of_ours(reference: Reference) -> None:
    theirs = reference.state_dict()
    ours = state_from_taming(theirs)
    codec = Mao2024VQGAN(16, 16, 32)
    networks = {k for k in codec.state_dict() if not k.startswith("index_coder.")}
    assert ours.keys() == networks
    assert len(ours) == sum(not name.startswith("loss.") for name in theirs)


def test_names_survive_compressais_loaders() -> None:
    state = Mao2024VQGAN(8, 16, 32).state_dict()
    assert load_pretrained(state).keys() == state.keys()


def test_published_size() -> None:
    with torch.device("meta"):
        encoder, decoder = TamingEncoder(), TamingDecoder()
    millions = [sum(p.numel() for p in m.net.parameters()) / 1e6 for m in (encoder, decoder)]
    assert millions == pytest.approx([29.3, 42.4], abs=0.06)


def test_building_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    TamingDecoder(16, 32)
    assert capsys.readouterr().out == ""
