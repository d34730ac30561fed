"""Pictures of two codecs side by side, in about as many bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks import side_by_side
from benchmarks.codecs import REFINED
from benchmarks.side_by_side import Comparison, main, no_smaller
from compressai_vq.errors import CodecError
from compressai_vq.picture import write_picture
from plugins.still_codecs.still_picture import StillPictureCodec

from ..fixtures import photograph


class StandIn(StillPictureCodec):
    """Files of a size that hangs on the quality; their picture has one grey level, its own."""

    extension = ".bin"
    qualities: Sequence[int] = range(64)
    description = "a stand-in"

    def __init__(self, label: str, level: int, sizes: dict[int, int]) -> None:
        self.label, self.level, self.sizes = label, level, sizes

    def compress(self, picture: Tensor, quality: int) -> bytes:
        return bytes(self.sizes.get(quality, 1))

    def decompress(self, data: bytes) -> Tensor:
        return torch.full((3, 40, 60), self.level, dtype=torch.uint8)


OTHER = StandIn("VVC", 10, {60: 90, 55: 100, 40: 120})
OURS = StandIn("Ours", 20, {5: 80})
REFINES = StandIn("Ours, refined", 30, {5: 95})


@pytest.mark.parametrize(("size", "expected"), [(1, 1), (90, 90), (91, 100), (101, 120)])
def test_the_fewest_bytes_that_are_not_fewer(size: int, expected: int) -> None:
    assert len(no_smaller(OTHER, photograph(40, 60), size)) == expected


def test_no_file_is_large_enough() -> None:
    with pytest.raises(CodecError, match="VVC makes no file of 121 bytes or more"):
        no_smaller(OTHER, photograph(40, 60), 121)


def test_a_row(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", photograph(40, 60))
    comparison = Comparison(5, OURS, REFINES, OTHER)
    pictures, captions = zip(*comparison.row(tmp_path / "a.png"), strict=True)
    assert captions == ("a", "VVC: 100 bytes", "ours: 80 bytes", "ours, --refine: 95 bytes")
    assert torch.equal(pictures[0], photograph(40, 60))
    assert [int(picture.max()) for picture in pictures[1:]] == [10, 20, 30]
    assert comparison.images == [{"name": "a.png", "other": 100, "ours": 80, "refined": 95}]


def test_three_images_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        write_picture(tmp_path / f"{number}.png", photograph(40, 60))
    codecs = {"vvc": OTHER, REFINED: REFINES}
    monkeypatch.setattr(side_by_side, "make_codec", lambda key: codecs.get(key, OURS))
    target = tmp_path / "out" / "sheet.jpg"
    assert main([str(tmp_path), "-o", str(target), "--width", "60"]) == 0
    with Image.open(target) as sheet:
        assert sheet.height >= 3 * 40 and sheet.width >= 4 * 60
    report = json.loads(target.with_suffix(".json").read_text())
    assert [image["name"] for image in report["images"]] == ["1.png", "3.png", "5.png"]
    assert (report["quality"], report["other"]) == (5, "a stand-in")


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "sheet.jpg"
    assert main([str(tmp_path / "none"), "-o", str(target)]) == 2
    assert "none" in capsys.readouterr().err
    assert not target.exists() and not target.with_suffix(".json").exists()
