"""What came over a link is not lost where nothing can be made of it at the time."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
import torch

from compressai_vq.cli import kept_packets, received
from compressai_vq.cli.kept_packets import keep_packets
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import read_picture
from compressai_vq.transport import udp
from compressai_vq.transport.packets import packetize

from ..fixtures import photograph
from .conftest import Run


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_picture_that_cannot_be_written(
    run: Run,
    codec: FileCodec,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = codec.compress(photograph(64, 80), 5)
    packets = packetize(data, codec, at_least=4)
    monkeypatch.setattr(udp, "receive", lambda *_: [*packets, packets[0]])
    target, weights = tmp_path / "photo.png", ("--weights", weights_file)
    with monkeypatch.context() as patch:
        patch.setattr(received, "write_once", full)
        result = run("receive", "127.0.0.1:0", "-o", target, *weights)
    assert result.code == 2
    line = result.err.splitlines()[-1]
    found = re.search(r"what arrived is kept: compressai-vq depacketize (\S+) -o FILE.png$", line)
    assert found and "No space left on device" in line
    assert Path(found[1]).parent == tmp_path
    assert run("depacketize", found[1], "-o", target, *weights).code == 0
    assert torch.equal(read_picture(target, 1 << 20), codec.decompress(data))


def test_the_folder_is_elsewhere_where_it_cannot_be_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = keep_packets([b"a", b"b", b"a"], tmp_path / "none" / "photo.png")
    assert folder is not None and folder.parent == tmp_path
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [b"a", b"b"]
    assert {path.suffix for path in folder.iterdir()} == {".cvp"}


def test_nothing_is_left_where_they_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise CodecError("cannot write")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(kept_packets, "write_together", fail)
    assert keep_packets([b"a"], tmp_path / "photo.png") is None
    assert os.listdir(tmp_path) == []
