"""The contact sheet: of new files, and of those that a comparison has left."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.sheet import QUALITIES, main
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import write_picture
from compressai_vq.pretrained import pretrained_weights

from ..fixtures import photograph


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for which, name in enumerate(("china", "flower")):
        write_picture(folder / f"{name}.png", photograph(64, 96, which))
    return folder


def test_files_that_there_are(images: Path, tmp_path: Path) -> None:
    codec = FileCodec(pretrained_weights("mao2024-vqgan-lite"))
    left = tmp_path / "left"
    left.mkdir()
    for which, name in enumerate(("china", "flower")):
        for quality in QUALITIES:
            data = codec.compress(photograph(64, 96, which), quality)
            (left / f"{name}.q{quality}.cvq").write_bytes(data)
    new, old, other = (tmp_path / f"{name}.jpg" for name in ("new", "old", "other"))
    assert main([str(images), "-o", str(new)]) == 0
    assert main([str(images), "-o", str(old), "--files", str(left)]) == 0
    assert new.read_bytes() == old.read_bytes()
    with Image.open(new) as sheet:
        assert sheet.width >= 4 * 96
    # It is these files that are shown.
    (left / "china.q9.cvq").write_bytes((left / "china.q1.cvq").read_bytes())
    assert main([str(images), "-o", str(other), "--files", str(left)]) == 0
    assert other.read_bytes() != old.read_bytes()


def test_a_file_that_is_not_there(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sheet.jpg"
    assert main([str(images), "-o", str(target), "--files", str(tmp_path)]) == 2
    assert "q1.cvq" in capsys.readouterr().err
    assert not target.exists()
    beside = images / "china.png" / "sheet.jpg"
    assert main([str(images), "-o", str(beside)]) == 2
    assert "is no folder to write to" in capsys.readouterr().err
