from __future__ import annotations

import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.picture import from_unit, read_picture, to_unit, write_picture

from .fixtures import PHOTOGRAPHS, noise, photograph

LIMIT = 1 << 27
COLOURS = [(255, 0, 0), (0, 128, 0), (10, 20, 200), (255, 255, 255)]


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    """Only tests of warnings let them pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def picture(height: int = 20, width: int = 30) -> Image.Image:
    return Image.fromarray(noise(height, width).permute(1, 2, 0).numpy())


def read(image: Image.Image, path: Path, **options: Any) -> np.ndarray:
    """Saved and read again, as (H, W, 3)."""
    image.save(path, **options)
    found = read_picture(path, LIMIT)
    assert found.dtype == torch.uint8
    assert found.shape[0] == 3
    return found.permute(1, 2, 0).numpy()


def refuse(path: Path, words: str, limit: int = LIMIT) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        read_picture(path, limit)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_rgb(tmp_path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == "webp" else {}
    assert (read(picture(), tmp_path / f"a.{ending}", **options) == picture()).all()


def test_photograph() -> None:
    found = read_picture(PHOTOGRAPHS[0], LIMIT)
    assert found.shape == (3, 427, 640)
    with Image.open(PHOTOGRAPHS[0]) as image:
        assert (found.permute(1, 2, 0).numpy() == np.asarray(image)).all()


def test_grey(tmp_path: Path) -> None:
    grey = picture().convert("L")
    found = read(grey, tmp_path / "a.png")
    assert (found == np.asarray(grey)[..., None]).all()


def test_black_and_white(tmp_path: Path) -> None:
    bits = picture().convert("1")
    found = read(bits, tmp_path / "a.png")
    assert (found == 255 * np.asarray(bits)[..., None].astype(np.uint8)).all()
    assert set(np.unique(found)) == {0, 255}


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path: Path, ending: str) -> None:
    values = np.array([[0, 128, 129, 257, 32767, 32768, 65278, 65535]], dtype=np.uint16)
    image = Image.fromarray(values)
    assert image.mode == "I;16"
    found = read(image, tmp_path / f"a.{ending}")
    assert found[0, :, 0].tolist() == [0, 0, 1, 1, 127, 128, 254, 255]
    assert (found == found[..., :1]).all()


def test_32_bit_grey_is_taken_for_16_bit(tmp_path: Path) -> None:
    values = np.array([[-5, 0, 65535, 70000]], dtype=np.int32)
    image = Image.fromarray(values)
    assert image.mode == "I"
    assert read(image, tmp_path / "a.tif")[0, :, 0].tolist() == [0, 0, 255, 255]


def palette_image() -> Image.Image:
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 4)
    image = image.convert("P")
    image.putdata([n % 4 for n in range(12)])
    image.putpalette([value for colour in COLOURS for value in colour])
    return image


@pytest.mark.parametrize("ending", ["png", "gif", "bmp"])
def test_palette(tmp_path: Path, ending: str) -> None:
    found = read(palette_image(), tmp_path / f"a.{ending}")
    assert [tuple(c) for c in found.reshape(-1, 3)[:4].tolist()] == COLOURS


def test_palette_with_transparency(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.warns(UserWarning, match="transparency is laid on white"):
        found = read(palette_image(), path, transparency=1)
    transparent = [COLOURS[0], (255, 255, 255), *COLOURS[2:]]
    assert [tuple(c) for c in found.reshape(-1, 3)[:4].tolist()] == transparent


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    with pytest.warns(UserWarning, match="transparency"):
        found = read(image, tmp_path / "a.png", transparency=(9, 9, 9))
    assert found[0].tolist() == [[1, 2, 3], [255, 255, 255]]


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 100, 0)), ("LA", (100,))])
def test_alpha_is_laid_on_white(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    image = Image.new(mode, (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    with pytest.warns(UserWarning, match=r"a\.png: transparency is laid on white"):
        found = read(image, tmp_path / "a.png")
    rgb = np.array(colour if len(colour) == 3 else colour * 3)
    half = (rgb * 128 + 255 * 127) / 255
    assert found[0, 0].tolist() == [255] * 3
    assert abs(found[0, 1] - half).max() <= 1
    assert (found[0, 2] == rgb).all()


def test_cmyk(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = read(inks, tmp_path / "a.tif")
    assert (found == [255, 0, 0]).all()
    assert abs(read(inks, tmp_path / "a.jpg").astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = noise(20, 30)
    # How a camera held in each of the eight ways stores it (Exif 2.32, tag 0x0112).
    stored: dict[int, Tensor] = {
        1: upright,
        2: upright.flip(2),
        3: upright.flip(1, 2),
        4: upright.flip(1),
        5: upright.transpose(1, 2),
        6: upright.rot90(1, (1, 2)),
        7: upright.transpose(1, 2).flip(1, 2),
        8: upright.rot90(-1, (1, 2)),
    }
    image = Image.fromarray(stored[orientation].permute(1, 2, 0).contiguous().numpy())
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(image, tmp_path / "a.png", exif=exif)
    assert (found == upright.permute(1, 2, 0).numpy()).all()


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<HHI4s", 0x011A, 2, 4, b"abc"),  # XResolution as text
        struct.pack("<HHIi", 0x0100, 9, 1, -5),  # ImageWidth below 0
        struct.pack("<HHI4s", 0x0128, 2, 4, b"cm"),  # ResolutionUnit as text
    ],
    ids=["text for a number", "below 0", "text for a unit"],
)
def test_turned_upright_whatever_else_the_exif_data_says(tmp_path: Path, entry: bytes) -> None:
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    entries = b"".join(sorted((orientation, entry)))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    found = read(picture(20, 30), tmp_path / "a.webp", exif=exif, lossless=True)
    assert (found == np.rot90(np.asarray(picture(20, 30)), -1)).all()


def test_first_of_several_frames(tmp_path: Path) -> None:
    first, second = picture(), Image.new("RGB", (30, 20))
    found = read(first, tmp_path / "a.tif", save_all=True, append_images=[second])
    assert (found == first).all()


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    refuse(tmp_path / "a.tif", "floating-point")


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_rows_that_are_converted_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    path = tmp_path / "a.tif"
    if mode == "I;16":
        Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 109).save(path)
    else:
        image = picture().convert("RGB")
        if mode in ("RGBA", "LA"):
            image.putalpha(Image.fromarray(noise(20, 30, 1)[0].numpy()))
        image.convert(mode).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        at_once = read_picture(path, LIMIT)
        crops: list[int] = []
        crop = Image.Image.crop

        def counted(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
            crops.append(box[3] - box[1])
            return crop(image, box)

        monkeypatch.setattr(Image.Image, "crop", counted)
        monkeypatch.setattr("compressai_vq.picture._PIXELS_AT_ONCE", 100)
        assert torch.equal(read_picture(path, LIMIT), at_once)
    assert crops == [3, 3, 3, 3, 3, 3, 2]
    assert len(at_once.unique()) > 1


def test_one_warning_for_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressai_vq.picture._PIXELS_AT_ONCE", 100)
    Image.new("RGBA", (30, 20)).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="transparency") as caught:
        read_picture(tmp_path / "a.png", LIMIT)
    assert len(caught) == 1


def test_limit_is_the_largest_that_is_read(tmp_path: Path) -> None:
    picture(20, 30).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 600).shape == (3, 20, 30)
    refuse(tmp_path / "a.png", "30x20 is 0.0 megapixels", limit=599)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".PNG", ""])
def test_write_without_loss(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_picture(path, photograph(20, 30))
    assert torch.equal(read_picture(path, LIMIT), photograph(20, 30))
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.format == {".bmp": "BMP", ".tif": "TIFF"}.get(ending, "PNG")


@pytest.mark.parametrize(("ending", "name"), [(".jpg", "JPEG"), (".webp", "WEBP")])
def test_write_with_loss(tmp_path: Path, ending: str, name: str) -> None:
    write_picture(tmp_path / f"a{ending}", photograph(20, 30))
    with Image.open(tmp_path / f"a{ending}") as image:
        assert image.format == name
    found = read_picture(tmp_path / f"a{ending}", LIMIT).float()
    assert (found - photograph(20, 30)).abs().mean() < 20


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


def test_16_bit_grey_with_a_transparent_level(tmp_path: Path) -> None:
    levels = np.array([[0, 1000, 65535, 1001]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=1000)
    with pytest.warns(UserWarning, match="transparency is laid on white"):
        picture = read_picture(tmp_path / "a.png", 100)
    assert picture[0].tolist() == [[0, 255, 255, 4]]


def png_with_transparent(clear: tuple[int, ...], bits: int, width: int, row: bytes) -> bytes:
    """A PNG of one row, grey or RGB, where this colour is transparent; Pillow writes few such."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">II5B", width, 1, bits, 2 if len(clear) == 3 else 0, 0, 0, 0)
    parts = chunk(b"IHDR", size) + chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    return (
        b"\x89PNG\r\n\x1a\n"
        + parts
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )


def laid_on_white(contents: bytes, path: Path = Path("a.png")) -> list[list[int]]:
    with pytest.warns(UserWarning, match="transparency is laid on white"):
        picture = read_picture(path, 100, contents=contents)
    found: list[list[int]] = picture[:, 0].t().tolist()
    return found


@pytest.mark.parametrize("clear", [(0x1234, 0x5678, 0x9ABC), (0x12, 0x34, 0xFF)])
def test_16_bit_rgb_with_a_transparent_colour(clear: tuple[int, int, int]) -> None:
    row = struct.pack(">6H", *clear, 0x2234, 0x5678, 0x9ABC)
    found = laid_on_white(png_with_transparent(clear, 16, 2, row))
    assert found == [[255] * 3, [0x22, 0x56, 0x9A]]


@pytest.mark.parametrize(
    ("bits", "row", "levels"),
    [
        (1, 0b01000000, [0, 255]),
        (2, 0b10010000, [170, 255]),
        (4, 0x31, [51, 255]),
    ],
)
def test_grey_of_few_bits_with_a_transparent_level(bits: int, row: int, levels: list[int]) -> None:
    found = laid_on_white(png_with_transparent((1,), bits, 2, bytes([row])))
    assert found == [[level] * 3 for level in levels]


def test_palette_whose_colours_are_transparent() -> None:
    # 32 bits an entry: blue, green, red and opacity.
    header = struct.pack("<3B2HB4H2B", 0, 1, 1, 0, 2, 32, 0, 0, 2, 1, 8, 0x20)
    palette = bytes([0, 128, 255, 255, 9, 9, 9, 0])
    found = laid_on_white(header + palette + bytes([0, 1]), Path("a.tga"))
    assert found == [[255, 128, 0], [255] * 3]


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "RGBA", "CMYK"])
def test_uncompressed_files_are_turned_as_compressed_ones_are(tmp_path: Path, mode: str) -> None:
    levels = np.arange(40 * 60).reshape(40, 60) % 251
    image = Image.fromarray((levels * 257).astype(np.uint16))
    if mode != "I;16":
        image = Image.fromarray(levels.astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pictures = []
    for compression in ("raw", "tiff_deflate"):
        path = tmp_path / f"{compression}.tif"
        image.save(path, exif=exif, compression=compression)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            pictures.append(read_picture(path, LIMIT))
    assert pictures[0].shape == (3, 60, 40)
    assert torch.equal(*pictures)
