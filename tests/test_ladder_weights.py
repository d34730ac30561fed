from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from compressai_vq.codec import VQGANCodec
from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import LadderWeights, packaged_weights
from compressai_vq.rates import LADDER

from .fixtures import photograph, untrained_weights

WEIGHTS = untrained_weights()
WEIGHT_NAME = "decoder.stem.weight"


def changed(**tensors: Tensor | None) -> LadderWeights:
    """The weights with some tensors replaced or, for None, left out; ``__`` stands for a dot."""
    named = {name.replace("__", "."): value for name, value in tensors.items()}
    merged = {**WEIGHTS.tensors, **named}
    kept = {name: value for name, value in merged.items() if value is not None}
    return dataclasses.replace(WEIGHTS, tensors=kept)


def strings(codec: VQGANCodec) -> list[bytes]:
    return codec.compress(photograph(48, 64)[None].float() / 255)["strings"][0]


def refuse(path: Path, words: str) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        LadderWeights.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    fingerprint = WEIGHTS.save(path)
    loaded = LadderWeights.load(path)
    assert fingerprint == loaded.fingerprint == hashlib.sha256(path.read_bytes()).digest()
    assert (loaded.architecture, loaded.calibration) == ("mao2024-vqgan-lite", "made up for tests")
    assert loaded.qualities == list(range(1, 10))
    assert loaded.tensors.keys() == WEIGHTS.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], WEIGHTS.tensors[name]) for name in loaded.tensors)
    # The same contents give the same file: the fingerprint is a fact about the weights.
    assert loaded.save(tmp_path / "again.safetensors") == fingerprint


def test_weights_with_another_encoder_say_whose_images_they_decode(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    first = WEIGHTS.save(tmp_path / "first.safetensors")
    better = dataclasses.replace(WEIGHTS, decodes=first)
    fingerprint = better.save(path)
    loaded = LadderWeights.load(path)
    assert loaded.fingerprint == fingerprint != first
    assert loaded.decodes == loaded.image_fingerprint == first
    loaded.check_fingerprint(first[:2])
    with pytest.raises(CodecError, match=f"these are {first[:2].hex()}"):
        loaded.check_fingerprint(fingerprint[:2])


@pytest.mark.parametrize("decodes", ["xyz", 3, None])
def test_whose_images_is_no_number(tmp_path: Path, decodes: object) -> None:
    facts = {"architecture": WEIGHTS.architecture, "decodes": decodes}
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(WEIGHTS.tensors, path, {"compressai_vq": json.dumps(facts)})
    refuse(path, "is no number")


@pytest.mark.parametrize("quality", [1, 5, 9])
def test_codec(quality: int) -> None:
    codec = WEIGHTS.codec(quality)
    assert not codec.training
    assert codec.index_coder.size == LADDER[quality - 1]
    assert codec.rate == quality - 1
    assert all(p.dtype == torch.float32 for p in codec.parameters())
    assert strings(codec) == strings(WEIGHTS.codec(quality))
    # CompressAI's tools save it and load it.
    assert strings(type(codec).from_state_dict(codec.state_dict()).eval()) == strings(codec)
    likelihoods = codec.index_coder(torch.arange(codec.index_coder.size))
    stored = WEIGHTS.tensors[f"log2_frequencies.{quality}"].exp2()
    assert torch.allclose(likelihoods, stored, rtol=0.1, atol=2 / 65536)


def test_training_one_codec_leaves_the_weights_alone() -> None:
    before = strings(WEIGHTS.codec(3))
    codec = WEIGHTS.codec(3).to(torch.bfloat16)
    with torch.no_grad():
        codec.codebook.weight.zero_()
    assert strings(WEIGHTS.codec(3)) == before


def test_the_packaged_weights_are_whole() -> None:
    weights = LadderWeights.load(packaged_weights("mao2024-vqgan-lite"))
    assert weights.architecture == "mao2024-vqgan-lite"
    assert weights.qualities == list(range(1, 10))
    for quality in weights.qualities:
        assert weights.codec(quality).index_coder.size == LADDER[quality - 1]


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "w.safetensors", "cannot read weights .*: No such file")
    refuse(tmp_path, "cannot read weights .*: Is a directory")


@pytest.mark.parametrize("data", [b"", b"text", bytes(8), b"\xff" * 100, b"PK\x03\x04" * 9])
def test_not_safetensors(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(data)
    refuse(tmp_path / "w.safetensors", "is not a safetensors file")


def test_truncated_and_extended(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    WEIGHTS.save(path)
    data = path.read_bytes()
    for wrong in (data[: len(data) // 2], data[:-1], data[:100], data + b"\0"):
        path.write_bytes(wrong)
        refuse(path, "is not a safetensors file")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"compressai_vq": "{}"},
        {"compressai_vq": "[]"},
        {"compressai_vq": "3"},
        {"compressai_vq": json.dumps({"architecture": "other"})},
        {"compressai_vq": json.dumps({"architecture": ["mao2024-vqgan"]})},
        {"compressai_vq": json.dumps({"architecture": None})},
    ],
)
def test_safetensors_of_others(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata)
    refuse(path, "holds no weights of this package")


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_metadata_that_is_no_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, {"compressai_vq": text})
    refuse(path, "is not a safetensors file")


def test_a_quality_that_is_not_there() -> None:
    weights = changed(codebooks__4=None, codebooks__x=torch.ones(2), codebooks__10=torch.ones(2))
    assert weights.qualities == [1, 2, 3, 5, 6, 7, 8, 9]
    for quality in (0, 4, 10, -1):
        with pytest.raises(CodecError, match=f"not {quality}"):
            weights.codec(quality)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("codebooks.1", torch.zeros(8)),
        ("codebooks.1", torch.zeros(())),
        ("codebooks.1", torch.zeros(1, 3)),
        ("codebooks.1", torch.zeros(0, 3)),
        ("codebooks.1", torch.zeros(9, 3)),
        ("codebooks.1", torch.zeros(8, 4)),
        ("codebooks.1", torch.zeros(8, 0)),
        ("log2_frequencies.1", torch.zeros(9)),
        ("log2_frequencies.1", torch.zeros(())),
        ("log2_frequencies.1", torch.zeros(2, 4)),
        ("log2_frequencies.1", None),
        (WEIGHT_NAME, torch.zeros(3)),
        (WEIGHT_NAME, None),
        ("decoder.extra", torch.zeros(3)),
        ("codebooks.1", torch.full((8, 3), torch.nan)),
        ("log2_frequencies.1", torch.full((8,), torch.inf)),
        ("log2_frequencies.1", torch.full((8,), torch.nan)),
        (WEIGHT_NAME, torch.full(WEIGHTS.tensors[WEIGHT_NAME].shape, -torch.inf)),
    ],
)
def test_tensors_that_do_not_fit(name: str, value: Tensor | None) -> None:
    weights = changed(**{name: value})
    with pytest.raises(CodecError, match="weights of mao2024-vqgan-lite do not fit") as caught:
        weights.codec(1)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    told = message.removeprefix("weights of mao2024-vqgan-lite do not fit")
    assert any(
        word in told for word in (name, "codeword", "encoder.head", "index_coder", "codebook")
    )


@pytest.mark.parametrize("width", [torch.zeros(()), torch.zeros(33, 3, 3, 3), torch.zeros(0)])
def test_tensors_of_the_other_architecture(width: Tensor) -> None:
    tensors = {
        "codebooks.1": torch.zeros(8, 3),
        "log2_frequencies.1": torch.zeros(8),
        "encoder.net.conv_in.weight": width,
    }
    with pytest.raises(CodecError, match="weights of mao2024-vqgan do not fit"):
        LadderWeights("mao2024-vqgan", "", tensors).codec(1)
    with pytest.raises(CodecError, match="do not fit"):
        LadderWeights("mao2024-vqgan", "", WEIGHTS.tensors).codec(1)


def test_codecs_are_of_their_own_unless_shared() -> None:
    weights = untrained_weights()
    kept = {name: value.clone() for name, value in weights.tensors.items()}
    first, second = weights.codec(1), weights.codec(5)
    before = [p.detach().clone() for p in second.parameters()]
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    assert all(torch.equal(p, old) for p, old in zip(second.parameters(), before, strict=True))
    assert all(torch.equal(value, weights.tensors[name]) for name, value in kept.items())
    assert strings(weights.codec(1)) == strings(untrained_weights().codec(1))
    one, two = (weights.codec(quality, shared=True) for quality in (1, 5))
    names = [n for n, _ in one.named_parameters() if n.startswith(("encoder.", "decoder."))]
    for name in names:
        assert one.get_parameter(name).data_ptr() == two.get_parameter(name).data_ptr()


def test_weights_read_without_gradients_can_learn(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    untrained_weights().save(path)
    with torch.inference_mode():
        codec = LadderWeights.load(path).codec(1)
    assert not any(p.is_inference() for p in codec.parameters())
