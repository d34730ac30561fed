from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.clustering import cluster_codebook
from compressai_vq.errors import CodecError, CodecWarning
from compressai_vq.importing import import_checkpoint
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.rates import LADDER

from .taming_reference import Reference, one_thread, save_lightning  # noqa: F401


def photographs(folder: Path, count: int, side: int = 48) -> Tensor:
    """Save smooth colourful pictures; returns them as (count, 3, side, side) in [0, 1]."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for n in range(count):
        coarse = Image.fromarray(rng.integers(256, size=(6, 6, 3), dtype=np.uint8))
        picture = coarse.resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / f"{n}.png")
        pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
    return torch.stack(pictures)


def saved(path: Path, codewords: int) -> Reference:
    reference = Reference(codewords)
    save_lightning(path, reference.state_dict())
    return reference


@pytest.fixture(scope="module")
def imported_1024(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, LadderWeights]:
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    reference = saved(path, 1024)
    return reference, import_checkpoint(path, progress=False)


def check_against_taming(reference: Reference, weights: LadderWeights, quality: int) -> None:
    """Same indices as the modules that were saved, and but for fp32's rounding same pixels."""
    x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    codec = weights.codec(quality)
    out = codec.compress(x)
    indices = codec.index_coder.decompress(out["strings"][0], out["shape"])
    expected = reference.indices(x)
    assert torch.equal(indices, expected)
    assert len(expected.unique()) > 1
    x_hat = codec.decompress(out["strings"], out["shape"])["x_hat"]
    assert x_hat.dtype == torch.float32
    assert torch.allclose(x_hat, reference.pixels(expected), rtol=0, atol=1e-4)


def test_codec_gives_what_taming_gives(
    tmp_path: Path, imported_1024: tuple[Reference, LadderWeights]
) -> None:
    reference, weights = imported_1024
    weights.save(tmp_path / "a.safetensors")
    loaded = LadderWeights.load(tmp_path / "a.safetensors")
    assert loaded.architecture == "mao2024-vqgan"
    assert loaded.calibration == "uniform"
    assert loaded.qualities == [1, 2, 3, 4, 5, 6, 7, 8]
    check_against_taming(reference, loaded, 8)
    for quality in loaded.qualities:
        frequencies = loaded.tensors[f"log2_frequencies.{quality}"]
        assert torch.equal(frequencies, torch.zeros(LADDER[quality - 1]))
        assert len(loaded.tensors[f"codebooks.{quality}"]) == LADDER[quality - 1]
    smallest = loaded.codec(1)
    x = torch.rand(1, 3, 40, 50)
    out = smallest.compress(x)
    decoded = smallest.decompress(out["strings"], out["shape"])["x_hat"]
    assert torch.equal(decoded, smallest.decode(smallest.encode(x)))


@pytest.mark.slow
def test_codec_gives_what_taming_gives_at_full_width(tmp_path: Path) -> None:
    reference = Reference(1024, channels=256, width=128)
    save_lightning(tmp_path / "last.ckpt", reference.state_dict())
    check_against_taming(reference, import_checkpoint(tmp_path / "last.ckpt", progress=False), 8)


def test_weights_are_kept_bit_for_bit(imported_1024: tuple[Reference, LadderWeights]) -> None:
    reference, weights = imported_1024
    tensors = weights.tensors
    theirs = reference.state_dict()
    assert torch.equal(tensors["codebooks.8"], theirs["quantize.embedding.weight"])
    assert torch.equal(tensors["encoder.quant_conv.bias"], theirs["quant_conv.bias"])
    name = "down.0.downsample.conv.weight"
    assert torch.equal(tensors["encoder.net.down.0.halve.conv.weight"], theirs[f"encoder.{name}"])
    assert all(value.dtype == torch.float32 for value in tensors.values())


def test_large_codebook_gives_nine_rates_by_plain_k_means(tmp_path: Path) -> None:
    reference = saved(tmp_path / "last.ckpt", 2100)
    weights = import_checkpoint(tmp_path / "last.ckpt", seed=3, progress=False)
    assert weights.qualities == list(range(1, 10))
    expected = cluster_codebook(reference.quantize.embedding.weight, 16, seed=3)
    assert torch.equal(weights.tensors["codebooks.2"], expected)


@pytest.mark.parametrize(
    ("codewords", "qualities"), [(8, [1]), (256, [6]), (40, [1, 2, 3]), (9, [1])]
)
def test_small_codebooks(tmp_path: Path, codewords: int, qualities: list[int]) -> None:
    reference = saved(tmp_path / "last.ckpt", codewords)
    weights = import_checkpoint(tmp_path / "last.ckpt", progress=False)
    assert weights.qualities == qualities
    if codewords in LADDER:
        check_against_taming(reference, weights, qualities[0])
    with pytest.raises(CodecError, match="not 9"):
        weights.codec(9)


def test_too_few_codewords(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 7)
    with pytest.raises(CodecError, match="7 codewords"):
        import_checkpoint(tmp_path / "last.ckpt", progress=False)


def test_calibration_counts_and_weighs(tmp_path: Path) -> None:
    reference = saved(tmp_path / "last.ckpt", 40)
    pictures = photographs(tmp_path / "photographs" / "below", 3)
    weights = import_checkpoint(tmp_path / "last.ckpt", tmp_path / "photographs", progress=False)
    assert weights.calibration == "counted on 3 images"

    use = torch.bincount(reference.indices(pictures).flatten(), minlength=40)
    expected = cluster_codebook(reference.quantize.embedding.weight, 8, use)
    assert torch.equal(weights.tensors["codebooks.1"], expected)

    codec = weights.codec(1)
    counts = torch.bincount(codec.encode(pictures).flatten(), minlength=8)
    share = (counts + 0.5) / (counts + 0.5).sum()
    found = weights.tensors["log2_frequencies.1"]
    torch.testing.assert_close(found, share.log2().float())
    assert counts.sum() == 27


def test_calibration_without_weighting(tmp_path: Path) -> None:
    reference = saved(tmp_path / "last.ckpt", 40)
    photographs(tmp_path / "photographs", 1)
    weights = import_checkpoint(
        tmp_path / "last.ckpt", tmp_path / "photographs", weighted=False, progress=False
    )
    assert weights.calibration == "counted on 1 image"
    expected = cluster_codebook(reference.quantize.embedding.weight, 8)
    assert torch.equal(weights.tensors["codebooks.1"], expected)
    assert weights.tensors["log2_frequencies.1"].unique().numel() > 1


def test_calibration_images_of_all_kinds(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 8)
    folder = tmp_path / "photographs"
    photographs(folder, 1)
    picture = Image.open(folder / "0.png")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.resize((1, 5)).save(folder / "small.png")
    picture.resize((1040, 16)).save(folder / "wide.png")
    (folder / "notes.txt").write_text("not an image, and not said to be one")
    weights = import_checkpoint(tmp_path / "last.ckpt", folder, progress=False)
    assert weights.calibration == "counted on 6 images"
    # 64 indices a row: of the wide one only the middle 1024 pixels are read.
    share = weights.tensors["log2_frequencies.1"].exp2()
    total = 4 * 9 + 1 + 64
    torch.testing.assert_close(
        share * (total + 4), (share * (total + 4) - 0.5).round() + 0.5, atol=1e-3, rtol=0
    )


def test_unreadable_calibration_images_are_skipped(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 8)
    folder = tmp_path / "photographs"
    photographs(folder, 2)
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("text")
    with pytest.warns(CodecWarning, match=r"skipped .*(1\.png|text\.jpg)") as caught:
        weights = import_checkpoint(tmp_path / "last.ckpt", folder, progress=False)
    assert len(caught) == 2
    assert weights.calibration == "counted on 1 image"


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_linked_folders_are_calibrated_on_too(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 8)
    photographs(tmp_path / "elsewhere", 2)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photographs" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(CodecWarning, match=r"skipped .*gone\.png"):
        weights = import_checkpoint(
            tmp_path / "last.ckpt", tmp_path / "photographs", progress=False
        )
    assert weights.calibration == "counted on 2 images"


def test_nothing_to_calibrate_on(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 8)
    with pytest.raises(CodecError, match="not a folder"):
        import_checkpoint(tmp_path / "last.ckpt", tmp_path / "none", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CodecError, match="no image that can be read"):
        import_checkpoint(tmp_path / "last.ckpt", tmp_path / "empty", progress=False)
