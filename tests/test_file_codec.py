from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from compressai_vq.architectures import ARCHITECTURES, Mao2024VQGANLite
from compressai_vq.codec import VQGANCodec
from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import from_unit, to_unit

from .fixtures import noise, photograph, untrained_codec, untrained_weights
from .forgery import forge
from .taming_reference import one_thread  # noqa: F401

CODEC = untrained_codec()


@pytest.mark.parametrize("quality", [1, 5, 9])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (48, 64), (33, 17), (1, 500), (500, 1)])
def test_files_are_what_the_codec_gives_in_memory(quality: int, height: int, width: int) -> None:
    picture = photograph(height, width)
    data = CODEC.compress(picture, quality)
    container = Container.from_bytes(data)
    assert (container.width, container.height) == (width, height)
    assert (container.quality, container.fingerprint) == (quality, b"\x5a\x00")

    codec = CODEC.codec(quality)
    written = codec.compress(to_unit(picture))
    assert container.payload == written["strings"][0][0]
    assert container.shape == tuple(written["shape"])

    decoded = CODEC.decompress(data)
    assert decoded.dtype == torch.uint8
    assert decoded.shape == (3, height, width)
    x_hat = codec.decompress(**written)["x_hat"]
    assert torch.equal(decoded, from_unit(x_hat)[:, :height, :width])


def test_higher_qualities_give_larger_files() -> None:
    picture = photograph(128, 192)
    sizes = [len(CODEC.compress(picture, quality)) for quality in range(1, 10)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_best_quality_that_fits() -> None:
    picture = photograph(128, 192)
    files = {quality: CODEC.compress(picture, quality) for quality in range(1, 10)}
    for quality in (1, 4, 9):
        size = len(files[quality])
        best = max(q for q in files if len(files[q]) <= size)
        assert CODEC.compress_to_fit(picture, size) == (files[best], best)
    assert CODEC.compress_to_fit(picture, 10**9) == (files[9], 9)
    smallest = min(map(len, files.values()))
    with pytest.raises(CodecError, match=f"no quality fits .* the smallest file has {smallest}"):
        CODEC.compress_to_fit(picture, smallest - 1)


SIZES = {1: 30, 2: 20, 3: 40, 4: 50, 5: 60, 6: 70, 7: 80, 8: 90, 9: 100}
"""Bytes of the files that a stand-in makes; not every quality's are more than the one's below."""


def sized_codec(monkeypatch: pytest.MonkeyPatch, dearer: int | None) -> list[tuple[int, bool]]:
    """Make files of ``SIZES``, refined ones dearer; the list gets what is compressed."""
    asked: list[tuple[int, bool]] = []

    def compress(picture: Any, quality: int, refinement: Any) -> bytes:
        asked.append((quality, refinement is not None))
        kind = b"plain" if refinement is None else b"refined"
        return kind.ljust(SIZES[quality] + (dearer or 0) * (refinement is not None))

    monkeypatch.setattr(CODEC, "_compress", compress)
    monkeypatch.setattr(CODEC, "refinement", None if dearer is None else object())
    return asked


def test_nothing_is_compressed_twice_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = sized_codec(monkeypatch, dearer=None)
    assert CODEC.compress_to_fit(photograph(16, 16), 80) == (b"plain".ljust(80), 7)
    assert asked == [(9, False), (8, False), (7, False)]


@pytest.mark.parametrize(
    ("size", "kind", "length", "quality"),
    [
        (85, b"refined", 85, 7),  # to the byte
        (84, b"refined", 75, 6),  # a refined file is worth more than a step of quality
        (24, b"plain", 20, 2),  # no refined one fits
        (34, b"refined", 25, 2),
        (99, b"refined", 95, 8),
    ],
)
def test_refined_files_that_fit(
    size: int, kind: bytes, length: int, quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized_codec(monkeypatch, dearer=5)
    found = CODEC.compress_to_fit(photograph(16, 16), size)
    assert found == (kind.ljust(length), quality)


def test_of_plain_files_that_fit_the_best_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    sized_codec(monkeypatch, dearer=50)
    assert CODEC.compress_to_fit(photograph(16, 16), 65) == (b"plain".ljust(60), 5)


@pytest.mark.parametrize("dearer", [None, 5])
def test_the_smallest_file_is_named_where_none_fits(
    dearer: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized_codec(monkeypatch, dearer)
    with pytest.raises(CodecError, match="fits in 19 bytes: the smallest file has 20"):
        CODEC.compress_to_fit(photograph(16, 16), 19)


def test_files_of_other_weights_are_refused_by_name() -> None:
    data = untrained_codec(1).compress(photograph(48, 64), 2)
    with pytest.raises(CodecError, match=r"made with weights 5a01 .* these are 5a00.*--weights"):
        CODEC.decompress(data)


def test_files_of_another_architecture_are_refused_by_name() -> None:
    data = forge(48, 64, bytes(8), architecture=0)
    with pytest.raises(CodecError, match=r"made with mao2024-vqgan; these weights are .*-lite"):
        CODEC.decompress(data)


def test_qualities_that_the_weights_lack() -> None:
    weights = untrained_weights()
    tensors = {name: v for name, v in weights.tensors.items() if name != "codebooks.4"}
    codec = FileCodec(dataclasses.replace(weights, tensors=tensors))
    with pytest.raises(CodecError, match="not 4"):
        codec.compress(photograph(48, 64), 4)
    with pytest.raises(CodecError, match="not 4"):
        codec.decompress(CODEC.compress(photograph(48, 64), 4))
    assert codec.compress_to_fit(photograph(48, 64), 10**9)[1] == 9


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (
            torch.rand(3, 32, 32),
            r"uint8 \(3, H, W\), not empty, and this is float32 \(3, 32, 32\)",
        ),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"this is uint8 \(1, 3, 32, 32\)"),
        (torch.zeros(32, 32, 3, dtype=torch.uint8), r"this is uint8 \(32, 32, 3\)"),
        (torch.zeros(3, 0, 32, dtype=torch.uint8), r"not empty, and this is uint8 \(3, 0, 32\)"),
        (np.zeros((3, 32, 32), np.uint8), "must be a tensor.*and this is numpy.ndarray"),
        (Image.new("RGB", (32, 32)), "must be a tensor.*and this is PIL.Image.Image"),
    ],
)
def test_what_is_no_picture(picture: Any, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        FileCodec(untrained_weights()).compress(picture, 3)


def test_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mao2024VQGANLite, "max_pixels", 1000)
    CODEC.decompress(CODEC.compress(photograph(20, 50), 1))
    with pytest.raises(CodecError, match=r"20x51 pixels are more than .* limit of 0.0 megapixels"):
        CODEC.compress(photograph(51, 20), 1)
    with pytest.raises(CodecError, match="20x51 pixels"):
        CODEC.decompress(forge(20, 51, bytes(8)))


def test_a_side_too_long_is_refused_before_it_is_compressed() -> None:
    with pytest.raises(CodecError, match="a side has at most 1048576"):
        CODEC.compress(torch.zeros(3, 1, (1 << 20) + 1, dtype=torch.uint8), 5)


def test_size_is_checked_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise AssertionError("the coder was asked")

    codec = FileCodec(untrained_weights())
    monkeypatch.setattr(codec, "codec", fail)
    for data in (forge(1 << 20, 1 << 20, bytes(8)), forge(48, 64, bytes(8), fingerprint=b"ab")):
        with pytest.raises(CodecError):
            codec.decompress(data)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_precisions_read_each_others_files(precision: str) -> None:
    picture = photograph(64, 96)
    codec = FileCodec(untrained_weights(), precision=precision)
    expected = CODEC.decompress(CODEC.compress(picture, 6)).float()
    found = codec.decompress(CODEC.compress(picture, 6)).float()
    # Rounding to bf16 shows in single grey levels, and codewords are the same.
    assert (found - expected).abs().mean() < 2
    assert codec.codec(6).codebook.weight.dtype == torch.float32
    own = codec.compress(picture, 6)
    assert Container.from_bytes(own).shape == (4, 6)


def test_noise_needs_no_more_than_the_uniform_rate() -> None:
    data = CODEC.compress(noise(256, 256), 9)
    assert len(data) <= 14 + 2 * 256 + 8


def test_limits_of_the_architectures() -> None:
    assert CODEC.max_pixels == 1 << 27
    assert ARCHITECTURES["mao2024-vqgan"].max_pixels == 1 << 22
    refused = forge(1 << 14, (1 << 13) + 1, bytes(8))
    with pytest.raises(CodecError, match=r"limit of 134.2 megapixels"):
        CODEC.decompress(refused)


def test_a_huge_image_in_a_tiny_payload_is_refused_before_it_is_painted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("painted")

    monkeypatch.setattr(Mao2024VQGANLite, "paint", fail)
    with pytest.raises(CodecError, match="index stream of 8 bytes is too short for 524288"):
        CODEC.decompress(forge(1 << 14, 1 << 13, bytes(8)))
    # Of a length that such an image could have, too.
    with pytest.raises(CodecError, match="index stream is damaged"):
        CODEC.decompress(forge(1 << 14, 1 << 13, bytes(1 << 20)))


def test_large_pictures_stay_8_bit_until_they_are_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mao2024VQGANLite, "whole_positions", 1)
    picture = photograph(100, 150)
    data = CODEC.compress(picture, 6)
    decoded = CODEC.decompress(data)
    monkeypatch.setattr(Mao2024VQGANLite, "whole_positions", None)
    assert CODEC.compress(picture, 6) == data
    assert decoded.dtype == torch.uint8 and decoded.shape == (3, 100, 150)
    # Image files have rows of pixels: so it is written without a copy.
    assert decoded.permute(1, 2, 0).is_contiguous()
    assert (decoded.int() - CODEC.decompress(data).int()).abs().max() <= 1


def test_threads_share_a_qualitys_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, made = FileCodec(untrained_weights()), []
    original, gate = codec.weights.codec, threading.Barrier(4, timeout=20)

    def slowly(quality: int, shared: bool) -> VQGANCodec:
        made.append(quality)
        time.sleep(0.05)
        return original(quality, shared)

    monkeypatch.setattr(
        type(codec.weights), "codec", lambda _, quality, shared: slowly(quality, shared)
    )

    def use(_: int) -> VQGANCodec:
        gate.wait()
        return codec.codec(2)

    with ThreadPoolExecutor(4) as pool:
        codecs = list(pool.map(use, range(4)))
    assert made == [2] and all(one is codecs[0] for one in codecs)


def test_a_first_call_without_gradients_leaves_all_usable_with_them() -> None:
    codec = FileCodec(untrained_weights(), precision="fp32")
    picture = photograph(32, 48)
    with torch.inference_mode():
        data = codec.compress(picture, 5)
    assert codec.compress(picture, 5) == data
    other = FileCodec(untrained_weights(), precision="fp32")
    assert codec.compress(picture, 7) == other.compress(picture, 7)
    assert not any(p.is_inference() for p in codec.codec(5).parameters())
    latent = codec.codec(5).latent(to_unit(picture).requires_grad_())
    latent.sum().backward()


def test_weights_without_codebooks_are_refused() -> None:
    weights = untrained_weights()
    tensors = {n: v for n, v in weights.tensors.items() if not n.startswith("codebooks.")}
    with pytest.raises(CodecError, match="have no codebooks"):
        FileCodec(dataclasses.replace(weights, tensors=tensors))
