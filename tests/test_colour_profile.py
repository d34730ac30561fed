"""Pictures with profiles of their own, by what littleCMS's sRGB makes of the same colours."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from compressai_vq.cli.__main__ import main
from compressai_vq.container import Container
from compressai_vq.errors import CodecWarning
from compressai_vq.picture import read_picture

from .fixtures import untrained_weights


def exchanged() -> bytes:
    """sRGB's profile with red and green exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = profile.replace("sRGB".encode("utf-16-be"), "GRBx".encode("utf-16-be"))
    tags = named.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    assert tags != profile
    return tags


def read(path: Path, to_srgb: bool = True) -> np.ndarray:
    return read_picture(path, 1000, to_srgb=to_srgb).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_colours_are_those_of_the_profile(tmp_path: Path, mode: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    image = Image.new("RGB", (3, 2), (255, 0, 0)).convert(mode)
    image.save(path, icc_profile=exchanged())
    assert np.abs(read(path).astype(int) - (0, 255, 0)).max() <= 1
    assert (read(path, to_srgb=False) == (255, 0, 0)).all()


def test_grey_and_cmyk_with_profiles_of_other_colours(tmp_path: Path) -> None:
    for mode in ("L", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (3, 2), 0).save(path, icc_profile=exchanged())
        with pytest.warns(CodecWarning, match="no good: taken for sRGB"):
            found = read(path)
        assert (found == read(path, to_srgb=False)).all()


def test_grey_by_a_profile_of_grey(tmp_path: Path) -> None:
    # A curve of gamma 1: stored levels are light, of which sRGB's levels are about the root.
    header = b"GRAYXYZ ".join([bytes(16), bytes(12) + b"acsp" + bytes(28)])
    header = header[:8] + b"\x04\x20\0\0mntr" + header[16:]
    white = b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in WHITE)
    header = header[:68] + white[8:] + bytes(128 - 68 - 12)
    curve = b"curv" + bytes(8)
    text = b"mluc\0\0\0\0\0\0\0\1\0\0\0\x0cenUS\0\0\0\6\0\0\0\x1c\0g\0r\0y\0\0"
    blocks = {b"desc": text, b"wtpt": white, b"kTRC": curve}
    directory, data = b"", b""
    start = 128 + 4 + 12 * len(blocks)
    for name, block in blocks.items():
        directory += name + (start + len(data)).to_bytes(4, "big") + len(block).to_bytes(4, "big")
        data += block
    profile = header + len(blocks).to_bytes(4, "big") + directory + data
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    path = tmp_path / "a.png"
    Image.new("L", (2, 2), 55).save(path, icc_profile=profile)
    assert np.abs(read(path).astype(int) - 128).max() <= 2


WHITE = (0.9642, 1.0, 0.8249)


def test_srgb_stays_as_it_is(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "a.png", icc_profile=profile)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read(tmp_path / "a.png") == np.asarray(image)).all()


@pytest.mark.parametrize("profile", [b"no profile", bytes(200), exchanged()[:300]])
def test_a_profile_that_is_none_does_not_cost_the_picture(tmp_path: Path, profile: bytes) -> None:
    Image.new("RGB", (3, 2), (9, 8, 7)).save(tmp_path / "a.png", icc_profile=profile)
    with pytest.warns(CodecWarning, match=r"a\.png: its colour profile is no good: taken"):
        assert (read(tmp_path / "a.png") == (9, 8, 7)).all()


def test_compress_takes_pictures_as_they_are_seen(tmp_path: Path) -> None:
    untrained_weights().save(tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.png", icc_profile=exchanged())
    seen = read_picture(tmp_path / "own.png", 2000, to_srgb=True).permute(1, 2, 0).numpy()
    Image.fromarray(seen).save(tmp_path / "seen.png")
    Image.fromarray(pixels).save(tmp_path / "stored.png")
    inputs = [str(tmp_path / f"{name}.png") for name in ("own", "seen", "stored")]
    options = ["--weights", str(tmp_path / "w.safetensors")]
    assert main(["compress", *inputs, "-o", str(tmp_path / "out"), *options]) == 0
    own, as_seen, as_stored = (
        Container.from_bytes((tmp_path / "out" / f"{name}.cvq").read_bytes()).payload
        for name in ("own", "seen", "stored")
    )
    assert own == as_seen != as_stored


def test_profiles_are_read_from_bytes() -> None:
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(exchanged())))
