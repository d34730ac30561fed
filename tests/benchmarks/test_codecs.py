"""Every codec has an entry, and a reason where it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import codecs as registry
from benchmarks.codecs import CODECS, OURS, Sources, fingerprint, make_codec, uniform
from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec

from ..fixtures import photograph, untrained_weights
from ..taming_reference import one_thread  # noqa: F401


def test_every_codec_of_the_paper_has_an_entry() -> None:
    assert next(iter(CODECS)) == OURS
    assert {"vvc", "hevc", "avif", "jpegxl", "bpg", "vtm", "fcc", "savd"} <= set(CODECS)
    assert {"cheng2020-lowrate", "hific-lowrate", "cheng2020-anchor"} <= set(CODECS)
    assert {f"{OURS}-uniform", f"{OURS}-unfinetuned"} <= set(CODECS)
    assert len({entry.label for entry in CODECS.values()}) == len(CODECS)


def test_reasons_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(registry.UNFINETUNED_VARIABLE, raising=False)
    sources = Sources(models=tmp_path / "models", unfinetuned=tmp_path / "none.safetensors")
    for key in ("cheng2020-lowrate", "hific-lowrate"):
        with pytest.raises(CodecError, match=r"train_baselines .*--models"):
            make_codec(key, sources)
    with pytest.raises(CodecError, match=r"none.safetensors: .* --unfinetuned"):
        make_codec(f"{OURS}-unfinetuned", sources)
    with pytest.raises(CodecError, match="no codec 'x'"):
        make_codec("x")


def test_uniform_frequencies_cost_log2_k_bits_and_change_no_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = untrained_weights()
    monkeypatch.setattr(registry, "pretrained_weights", lambda name: weights)
    learned, flat = make_codec(OURS), make_codec(f"{OURS}-uniform")
    picture = photograph(128, 192)
    count = 8 * 12
    for quality in (1, 5, 9):
        ours, theirs = learned.compress(picture, quality), flat.compress(picture, quality)
        assert torch.equal(learned.decompress(ours), flat.decompress(theirs))
        payload = len(Container.from_bytes(theirs).payload)
        ideal = count * (quality + 2) / 8
        # The coder's state and its 4-byte words come on top.
        assert ideal <= payload <= ideal + 8
        with pytest.raises(CodecError, match="made with weights"):
            learned.decompress(theirs)
    assert fingerprint(learned) == weights.fingerprint.hex() != fingerprint(flat)
    assert uniform(weights).fingerprint.hex() == fingerprint(flat)


def test_weights_before_fine_tuning_come_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "before.safetensors"
    untrained_weights(1).save(path)
    monkeypatch.setenv(registry.UNFINETUNED_VARIABLE, str(path))
    codec = make_codec(f"{OURS}-unfinetuned")
    picture = photograph(48, 64)
    expected = FileCodec(untrained_weights(1)).compress(picture, 3)
    # The header differs, for it has the fingerprint of the file.
    assert Container.from_bytes(codec.compress(picture, 3)).payload == (
        Container.from_bytes(expected).payload
    )
    assert list(codec.qualities) == list(range(1, 10))
    other = make_codec(f"{OURS}-unfinetuned", Sources(unfinetuned=path))
    assert fingerprint(other) == fingerprint(codec)
