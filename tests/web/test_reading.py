"""The page's reader of files, run by node, against Python's: the same indices, always."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compressai_vq.codings import CODINGS, FREQUENCIES, PRIOR
from compressai_vq.container import Container, checksum
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights, packaged_weights
from compressai_vq.onnx_export import export_onnx
from compressai_vq.prior.coder import POSITIONS_AT_ONCE
from compressai_vq.prior.order import coding_order
from compressai_vq.prior.prior_weights import PriorWeights, packaged_prior
from compressai_vq.rates import LADDER

from ..fixtures import seeded, untrained_weights
from ..prior.made_up import made_up_network, random_map
from ..taming_reference import one_thread  # noqa: F401

pytest.importorskip("onnx", reason="needs the extra 'onnx'")

HERE = Path(__file__).parent
CHANNELS = 13
"""Of the made-up prior. It is odd: the page computes two channels at once."""


@functools.cache
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on the path")
    return found


@dataclasses.dataclass
class Exported:
    """A codec and the folder that it was exported to."""

    codec: FileCodec
    folder: Path

    def container(self, indices: Tensor, quality: int, coding: str) -> Container:
        """A file of an index map (h, w); the picture is not quite full at the right and bottom."""
        height, width = indices.shape
        codec = self.codec.coder(quality, coding)
        return Container(
            self.codec.weights.architecture, quality, self.codec._fingerprint(coding),
            16 * width - 3, 16 * height - 7, codec.write(indices[None], coding)[0], coding,
        )  # fmt: skip

    def read(self, files: list[bytes], folder: Path) -> list[dict[str, Any]]:
        """What the page's modules make of files."""
        paths = [folder / f"{number}.cvq" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        command = [node(), str(HERE / "read_files.mjs"), str(self.folder), *map(str, paths)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    weights, prior = folder / "weights.safetensors", folder / "prior.safetensors"
    fingerprint = untrained_weights().save(weights)
    PriorWeights(made_up_network(channels=CHANNELS), fingerprint).save(prior)
    loaded = LadderWeights.load(weights)
    export_onnx(loaded, folder / "model", prior=prior)
    return Exported(FileCodec(loaded, prior=PriorWeights.load(prior)), folder / "model")


def test_every_quality_and_coding(made_up: Exported, tmp_path: Path) -> None:
    sizes = [(1, 1), (1, 2), (2, 1), (3, 3), (4, 9), (17, 5), (13, 29)]
    cases = [
        (random_map(quality - 1, *size, seed=quality), quality, coding)
        for quality in range(1, len(LADDER) + 1)
        for size in sizes
        for coding in CODINGS
    ]
    containers = [made_up.container(*case) for case in cases]
    answers = made_up.read([container.to_bytes() for container in containers], tmp_path)
    for (indices, *_), container, answer in zip(cases, containers, answers, strict=True):
        assert answer["indices"] == indices.flatten().tolist()
        assert answer["payload"] == len(container.payload)
        assert answer["header"] == {
            "architecture": container.architecture,
            "quality": container.quality,
            "coding": container.coding,
            "fingerprint": container.fingerprint.hex(),
            "width": container.width,
            "height": container.height,
            "rows": indices.shape[0],
            "columns": indices.shape[1],
        }


def test_map_whose_passes_are_coded_in_parts(made_up: Exported, tmp_path: Path) -> None:
    size = (72, 120)
    assert max(map(len, coding_order(*size))) > POSITIONS_AT_ONCE
    indices = random_map(6, *size)
    (answer,) = made_up.read([made_up.container(indices, 7, PRIOR).to_bytes()], tmp_path)
    assert answer["indices"] == indices.flatten().tolist()


def test_the_packages_prior(tmp_path: Path) -> None:
    """Its network is wide and deep, and its sums come closer to their bounds."""
    weights = LadderWeights.load(packaged_weights("mao2024-vqgan-lite"))
    prior = packaged_prior(weights)
    if prior is None:
        pytest.skip("the package's weights have no index prior")
    export_onnx(weights, tmp_path / "model", [1, 6], prior)
    shipped = Exported(FileCodec(weights), tmp_path / "model")
    maps = {1: random_map(0, 4, 15), 6: random_map(5, 15, 4)}
    files = [shipped.container(maps[q], q, PRIOR).to_bytes() for q in maps]
    answers = shipped.read(files, tmp_path)
    assert [a["indices"] for a in answers] == [m.flatten().tolist() for m in maps.values()]


def test_damage_is_seen_where_python_sees_it(made_up: Exported, tmp_path: Path) -> None:
    """Of damaged payloads under a right checksum, those that are accepted read alike."""
    random = seeded(3)
    containers = []
    for coding in CODINGS:
        for quality in (1, 5, 9):
            whole = made_up.container(random_map(quality - 1, 3, 5), quality, coding)
            length = len(whole.payload)
            for at in torch.randint(length, (12,), generator=random).tolist():
                bit = 1 << int(torch.randint(8, (1,), generator=random))
                damaged = bytearray(whole.payload)
                damaged[at] ^= bit
                containers.append(dataclasses.replace(whole, payload=bytes(damaged)))
            for payload in (whole.payload[:-4], whole.payload + bytes(4), whole.payload[:-1], b""):
                containers.append(dataclasses.replace(whole, payload=payload))
            taller = dataclasses.replace(whole, height=whole.height + 16)
            containers += [whole, taller, dataclasses.replace(whole, width=whole.width - 16)]
    expected: list[list[int] | None] = []
    for container in containers:
        try:
            expected.append(made_up.codec.indices(container).flatten().tolist())
        except CodecError:
            expected.append(None)
    answers = made_up.read([container.to_bytes() for container in containers], tmp_path)
    assert [answer.get("indices") for answer in answers] == expected
    assert sum(indices is not None for indices in expected) >= 6
    refused = {answer["error"] for answer in answers if "error" in answer}
    assert len(refused) >= 3
    assert all(text.startswith("index stream ") and "damaged" in text for text in refused)


def test_headers_are_refused_where_python_refuses_them(made_up: Exported, tmp_path: Path) -> None:
    good = made_up.container(random_map(2, 2, 3), 3, FREQUENCIES)
    data = good.to_bytes()
    header, payload = data[: -len(good.payload) - 4], good.payload

    def forged(start: bytes) -> bytes:
        return start + checksum(start, payload) + payload

    fingerprint = data[4:6]
    files = [
        b"", b"V", b"VQ", b"not a file", *(data[:end] for end in range(3, len(data), 3)),
        data + b"\0",
        bytes([*data[:-1], data[-1] ^ 1]),
        bytes([*data[:8], data[8] ^ 1, *data[9:]]),
        forged(b"VQ" + bytes([0x21]) + header[3:]),  # version
        forged(b"VQ" + bytes([0x1F]) + header[3:]),  # architecture
        forged(b"VQ" + bytes([0x10]) + header[3:]),
        forged(header[:3] + bytes([0x37]) + header[4:]),  # coding
        forged(header[:3] + bytes([0x00]) + header[4:]),  # quality
        forged(header[:3] + bytes([0xF0]) + header[4:]),
        forged(header[:4] + bytes([fingerprint[0] ^ 1]) + header[5:]),
        forged(header[:6] + bytes([0]) + header[7:]),  # width
        forged(header[:6] + bytes([0x80, 0x00]) + header[7:]),
        forged(header[:6] + b"\xff\xff\xff\xff" + header[7:]),
        forged(header[:6] + b"\xff\xff\xff\x7f" + header[7:]),
        forged(header[:6] + b"\xff\xff\x3f\xff\xff\x3f" + header[-1:]),
        data,
    ]  # fmt: skip
    answers = made_up.read(files, tmp_path)
    assert answers[-1]["indices"] == random_map(2, 2, 3).flatten().tolist()
    for file, answer in zip(files[:-1], answers[:-1], strict=True):
        with pytest.raises(CodecError) as caught:
            made_up.codec.check(Container.from_bytes(file))
        text = str(caught.value).replace("this release", "this page")
        if text.startswith("made with") or "limit" in text:
            assert answer["error"].split()[:2] == text.split()[:2]
        else:
            assert answer["error"] == text


def test_pictures_that_no_browser_can_show(made_up: Exported, tmp_path: Path) -> None:
    small = made_up.container(random_map(0, 1, 1), 1, FREQUENCIES)
    sizes = [(5793, 5793), (1, 32768)]
    files = [dataclasses.replace(small, width=w, height=h).to_bytes() for w, h in sizes]
    limit = (
        "pixels are more than this page's limit of 33.6 megapixels: use compressai-vq decompress"
    )
    answers = made_up.read(files, tmp_path)
    assert [answer["error"] for answer in answers] == [f"{w}x{h} {limit}" for w, h in sizes]


def test_without_a_prior_or_a_quality(made_up: Exported, tmp_path: Path) -> None:
    export_onnx(made_up.codec.weights, tmp_path / "model", [1])
    bare = Exported(made_up.codec, tmp_path / "model")
    files = [made_up.container(random_map(0, 2, 2), 1, coding).to_bytes() for coding in CODINGS]
    files.append(made_up.container(random_map(1, 2, 2), 2, FREQUENCIES).to_bytes())
    answers = bare.read(files, tmp_path)
    assert answers[0]["indices"] == random_map(0, 2, 2).flatten().tolist()
    assert answers[1]["error"] == (
        "coded by an index prior, and this page was exported without one"
    )
    assert answers[2]["error"] == "this page was exported without quality 2"


def test_files_of_two_exports(made_up: Exported, tmp_path: Path) -> None:
    mixed = Exported(made_up.codec, tmp_path / "model")
    shutil.copytree(made_up.folder, mixed.folder)
    prior = bytearray((mixed.folder / "prior.safetensors").read_bytes())
    prior[-1] ^= 1  # a weight
    (mixed.folder / "prior.safetensors").write_bytes(prior)
    files = [made_up.container(random_map(0, 2, 2), 1, coding).to_bytes() for coding in CODINGS]
    first, second = mixed.read(files, tmp_path)
    assert first["indices"] == random_map(0, 2, 2).flatten().tolist()
    assert second["error"] == (
        "prior.safetensors and codec.safetensors are of two exports: reload the page, or export "
        "again"
    )


def test_damaged_tables_are_noticed(made_up: Exported, tmp_path: Path) -> None:
    damaged = Exported(made_up.codec, tmp_path / "model")
    shutil.copytree(made_up.folder, damaged.folder)
    tables = damaged.folder / "codec.safetensors"
    whole = tables.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    file = made_up.container(random_map(0, 2, 2), 1, FREQUENCIES).to_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    codebook = bytearray(whole)
    codebook[start + 5] ^= 1
    facts = whole.replace(b'{\\"architecture', b'[\\"architecture')
    assert facts != whole
    for data, words in (
        (flipped, "is damaged: export it again"),
        (codebook, "is damaged: export it again"),
        (whole[:-4], "is damaged: export it again"),
        (whole[:100], "is damaged: export it again"),
        (facts, "is of another release: export again"),
    ):
        tables.write_bytes(data)
        assert damaged.read([file], tmp_path) == [{"error": f"codec.safetensors {words}"}]
    tables.write_bytes(whole)
    assert "indices" in damaged.read([file], tmp_path)[0]


def test_modules_by_themselves() -> None:
    tests = sorted(map(str, HERE.glob("*.test.mjs")))
    result = subprocess.run([node(), "--test", *tests], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "# fail 0" in result.stdout and "# pass 10" in result.stdout
