from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from compressai_vq.errors import CodecError, CodecWarning
from compressai_vq.picture import (
    check_writable,
    from_unit,
    read_picture,
    to_unit,
    write_picture,
)

from .fixtures import PHOTOGRAPHS, photograph
from .image_files import LIMIT, picture, read, refuse, warnings_are_errors  # noqa: F401


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_rgb(tmp_path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == "webp" else {}
    assert (read(picture(), tmp_path / f"a.{ending}", **options) == picture()).all()


def test_photograph() -> None:
    found = read_picture(PHOTOGRAPHS[0], LIMIT)
    assert found.shape == (3, 427, 640)
    with Image.open(PHOTOGRAPHS[0]) as image:
        assert (found.permute(1, 2, 0).numpy() == np.asarray(image)).all()


@pytest.mark.parametrize("ending", [".gif", ".png", ".webp", ".tif", ".avif"])
def test_several_frames_are_told(tmp_path: Path, ending: str) -> None:
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    red.save(tmp_path / f"a{ending}", save_all=True, append_images=[blue])
    with pytest.warns(CodecWarning, match=rf"a\{ending}: of several frames the first is taken"):
        found = read_picture(tmp_path / f"a{ending}", LIMIT).float()
    assert found[0].mean() > 240 and found[2].mean() < 15


def test_first_of_several_frames(tmp_path: Path) -> None:
    first, second = picture(), Image.new("RGB", (30, 20))
    with pytest.warns(CodecWarning, match="the first is taken"):
        found = read(first, tmp_path / "a.tif", save_all=True, append_images=[second])
    assert (found == first).all()


def test_photographs_with_previews_are_one_picture(tmp_path: Path) -> None:
    photograph_of = Image.new("RGB", (16, 16), "red")
    options: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}
    photograph_of.save(tmp_path / "a.jpg", format="MPO", **options)
    assert read_picture(tmp_path / "a.jpg", LIMIT).shape == (3, 16, 16)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_images_are_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"a.{ending}"
    picture(60, 80).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refuse(path, "truncated|damaged|not an image|unrecognized|[Dd]ecod")


@pytest.mark.parametrize(
    "data", [b"", b"text", bytes(1000), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    refuse(tmp_path / "a.png", "not an image that Pillow can read")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    refuse(tmp_path / "missing.png", "No such file")
    refuse(tmp_path, "Is a directory|Permission denied")
    refuse(tmp_path / ("x" * 300), "name too long")


def test_any_failure_of_a_reader_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / "a.png")
    for error in (KeyError("tag"), IndexError("list\nindex")):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(Image.Image, "crop", fail)
        refuse(tmp_path / "a.png", "damaged image: .")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [12_000, 20_000])
def test_huge_images_are_refused_before_they_are_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (side, 16)).save(path, compress_level=1)
    # Only the header says how many rows there are: decoding would fail otherwise.
    data = bytearray(path.read_bytes())
    data[20:24] = side.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    started = time.perf_counter()
    refuse(path, "megapixels", limit=LIMIT)
    assert time.perf_counter() - started < 1


def test_limit_is_the_largest_that_is_read(tmp_path: Path) -> None:
    picture(20, 30).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 600).shape == (3, 20, 30)
    refuse(tmp_path / "a.png", "30x20 is 0.0 megapixels", limit=599)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".webp", ".PNG", ""])
def test_write_without_loss(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_picture(path, photograph(20, 30))
    assert torch.equal(read_picture(path, LIMIT), photograph(20, 30))
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.format == {".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP"}.get(ending, "PNG")


def test_write_with_little_loss(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", photograph(20, 30))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "JPEG"
    found = read_picture(tmp_path / "a.jpg", LIMIT).float()
    assert (found - photograph(20, 30)).abs().mean() < 3


@pytest.mark.parametrize(("name", "longest"), [("a.jpg", 65500), ("a.webp", 16383)])
def test_sides_that_a_format_does_not_have(tmp_path: Path, name: str, longest: int) -> None:
    check_writable(tmp_path / name, longest, 1)
    with pytest.raises(CodecError, match=f"a side has at most {longest}"):
        check_writable(tmp_path / name, 1, longest + 1)
    write_picture(tmp_path / name, torch.zeros(3, 1, longest, dtype=torch.uint8))
    with pytest.raises(CodecError, match=f"a side has at most {longest}"):
        write_picture(tmp_path / name, torch.zeros(3, 1, longest + 1, dtype=torch.uint8))


def test_write_crops_as_they_are(tmp_path: Path) -> None:
    crop = photograph(20, 30)[:, :7, :9]  # not contiguous
    write_picture(tmp_path / "a.png", crop)
    assert torch.equal(read_picture(tmp_path / "a.png", LIMIT), crop)


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.xyz", "cannot write .xyz"), ("a.pdf", "cannot write .pdf")],
)
def test_write_to_formats_that_cannot_be_written(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        write_picture(tmp_path / name, photograph(20, 30))
    assert list(tmp_path.iterdir()) == []


def test_all_values_survive_the_unit_range() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, 16, 16)
    assert torch.equal(from_unit(to_unit(values)), values)
    assert from_unit(torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2)).tolist() == [[[0, 255]]]


def test_formats_that_start_other_programs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(CodecError, match="not an image"):
        read_picture(path, 1000)


def test_admission_is_asked_for_before_pixels_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(path, photograph(20, 30))
    admitted: list[int] = []
    assert torch.equal(read_picture(path, 600, admitted.append), photograph(20, 30))
    assert admitted == [600]
    path.write_bytes(path.read_bytes()[:200])  # its pixels are damaged, its size is not
    for limit, expected in ((600, [600, 600]), (599, [600, 600])):
        with pytest.raises(CodecError):
            read_picture(path, limit, admitted.append)
        assert admitted == expected
