"""Reading training photographs and cropping them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from compressai_vq.errors import CodecError, CodecWarning
from compressai_vq.training.photographs import load_photographs, mirrored_region, random_crops


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, side in (("a.png", 40), ("b.webp", 50), ("small.png", 20)):
        pixels = rng.integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_folder_and_tar_give_the_same(folder: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for path in sorted(folder.glob("*.*")):
            if path != shard:
                data = path.read_bytes()
                member = tarfile.TarInfo(path.name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    pictures = load_photographs([folder], 32)
    assert [tuple(p.shape) for p in pictures] == [(3, 40, 43), (3, 50, 53)]
    for a, b in zip(pictures, load_photographs([shard], 32), strict=True):
        assert torch.equal(a, b)


def test_nothing_usable_is_an_error(folder: Path) -> None:
    with pytest.raises(CodecError, match="no picture of at least 64"):
        load_photographs([folder], 64)


def test_crops_depend_on_seed_and_step_alone(folder: Path) -> None:
    pictures = load_photographs([folder], 32)
    first = random_crops(pictures, 5, 32, seed=1, step=2)
    assert first.shape == (5, 3, 32, 32)
    assert first.min() >= -1 and first.max() <= 1
    assert torch.equal(first, random_crops(pictures, 5, 32, seed=1, step=2))
    assert not torch.equal(first, random_crops(pictures, 5, 32, seed=1, step=3))


def test_a_picture_goes_on_as_in_mirrors() -> None:
    picture = torch.arange(6).view(1, 2, 3)
    region = mirrored_region(picture, 1, 2, 4, 5)
    assert region[0].tolist() == [
        [5, 5, 4, 3, 3],
        [5, 5, 4, 3, 3],
        [2, 2, 1, 0, 0],
        [2, 2, 1, 0, 0],
    ]
    above = mirrored_region(picture, -1, -2, 2, 3)
    assert above[0].tolist() == [[1, 0, 0], [1, 0, 0]]
    inside = mirrored_region(picture, 0, 1, 2, 2)
    assert torch.equal(inside, picture[:, :, 1:])
    assert inside.data_ptr() == picture[0, 0, 1:].data_ptr(), "a copy"


def test_crops_are_larger_than_pictures_that_are_surrounded(folder: Path) -> None:
    pictures = load_photographs([folder], 16)
    crops = random_crops(pictures, 6, 96, seed=1, step=0, surround=True)
    assert crops.shape == (6, 3, 96, 96)
    # Whatever is cut out, every row comes again: mirrored.
    for crop in crops:
        rows = {tuple(row.flatten().tolist()) for row in crop.permute(1, 0, 2)}
        assert len(rows) <= 50


def test_zoom_enlarges_what_fits_in_pictures(folder: Path) -> None:
    pictures = load_photographs([folder], 32)
    sharp = random_crops(pictures, 8, 32, seed=1, step=0)
    zoomed = random_crops(pictures, 8, 32, seed=1, step=0, zoom=4.0)
    assert zoomed.shape == sharp.shape
    assert zoomed.min() >= -1 and zoomed.max() <= 1

    def roughness(x: torch.Tensor) -> float:
        return x.diff(dim=-1).abs().mean().item()

    assert roughness(zoomed) < 0.7 * roughness(sharp)
    assert torch.equal(zoomed, random_crops(pictures, 8, 32, seed=1, step=0, zoom=4.0))


def test_what_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"text")
    with pytest.raises(CodecError, match=r"broken\.png: not an image that Pillow can read"):
        load_photographs([str(folder)], 16)
    (tmp_path / "text.tar").write_bytes(b"text")
    with pytest.raises(CodecError, match=r"text\.tar is neither a folder nor a whole tar"):
        load_photographs([str(tmp_path / "text.tar")], 16)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_folders_are_gone_through_by_links_too(folder: Path, tmp_path: Path) -> None:
    inside = tmp_path / "links"
    inside.mkdir()
    (inside / "link").symlink_to(folder)
    found, expected = load_photographs([inside], 16), load_photographs([folder], 16)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    (inside / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(CodecError, match=r"gone\.png"):
        load_photographs([inside], 16)


def test_photographs_are_upright_and_opaque_as_the_codec_sees_them(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(32 * 48 * 3, dtype=np.uint8).reshape(32, 48, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "a.png", exif=exif)
    image.putalpha(0)
    image.save(tmp_path / "b.png")
    with pytest.warns(CodecWarning, match=r"b\.png: transparency is laid on white"):
        turned, white = load_photographs([tmp_path], 16)
    assert turned.shape == (3, 48, 32) and white.shape == (3, 32, 48)
    assert white.min() == 255


def test_links_in_shards_are_left_out(folder: Path, tmp_path: Path) -> None:
    shard = tmp_path / "links.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(folder / "a.png", "a.png")
        for name, target, kind in (
            ("b.png", "missing.png", tarfile.SYMTYPE),
            ("c.png", "c.png", tarfile.SYMTYPE),
            ("d.png", "missing.png", tarfile.LNKTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
        tar.add(folder / "notes.txt", "in/._a.png")  # macOS's, beside a photograph
    (picture,) = load_photographs([shard], 32)
    assert torch.equal(picture, load_photographs([folder], 32)[0])


@pytest.mark.parametrize(
    ("mode", "change"),
    [("w", change) for change in ("whole", "header", "cut")]
    + [("w:gz", change) for change in ("whole", "header", "cut", "deflated", "checksum")],
)
def test_a_damaged_shard_does_not_pass_for_a_smaller_one(
    folder: Path, tmp_path: Path, mode: Literal["w", "w:gz"], change: str
) -> None:
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, mode) as tar:
        for n in range(4):
            tar.add(folder / "a.png", f"{n}.png")
    with tarfile.open(shard) as tar:
        third = tar.getmembers()[2].offset
    data = bytearray(shard.read_bytes() if mode == "w" else gzip.decompress(shard.read_bytes()))
    if change == "header":
        data[third + 5] ^= 1
    elif change == "cut":
        del data[third:]
    if mode == "w:gz":
        data = bytearray(gzip.compress(data))
        if change == "deflated":
            data[len(data) // 2] ^= 1
        elif change == "checksum":
            data[-5] ^= 1
    shard.write_bytes(data)
    if change == "whole":
        assert len(load_photographs([shard], 32)) == 4
        return
    # What is deflated may break a picture before the tar.
    words = r"shard\.tar" if change == "deflated" else "neither a folder nor a whole tar"
    with pytest.raises(CodecError, match=words):
        load_photographs([shard], 32)


def test_a_damaged_compressed_shard_is_one_line(folder: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard.tar.xz"
    with tarfile.open(shard, "w:xz") as tar:
        tar.add(folder / "a.png", "a.png")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CodecError, match="neither a folder nor a whole tar"):
        load_photographs([shard], 32)
