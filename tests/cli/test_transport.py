"""``packetize``, ``depacketize``, ``send`` and ``receive``."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from compressai_vq.cli import received
from compressai_vq.cli.__main__ import main
from compressai_vq.cli.depacketize import _architectures
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.picture import read_picture
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.transport.packet import Packet
from compressai_vq.transport.udp import open_socket

from ..fixtures import photograph
from ..prior.made_up import made_up_network
from .conftest import Run, files_below


@pytest.fixture
def image(codec: FileCodec, tmp_path: Path) -> Path:
    path = tmp_path / "image.cvq"
    path.write_bytes(codec.compress(photograph(100, 150), 5))
    return path


@pytest.fixture
def packets(run: Run, image: Path, weights_file: Path, tmp_path: Path) -> Path:
    """A folder of packets."""
    folder = tmp_path / "packets"
    arguments = ("--mtu", 100, "--packets", 6, "--weights", weights_file, "--json")
    result = run("packetize", image, "-o", folder, *arguments)
    assert (result.code, result.err) == (0, "")
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert result.json["packets"] == len(sizes) == 6
    assert (result.json["bytes"], result.json["largest"]) == (sum(sizes), max(sizes))
    assert result.json["overhead_bytes"] == sum(sizes) - image.stat().st_size > 0
    assert files_below(folder) == {f"image-{n}.cvp" for n in range(6)}
    return folder


def test_there_and_back(
    run: Run, packets: Path, image: Path, weights_file: Path, codec: FileCodec, tmp_path: Path
) -> None:
    target = tmp_path / "back.png"
    result = run("depacketize", packets, "-o", target, "--weights", weights_file)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{target}: 150x100, 6 of 6 packets, 0.0% lost\n"
    expected = codec.decompress(image.read_bytes())
    assert torch.equal(read_picture(target, 1 << 20), expected)


def test_loss(
    run: Run, packets: Path, weights_file: Path, prior_file: Path, tmp_path: Path
) -> None:
    (packets / "image-1.cvp").unlink()
    (packets / "image-3.cvp").write_bytes(b"VP\x11xx")
    target, mask, confidence = (tmp_path / f"{name}.png" for name in "abc")
    outputs = ("-o", target, "--mask", mask, "--confidence", confidence)
    for fill, prior in (("nearest", ()), ("frequent", ()), ("prior", ("--prior", prior_file))):
        arguments = ("--fill", fill, "--weights", weights_file, "--json", "-f", *prior)
        result = run("depacketize", packets, *outputs, *arguments)
        assert result.code == 0
        bad = packets / "image-3.cvp"
        (line,) = result.err.splitlines()
        assert line.startswith(f"warning: {bad}: the packet is truncated")
        facts = result.json
        assert (facts["packets"], facts["expected"], facts["fill"]) == (4, 6, fill)
        assert [rejection["packet"] for rejection in facts["rejected"]] == [str(bad)]
        white = (read_picture(mask, 1 << 20) == 255).float().mean().item()
        assert white == pytest.approx(facts["lost"], abs=0.05) and white > 0.1
        sure = read_picture(confidence, 1 << 20)
        assert ((sure == 255) == (read_picture(mask, 1 << 20) == 0)).all()
        assert read_picture(target, 1 << 20).shape == (3, 100, 150)


def test_errors_are_one_line_and_write_nothing(
    run: Run, packets: Path, image: Path, weights_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.cvp").write_bytes(b"text")
    (tmp_path / "there.png").write_bytes(b"")
    before = files_below(tmp_path)
    out = tmp_path / "new.png"
    one = packets / "image-0.cvp"
    commands = [
        (("depacketize", tmp_path / "bad.cvp", "-o", out), "none of 1 packets can be used"),
        (("depacketize", tmp_path / "none.cvp", "-o", out), "no such file"),
        (("depacketize", one, "-o", tmp_path / "there.png"), "exists; --force"),
        (("depacketize", one, "-o", tmp_path / "new.txt"), "cannot write .txt"),
        (("depacketize", one, "-o", packets), "is a folder"),
        (("depacketize", one, "-o", one / "a.png"), "is no folder to write to"),
        (("depacketize", one, "-o", out, "--mask", out), "need a file each"),
        (("depacketize", one, "-o", out, "--fill", "prior"), "there is no index prior"),
        (("packetize", image, "-o", packets), "holds packets already"),
        (("packetize", image, "-o", image), "is a file"),
        (("packetize", image, "-o", tmp_path / "p", "--mtu", 9), "mtu of 9 bytes is too small"),
        (("packetize", image, "-o", tmp_path / "p", "--packets", 0), "packets, not 0"),
        (("packetize", tmp_path / "bad.cvp", "-o", tmp_path / "p"), "not a .cvq file"),
        (("send", image, "nowhere"), "write host:port"),
        (("send", image, "127.0.0.1:9", "--mtu", 70000), "at most 65507"),
        (("send", image, "127.0.0.1:9", "--pause", "nan"), "--pause"),
        (("receive", "nowhere", "-o", out), "write host:port"),
        (("receive", "127.0.0.1:0", "-o", out, "--wait", 0), "--wait"),
        (("receive", "127.0.0.1:0", "-o", out, "--fill", "prior"), "there is no index prior"),
    ]
    for command, words in commands:
        result = run(*command, "--weights", weights_file)
        assert (result.code, result.out) == (2, ""), command
        (line,) = result.errors
        assert words in line
    assert files_below(tmp_path) == before


def test_a_place_for_the_picture_is_looked_for_before_anything_is_waited_for(
    run: Run, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    result = run("receive", "127.0.0.1:0", "-o", "-", "--weights", weights_file)
    assert result.code == 2 and result.errors == ["error: -: there is no standard output"]


def test_nothing_received(run: Run, weights_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    result = run("receive", "127.0.0.1:0", "-o", out, "--wait", 0.05, "--weights", weights_file)
    assert result.code == 2
    _, line = result.err.splitlines()
    assert line == "error: no packet came within 0.05 seconds"
    assert not out.exists()


def test_over_udp(
    run: Run, image: Path, weights_file: Path, codec: FileCodec, tmp_path: Path
) -> None:
    target, port = tmp_path / "received.png", free_port()
    command = ["receive", f"127.0.0.1:{port}", "-o", target, "--weights", weights_file]
    codes: list[int] = []
    receiver = threading.Thread(target=lambda: codes.append(main([str(c) for c in command])))
    receiver.start()
    # Until the receiver listens, what is sent is lost; afterwards, repetitions do no harm.
    printed = ""
    for _ in range(100):
        arguments = ("--packets", 6, "--pause", 0, "--weights", weights_file)
        result = run("send", image, f"127.0.0.1:{port}", *arguments)
        printed += result.out
        receiver.join(0.3)
        if not receiver.is_alive():
            break
    assert codes == [0]
    assert f"{image}: 6 packets, " in printed
    to = f"127.0.0.1:{port}"
    sent = run("send", image, to, "--weights", weights_file, "--json").json
    assert (sent["source"], sent["target"], sent["packets"]) == (str(image), to, 1)
    expected = codec.decompress(image.read_bytes())
    assert torch.equal(read_picture(target, 1 << 20), expected)


def free_port() -> int:
    with open_socket(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
    return port


def test_fewer_packets_leave_none_of_an_earlier_image(
    run: Run, packets: Path, codec: FileCodec, weights_file: Path, tmp_path: Path
) -> None:
    (packets / "image-of-others-1.cvp").write_bytes(b"not ours")
    newer = tmp_path / "newer" / "image.cvq"
    newer.parent.mkdir()
    newer.write_bytes(codec.compress(photograph(64, 80), 5))
    weights = ("--weights", weights_file)
    assert run("packetize", newer, "-o", packets, *weights).code == 2
    result = run("packetize", newer, "-o", packets, "--packets", 2, "--force", *weights)
    assert (result.code, result.err) == (0, "")
    assert files_below(packets) == {"image-0.cvp", "image-1.cvp", "image-of-others-1.cvp"}
    result = run("depacketize", packets, "-o", tmp_path / "back.png", *weights)
    assert "80x64, 2 of 2 packets" in result.out


def foreign(packet: Path, **facts: Any) -> bytes:
    """A packet that says other things of its image, and has a checksum that fits."""
    one = Packet.from_bytes(packet.read_bytes())
    return dataclasses.replace(one, facts=dataclasses.replace(one.facts, **facts)).to_bytes()


def test_the_image_with_the_most_packets_says_what_decodes_it(packets: Path) -> None:
    whole = [path.read_bytes() for path in sorted(packets.iterdir())]
    stray = foreign(packets / "image-0.cvp", architecture="mao2024-vqgan")
    assert _architectures([stray, *[stray] * 9, *whole]) == ["mao2024-vqgan-lite", "mao2024-vqgan"]
    assert _architectures([stray]) == ["mao2024-vqgan"]
    assert _architectures([b"junk"]) == []


def test_packets_that_ask_for_other_weights_hide_no_image(
    run: Run, packets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_file: Path
) -> None:
    for n, path in enumerate(sorted(packets.iterdir())):
        (packets / f"foreign-{n}.cvp").write_bytes(foreign(path, architecture="mao2024-vqgan"))
    (packets / "foreign-9.cvp").write_bytes(
        foreign(packets / "image-0.cvp", architecture="mao2024-vqgan", height=64)
    )
    (packets / "image-5.cvp").unlink()

    def weights(architecture: str, *_: object) -> LadderWeights:
        if architecture == "mao2024-vqgan":
            raise CodecError("cannot download")
        return LadderWeights.load(weights_file)

    monkeypatch.setattr("compressai_vq.pretrained.pretrained_weights", weights)
    result = run("depacketize", packets, "-o", tmp_path / "back.png")
    assert result.code == 0 and "5 of 6 packets" in result.out


def test_packets_of_no_bytes(run: Run, image: Path, weights_file: Path, tmp_path: Path) -> None:
    arguments = ("--mtu", 0, "--weights", weights_file)
    result = run("packetize", image, "-o", tmp_path / "packets", *arguments)
    assert result.code == 2 and "mtu of 0 bytes is too small" in result.err


def test_the_picture_comes_first(
    run: Run, packets: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(path: Path, *_: object) -> None:
        written.append(path.name)
        raise CodecError(f"cannot write {path}")

    monkeypatch.setattr(received, "_write", write)
    outputs = ("-o", tmp_path / "a.png", "--mask", tmp_path / "b.png")
    assert run("depacketize", packets, *outputs, "--weights", weights_file).code == 2
    assert written == ["a.png"]


def test_what_a_format_cannot_hold_is_not_lost(
    run: Run, codec: FileCodec, weights_file: Path, tmp_path: Path
) -> None:
    wide, weights = tmp_path / "wide.cvq", ("--weights", weights_file)
    wide.write_bytes(codec.compress(photograph(1, 16400), 1))
    assert run("packetize", wide, "-o", tmp_path / "p", *weights).code == 0
    result = run("depacketize", tmp_path / "p", "-o", tmp_path / "back.webp", *weights)
    assert result.code == 0
    (warning,) = result.err.splitlines()
    assert warning.startswith("warning: ") and warning.endswith("a PNG file is written instead")
    assert read_picture(tmp_path / "back.png", 1 << 20).shape == (3, 1, 16400)
    assert f"{tmp_path / 'back.png'}: 16400x1" in result.out
    assert not (tmp_path / "back.webp").exists()


@pytest.mark.parametrize("links", [True, False])
def test_what_came_in_the_meantime_is_not_overwritten_unasked(
    run: Run,
    packets: Path,
    weights_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    links: bool,
) -> None:
    monkeypatch.setattr(received, "check_outputs", lambda _: None)  # it is not there yet
    if not links:
        monkeypatch.setattr(os, "link", raise_os_error)
    out = tmp_path / "late.png"
    out.write_bytes(b"precious")
    command = ("depacketize", packets, "-o", out, "--weights", weights_file)
    result = run(*command)
    assert result.code == 0 and out.read_bytes() == b"precious"
    other = tmp_path / "late-1.png"
    assert result.err == f"warning: {out} exists by now: {other} is written instead\n"
    assert read_picture(tmp_path / "late-1.png", 1 << 20).shape == (3, 100, 150)
    assert (run(*command, "--force").err, out.read_bytes()[:4]) == ("", b"\x89PNG")


def raise_os_error(*_: object) -> None:
    raise OSError(1, "no links here")


def test_a_fill_that_the_image_rules_out_is_a_warning(
    run: Run, image: Path, weights_file: Path, tmp_path: Path
) -> None:
    prior = tmp_path / "prior.safetensors"
    fingerprint = LadderWeights.load(weights_file).fingerprint
    PriorWeights(made_up_network((0, 8)), fingerprint).save(prior)
    weights = ("--weights", weights_file)
    assert run("packetize", image, "-o", tmp_path / "p", "--packets", 4, *weights).code == 0
    (tmp_path / "p" / "image-1.cvp").unlink()
    options = ("--fill", "prior", "--prior", prior, *weights)
    result = run("depacketize", tmp_path / "p", "-o", tmp_path / "back.png", *options)
    assert result.code == 0 and "filled: nearest" in result.out
    assert "warning: no index prior has quality 5" in result.err


def test_packets_that_cannot_all_be_written_leave_the_earlier_ones(
    run: Run, packets: Path, codec: FileCodec, weights_file: Path, tmp_path: Path
) -> None:
    (packets / "image-2.cvp").unlink()
    (packets / "image-2.cvp").mkdir()
    (packets / "image-7.CVP").write_bytes(b"older")
    before = {p.name: p.read_bytes() for p in packets.iterdir() if p.is_file()}
    newer = tmp_path / "newer" / "image.cvq"
    newer.parent.mkdir()
    newer.write_bytes(codec.compress(photograph(64, 80), 5))
    command = ("packetize", newer, "-o", packets, "--packets", 4, "--weights", weights_file)
    result = run(*command, "--force")
    assert result.code == 2 and "image-2.cvp is a folder" in result.errors[0]
    assert {p.name: p.read_bytes() for p in packets.iterdir() if p.is_file()} == before
    (packets / "image-2.cvp").rmdir()
    assert "holds packets already" in run(*command).errors[0]
    assert run(*command, "--force").code == 0
    assert files_below(packets) == {f"image-{n}.cvp" for n in range(4)}


def test_names_of_two_lines_are_told_in_one(
    run: Run, packets: Path, weights_file: Path, tmp_path: Path
) -> None:
    (packets / "x\nerror: y.cvp").write_bytes(b"junk")
    out = ("-o", tmp_path / "back.png", "--weights", weights_file)
    (line,) = run("depacketize", packets, *out).err.splitlines()
    assert line.endswith("x error: y.cvp: not a packet")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_pipe_has_a_length_too(
    run: Run, image: Path, packets: Path, weights_file: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.cvq"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(image.read_bytes(),))
    writer.start()
    arguments = ("--mtu", 100, "--packets", 6, "--weights", weights_file, "--json")
    result = run("packetize", pipe, "-o", tmp_path / "piped", *arguments)
    writer.join()
    assert result.code == 0
    sizes = [path.stat().st_size for path in packets.iterdir()]
    assert result.json["overhead_bytes"] == sum(sizes) - image.stat().st_size


def test_what_is_no_packet_is_not_kept_in_memory(
    run: Run, packets: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packets / "junk.cvp").write_bytes(bytes(1 << 20))
    seen: list[int] = []

    def architectures(found: list[bytes]) -> list[str]:
        seen.extend(map(len, found))
        return []

    monkeypatch.setattr("compressai_vq.cli.depacketize._architectures", architectures)
    arguments = ("-o", tmp_path / "back.png", "--weights", weights_file)
    result = run("depacketize", packets, *arguments)
    assert result.code == 0
    assert result.err == f"warning: {packets / 'junk.cvp'}: not a packet\n"
    assert max(seen) < 200
