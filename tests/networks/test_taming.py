from __future__ import annotations

import pytest
import torch
from compressai.zoo.pretrained import load_pretrained

from compressai_vq.architectures import Mao2024VQGAN
from compressai_vq.networks.taming import TamingDecoder, TamingEncoder, state_from_taming

from ..taming_reference import Reference, one_thread  # noqa: F401


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(16)


def test_networks_are_tamings_own(reference: Reference) -> None:
    state = state_from_taming(reference.state_dict())
    encoder, decoder = TamingEncoder(16, 32).eval(), TamingDecoder(16, 32).eval()
    for name, network in (("encoder.", encoder), ("decoder.", decoder)):
        network.load_state_dict(
            {k.removeprefix(name): v for k, v in state.items() if k.startswith(name)}
        )
    x = torch.rand(1, 3, 48, 32) * 2 - 1
    with torch.no_grad():
        latent = encoder(x)
        assert latent.shape == (1, 16, 3, 2)
        assert torch.equal(latent, reference.quant_conv(reference.encoder(x)))
        y = decoder(latent)
        assert y.shape == x.shape
        assert torch.equal(y, reference.decoder(reference.post_quant_conv(latent)))


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
