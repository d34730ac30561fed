from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.errors import CodecError, CodecWarning
from compressai_vq.picture import read_picture

from .fixtures import noise
from .image_files import LIMIT, picture, read, refuse, warnings_are_errors  # noqa: F401

COLOURS = [(255, 0, 0), (0, 128, 0), (10, 20, 200), (255, 255, 255)]


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
    image = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.int32))
    assert image.mode == "I"
    assert read(image, tmp_path / "a.tif")[0, :, 0].tolist() == [0, 1, 255]
    for beyond in (-5, 70000):
        image = Image.fromarray(np.array([[0, beyond]], dtype=np.int32))
        with pytest.raises(CodecError, match="grey beyond 16 bits"):
            read(image, tmp_path / "a.tif")


@pytest.mark.parametrize(("bits", "photometric"), [(12, 1), (16, 1), (16, 0)])
def test_deep_grey_of_tiff_as_it_is_stored(tmp_path: Path, bits: int, photometric: int) -> None:
    most = (1 << bits) - 1
    levels = [0, most // 3, most]
    stored = sum(level << (bits * (2 - n)) for n, level in enumerate(levels))
    row = np.array(levels, "<u2").tobytes() if bits == 16 else (stored << 4).to_bytes(5, "big")
    tags = {256: 3, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: 9}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())]
    entries[8] = struct.pack("<HHII", 279, 4, 1, len(row))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    at = 8 + len(row) + len(row) % 2
    path = tmp_path / "a.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, at) + row.ljust(at - 8, b"\0") + directory)
    found = read_picture(path, 100)[0, 0].tolist()
    assert found == ([0, 85, 255] if photometric else [255, 170, 0])


@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_damaged_exif_data_does_not_cost_the_picture(tmp_path: Path, ending: str) -> None:
    image = Image.new("RGB", (4, 2), "blue")
    image.save(tmp_path / f"a{ending}", exif=b"Exif\0\0garbage", lossless=True)
    with pytest.warns(CodecWarning, match="Exif data is no good: taken for upright"):
        picture = read_picture(tmp_path / f"a{ending}", 100)
    assert picture.flatten(1).T.tolist() == [[0, 0, 255]] * 8


def test_opaque_pictures_are_laid_on_nothing(tmp_path: Path) -> None:
    for mode, colour in (("RGBA", (1, 2, 3, 255)), ("LA", (9, 255))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(Image.new(mode, (2, 2), colour), tmp_path / "a.png")


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
    with pytest.warns(CodecWarning, match="transparency is laid on white"):
        found = read(palette_image(), path, transparency=1)
    transparent = [COLOURS[0], (255, 255, 255), *COLOURS[2:]]
    assert [tuple(c) for c in found.reshape(-1, 3)[:4].tolist()] == transparent


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    with pytest.warns(CodecWarning, match="transparency"):
        found = read(image, tmp_path / "a.png", transparency=(9, 9, 9))
    assert found[0].tolist() == [[1, 2, 3], [255, 255, 255]]


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 100, 0)), ("LA", (100,))])
def test_alpha_is_laid_on_white(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    image = Image.new(mode, (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    with pytest.warns(CodecWarning, match=r"a\.png: transparency is laid on white"):
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


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    refuse(tmp_path / "a.tif", "floating-point")


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
        monkeypatch.setattr("compressai_vq.upright_rgb._PIXELS_AT_ONCE", 100)
        assert torch.equal(read_picture(path, LIMIT), at_once)
    assert crops == [3, 3, 3, 3, 3, 3, 2]
    assert len(at_once.unique()) > 1


def test_one_warning_for_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressai_vq.upright_rgb._PIXELS_AT_ONCE", 100)
    Image.new("RGBA", (30, 20)).save(tmp_path / "a.png")
    with pytest.warns(CodecWarning, match="transparency") as caught:
        read_picture(tmp_path / "a.png", LIMIT)
    assert len(caught) == 1


def test_16_bit_grey_with_a_transparent_level(tmp_path: Path) -> None:
    levels = np.array([[0, 1000, 65535, 1001]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=1000)
    with pytest.warns(CodecWarning, match="transparency is laid on white"):
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
    with pytest.warns(CodecWarning, match="transparency is laid on white"):
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


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow reads no such file")
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
