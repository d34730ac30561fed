"""Refined indices: closer pictures, files as any others."""

from __future__ import annotations

import functools
import threading

import pytest
import torch
from torch import Tensor

from compressai_vq import refinement
from compressai_vq.architectures import Mao2024VQGAN
from compressai_vq.codec import VQGANCodec
from compressai_vq.codings import CODINGS, FREQUENCIES
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.metrics.picture_metrics import NAMES, PictureMetrics
from compressai_vq.precision import for_inference
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior.coder import PriorCoder
from compressai_vq.refinement import Refinement
from compressai_vq.tiles import Region, whole

from .fixtures import noise, photograph, untrained_codec
from .taming_reference import one_thread  # noqa: F401

HEIGHT, WIDTH = 76, 108  # neither is a multiple of 16


@functools.cache
def _refinement(steps: int = 4) -> Refinement:
    try:
        return Refinement(steps, allow_download=False)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")


@functools.cache
def _shipped() -> FileCodec:
    return FileCodec(pretrained_weights("mao2024-vqgan-lite"))


@functools.cache
def _metrics() -> PictureMetrics:
    return PictureMetrics(NAMES, allow_download=False)


def _distances(codec: VQGANCodec, picture: Tensor, *maps: Tensor) -> list[dict[str, float]]:
    measure = _metrics().against(picture)
    height, width = picture.shape[1:]
    return [measure(codec.paint(indices, height, width)) for indices in maps]


# Few codewords lie far apart: a map of them takes more steps to change.
@pytest.mark.parametrize(("quality", "steps"), [(1, 8), (9, 4)])
def test_pictures_come_closer_by_every_metric(quality: int, steps: int) -> None:
    codec, picture = _shipped().codec(quality), photograph(HEIGHT, WIDTH)
    found = _refinement(steps).indices(codec, picture)
    nearest = codec.encode(picture[None])[0]
    assert found.shape == nearest.shape and found.dtype == torch.int64
    assert found.min() >= 0 and found.max() < len(codec.codebook.weight)
    refined, before = _distances(codec, picture, found, nearest)
    for name in NAMES:
        assert refined[name] < before[name]
    # Indices that the prior expects less are a little dearer, not all of what it saves.
    sizes = [len(_shipped().coder(quality, "prior").write(m[None], "prior")[0])
             for m in (found, nearest)]  # fmt: skip
    assert sizes[0] <= 1.3 * sizes[1]


@pytest.mark.parametrize("quality", [1, 5])  # 9: above, by every metric
def test_four_steps_bring_lpips_down(quality: int) -> None:
    codec, picture = _shipped().codec(quality), photograph(HEIGHT, WIDTH)
    maps = (_refinement(4).indices(codec, picture), codec.encode(picture[None])[0])
    refined, before = _distances(codec, picture, *maps)
    assert refined["lpips"] < before["lpips"]


@pytest.mark.parametrize(
    ("quality", "steps", "picture"),
    [(9, 32, torch.full((3, 128, 128), 255, dtype=torch.uint8)), (1, 1, photograph(128, 160, 1))],
)
def test_what_is_further_away_is_not_taken(quality: int, steps: int, picture: Tensor) -> None:
    codec = _shipped().codec(quality)
    found, nearest = _refinement(steps).indices(codec, picture), codec.encode(picture[None])[0]
    refined, before = _distances(codec, picture, found, nearest)
    assert refined["lpips"] <= before["lpips"]


def test_vgg16_is_asked_at_one_step_in_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    distance = refinement._Objective.__call__

    def spy(self: refinement._Objective, x_hat: Tensor, by_all: bool) -> Tensor:
        if x_hat.requires_grad:  # a step
            asked.append(by_all)
        return distance(self, x_hat, by_all)

    monkeypatch.setattr(refinement._Objective, "__call__", spy)
    _refinement(9).indices(_shipped().codec(5), photograph(HEIGHT, WIDTH))
    assert asked == [step == 6 for step in range(9)]  # the third from the last


def test_files_are_as_any_others() -> None:
    picture = photograph(HEIGHT, WIDTH)
    weights = _shipped().weights
    data = FileCodec(weights, refinement=_refinement()).compress(picture, 5)
    codec = _shipped().coder(5, "prior")
    indices = _refinement().indices(codec, picture, "prior")
    assert torch.equal(_shipped().decompress(data), _shipped().paint(indices, 5, WIDTH, HEIGHT))


@pytest.mark.parametrize("coding", CODINGS)
def test_bits_count(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, picture = _shipped().coder(5, "prior"), photograph(168, 224)
    sizes = []
    for weight in (0.0, 1.0, 100.0):
        monkeypatch.setattr(refinement, "_BIT", weight)
        found = _refinement(4).indices(codec, picture, coding)
        if coding == FREQUENCIES:
            bits = -codec.index_coder(found).log2().sum().item()
        else:
            assert codec.prior is not None
            bits = PriorCoder(codec.prior).bits(found, codec.rate)
        # Streams are whole words: a small picture's may be as long with fewer bits.
        assert 0 <= 8 * len(codec.write(found[None], coding)[0]) - bits <= 96
        sizes.append(bits)
    assert sizes[0] > sizes[1] > sizes[2], sizes


def test_bits_are_those_of_the_map_as_it_has_become(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, picture = _shipped().codec(5), photograph(96, 112)
    seen: list[Tensor] = []
    expected_bits = VQGANCodec.expected_bits

    def spy(self: VQGANCodec, indices: Tensor, coding: str | None = None) -> Tensor:
        seen.append(indices.clone())
        return expected_bits(self, indices, coding)

    monkeypatch.setattr(VQGANCodec, "expected_bits", spy)
    found = _refinement(9).indices(codec, picture)
    first, second, third, *compared = seen
    assert torch.equal(first, codec.encode(picture[None])[0])
    assert not torch.equal(first, second) and not torch.equal(second, third)
    assert third.ne(found).float().mean() < first.ne(found).float().mean()
    assert all(torch.equal(*pair) for pair in zip(compared, (first, found), strict=True))


def test_bits_of_a_prior_that_is_not_there() -> None:
    codec = untrained_codec().weights.codec(5)
    with pytest.raises(CodecError, match="no index prior"):
        _refinement().indices(codec, photograph(HEIGHT, WIDTH), "prior")


def test_it_is_the_same_every_time_and_in_any_mode() -> None:
    codec, picture = _shipped().codec(5), photograph(HEIGHT, WIDTH)
    expected = _refinement().indices(codec, picture)
    with torch.inference_mode():
        assert torch.equal(_refinement().indices(codec, picture), expected)
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(_refinement().indices(codec, picture)))
    thread.start()
    thread.join()
    assert torch.equal(found[0], expected)
    assert not any(parameter.requires_grad for parameter in codec.parameters())


def test_nearest_codewords_where_nothing_is_to_be_refined() -> None:
    codec = _shipped().codec(5)
    for steps, size in ((0, (HEIGHT, WIDTH)), (2, (63, 200)), (2, (1, 1))):
        picture = photograph(*size)
        found = _refinement(steps).indices(codec, picture)
        assert torch.equal(found, codec.encode(picture[None])[0])


@pytest.mark.parametrize(
    ("steps", "asked"),
    [(0, []), (1, ["lpips"]), (7, ["lpips"]), (8, ["lpips", "lpips-vgg", "dists"])],
)
def test_only_backbones_that_are_asked_are_needed(
    steps: int, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(name: str, allow_download: bool) -> torch.nn.Module:
        assert not allow_download
        loaded.append(name)
        return torch.nn.Module()

    monkeypatch.setattr("compressai_vq.metrics.picture_metrics.load_metric", load)
    assert Refinement(steps, allow_download=False).steps == steps
    assert loaded == asked


def test_large_pictures_are_refined_window_by_window(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, picture = _shipped().codec(9), photograph(100, 170)
    nearest = codec.encode(picture[None])[0]
    seen: list[tuple[Region, Region]] = []
    whole_window = Refinement._window

    def window(
        self: Refinement,
        codec: VQGANCodec,
        picture: Tensor,
        indices: Tensor,
        tile: refinement.Tile,
        coding: str | None,
    ) -> Tensor:
        # Those before have changed, those behind not yet.
        rest = torch.ones_like(indices, dtype=torch.bool)
        for inner, _ in seen:
            rest[inner.slices()] = False
        assert torch.equal(indices[rest], nearest[rest])
        seen.append((tile.inner, tile.outer))
        return whole_window(self, codec, picture, indices, tile, coding)

    image = VQGANCodec.image

    def image_at(self: VQGANCodec, codewords: Tensor, corner: tuple[int, int]) -> Tensor:
        assert corner == (seen[-1][1].top, seen[-1][1].left)  # the grain hangs on it
        return image(self, codewords, corner)

    monkeypatch.setattr(Refinement, "_window", window)
    monkeypatch.setattr(VQGANCodec, "image", image_at)
    monkeypatch.setattr(refinement, "WINDOW", 7)
    found = _refinement().indices(codec, picture)
    monkeypatch.setattr(VQGANCodec, "image", image)
    assert len(seen) == 2
    assert all(outer == inner.grown(4, whole(7, 11)) for inner, outer in seen)
    for inner, _ in seen:
        assert not torch.equal(found[inner.slices()], nearest[inner.slices()])
    refined, before = _distances(codec, picture, found, nearest)
    for name in NAMES:
        assert refined[name] < before[name]


def test_the_other_architecture_is_refined_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "WINDOW", 2)
    torch.manual_seed(0)
    codec = for_inference(Mao2024VQGAN(64, 32, width=32), precision="fp32")
    picture = photograph(64, 80)
    with torch.no_grad():
        latents = codec.latent(noise(64, 64)[None]).flatten(2)[0].t()
        codec.codebook.weight.copy_(latents.repeat(4, 1)[:64])
    found = _refinement().indices(codec, picture)
    assert found.shape == (4, 5)
    assert found.max() < 64


def test_each_step_can_end_it() -> None:
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise InterruptedError

    try:
        refining = Refinement(4, allow_download=False, each_step=stop)
    except CodecError as error:
        pytest.skip(f"tests download nothing: {error}")
    with pytest.raises(InterruptedError):
        refining.indices(_shipped().codec(5), photograph(HEIGHT, WIDTH))
    assert steps == 3


def test_negative_steps_are_refused() -> None:
    with pytest.raises(CodecError, match="-1 steps of refinement: 0 or more"):
        Refinement(-1)


class _Dearer(Refinement):
    """The rarest codeword everywhere, whatever the picture."""

    def indices(self, codec: VQGANCodec, picture: Tensor, coding: str | None = None) -> Tensor:
        """A map of one index."""
        everything = torch.arange(len(codec.codebook.weight))[None, None]
        rarest = codec.index_coder(everything).argmin()
        return rarest.expand(codec.encode(picture[None])[0].shape)


def test_what_must_fit_is_refined_where_that_fits() -> None:
    picture = photograph(128, 192)
    plain, codec = untrained_codec(), FileCodec(untrained_codec().weights, refinement=_Dearer(0))
    nearest = {quality: plain.compress(picture, quality) for quality in range(1, 10)}
    refined = {quality: codec.compress(picture, quality) for quality in range(1, 10)}
    assert all(len(refined[quality]) > len(nearest[quality]) for quality in nearest)
    assert codec.compress_to_fit(picture, 10**9) == (refined[9], 9)
    size = len(refined[9]) - 1
    best = max(q for q in refined if max(len(refined[q]), len(nearest[q])) <= size)
    assert codec.compress_to_fit(picture, size) == (refined[best], best)
    # Where no refined file fits, a plain one is better than none.
    size = min(map(len, refined.values())) - 1
    fitting = [q for q in nearest if len(nearest[q]) <= size]
    assert fitting, "the smallest plain file fits"
    assert codec.compress_to_fit(picture, size) == (nearest[max(fitting)], max(fitting))
    with pytest.raises(CodecError, match="no quality fits in 10 bytes"):
        codec.compress_to_fit(picture, 10)
