"""The codec and its files with an index prior."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch

from compressai_vq import file_codec as file_codec_module
from compressai_vq import zoo
from compressai_vq.codec import VQGANCodec
from compressai_vq.codings import check_coding
from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.prior import prior_weights as prior_weights_module
from compressai_vq.prior.neighbour_bits import neighbour_bits
from compressai_vq.prior.prior_weights import PriorWeights, packaged_prior

from .fixtures import photograph, untrained_codec, untrained_weights
from .prior.made_up import made_up_network
from .taming_reference import one_thread  # noqa: F401
from .transport.made_up import prior_codec, prior_weights


def codec(quality: int = 4) -> VQGANCodec:
    return untrained_weights().codec(quality).use_prior(made_up_network())


def images() -> torch.Tensor:
    pictures = [photograph(50, 70, which) for which in (0, 1)]
    return torch.stack(pictures).float() / 255


@pytest.mark.parametrize("quality", [1, 4, 9])
def test_contract(quality: int) -> None:
    model, plain = codec(quality), untrained_weights().codec(quality)
    x = images()
    written = model.compress(x)
    assert written["shape"] == (4, 5)
    assert written["strings"] != plain.compress(x)["strings"]
    x_hat = model.decompress(**written)["x_hat"]
    assert torch.equal(x_hat, plain.decompress(**plain.compress(x))["x_hat"])
    likelihoods = model(x)["likelihoods"]["indices"]
    assert likelihoods.shape == (2, 4, 5)
    for string, shares in zip(written["strings"][0], likelihoods, strict=True):
        assert abs(len(string) + shares.log2().sum().item() / 8) <= 9
    assert torch.equal(
        model.train()(x)["likelihoods"]["indices"], plain.train()(x)["likelihoods"]["indices"]
    )


@pytest.mark.parametrize("coding", ["frequencies", "prior"])
def test_a_batch_without_images_has_no_likelihoods(coding: str) -> None:
    model = codec().use_prior(made_up_network(), coding)
    out = model(torch.rand(0, 3, 50, 70))
    assert out["x_hat"].shape == (0, 3, 50, 70)
    assert out["likelihoods"]["indices"].shape == (0, 4, 5)


def test_either_coding_can_be_asked_for() -> None:
    model, x = codec(), images()
    indices = model.encode(x)
    assert model.write(indices, "frequencies") == model.index_coder.compress(indices)
    for coding in ("frequencies", "prior"):
        strings = model.write(indices, coding)
        assert torch.equal(model.read(strings, (4, 5), coding), indices)
    assert model.write(indices) == model.write(indices, "prior")
    model.use_prior(made_up_network(), "frequencies")
    assert model.write(indices) == model.write(indices, "frequencies")


def test_expected_bits_are_those_of_the_coding() -> None:
    model = codec()
    indices = model.encode(images())[0]
    by_frequencies = model.expected_bits(indices, "frequencies")
    assert by_frequencies.shape == (4, 5, 64)
    needed = -model.index_coder(indices).log2()
    chosen = by_frequencies.gather(-1, indices[..., None])[..., 0]
    torch.testing.assert_close(chosen, needed)
    by_prior = model.expected_bits(indices)
    assert torch.equal(by_prior, neighbour_bits(made_up_network(), indices, 3))
    with pytest.raises(CodecError, match="no index prior"):
        untrained_weights().codec(4).expected_bits(indices, "prior")


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_casts(way: object) -> None:
    assert callable(way)
    model, x = codec(), images()
    written = model.compress(x)
    indices = model.encode(x)
    copied = way(model)
    assert copied.compress(x) == written
    assert torch.equal(copied.bfloat16().read(written["strings"][0], (4, 5)), indices)


def test_no_prior_or_an_unfit_one() -> None:
    model = untrained_weights().codec(4)
    with pytest.raises(CodecError, match="has no index prior"):
        model.write(torch.zeros(1, 2, 2, dtype=torch.int64), "prior")
    with pytest.raises(CodecError, match="no quality 4 of 64 codewords"):
        model.use_prior(made_up_network((0, 1)))
    with pytest.raises(CodecError, match="unknown coding"):
        model.use_prior(made_up_network(), "other")
    assert model.prior is None and model.coding == "frequencies"
    check_coding("prior")


@pytest.mark.parametrize("quality", [1, 5, 9])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 17), (100, 150)])
def test_files(quality: int, height: int, width: int) -> None:
    picture = photograph(height, width)
    data = prior_codec().compress(picture, quality)
    container = Container.from_bytes(data)
    assert (container.coding, container.quality) == ("prior", quality)
    assert container.fingerprint == prior_weights().joint_fingerprint[:2] != b"\x5a\x00"
    plain = untrained_codec().compress(picture, quality)
    assert torch.equal(prior_codec().decompress(data), untrained_codec().decompress(plain))
    # A codec that has a prior reads and writes the other coding too.
    assert torch.equal(prior_codec().decompress(plain), untrained_codec().decompress(plain))
    frequencies = FileCodec(untrained_weights(), prior=prior_weights(), coding="frequencies")
    assert frequencies.compress(picture, quality) == plain


def test_another_prior_is_refused_by_name() -> None:
    data = prior_codec().compress(photograph(48, 64), 2)
    other = PriorWeights(made_up_network(), untrained_weights().fingerprint, bytes(32))
    reader = FileCodec(untrained_weights(), prior=other)
    found = prior_weights().joint_fingerprint[:2].hex()
    expected = other.joint_fingerprint[:2].hex()
    with pytest.raises(CodecError, match=f"another index prior .*{found}, these are {expected}"):
        reader.decompress(data)
    with pytest.raises(CodecError, match="by an index prior, and there is none"):
        untrained_codec().decompress(data)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(CodecError, match="there is no index prior"):
        FileCodec(untrained_weights(), coding="prior")
    with pytest.raises(CodecError, match="unknown coding"):
        FileCodec(untrained_weights(), coding="other")
    with pytest.raises(CodecError, match="belongs to weights"):
        FileCodec(untrained_weights(1), prior=prior_weights())


def test_the_packages_prior_is_found_when_it_fits_and_read_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_weights_module, "PACKAGED", tmp_path)
    path = tmp_path / "mao2024-vqgan-lite-prior.safetensors"
    assert packaged_prior(untrained_weights()) is None
    PriorWeights(made_up_network(), untrained_weights().fingerprint).save(path)
    assert packaged_prior(untrained_weights()) == path
    assert packaged_prior(untrained_weights(1)) is None

    loaded: list[Path | str] = []

    class Spy(PriorWeights):
        @classmethod
        def load(cls, path: Path | str) -> PriorWeights:
            loaded.append(path)
            return PriorWeights.load(path)

    monkeypatch.setattr(file_codec_module, "PriorWeights", Spy)
    codec = FileCodec(untrained_weights())
    assert codec.coding == "prior"
    plain = untrained_codec().compress(photograph(48, 64), 3)
    codec.decompress(plain)
    assert not loaded
    assert Container.from_bytes(codec.compress(photograph(48, 64), 3)).coding == "prior"
    assert loaded == [path]

    path.write_bytes(b"damaged")
    with pytest.raises(CodecError, match="not a safetensors file"):
        packaged_prior(untrained_weights())


def test_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_weights_module, "PACKAGED", tmp_path)
    assert zoo.mao2024_vqgan_lite(5, pretrained=True).coding == "frequencies"
    with pytest.raises(CodecError, match="no index prior for mao2024-vqgan-lite"):
        zoo.mao2024_vqgan_lite(5, pretrained=True, coding="prior")
    with pytest.raises(ValueError, match="untrained codecs have no index prior"):
        zoo.mao2024_vqgan_lite(5, coding="prior")
    from compressai_vq.pretrained import pretrained_weights

    fingerprint = pretrained_weights("mao2024-vqgan-lite").fingerprint
    path = tmp_path / "mao2024-vqgan-lite-prior.safetensors"
    PriorWeights(made_up_network(), fingerprint).save(path)
    found = zoo.mao2024_vqgan_lite(5, pretrained=True)
    assert found.coding == "prior" and found.prior is not None
    assert zoo.mao2024_vqgan_lite(5, pretrained=True, coding="frequencies").prior is None
