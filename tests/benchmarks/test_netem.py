"""The relay, what is made of its log, and what is refused; the link itself needs root."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import namespaces, netem, udp_relay
from benchmarks.namespaces import BadLink
from benchmarks.netem import CHANCES, arrived_packets, lost_indices, netem_arguments, totals
from benchmarks.udp_relay import Relay
from compressai_vq.errors import CodecError
from compressai_vq.transport.packets import packetize

from ..fixtures import untrained_codec, untrained_weights
from ..transport.made_up import example_file

NONE = dict.fromkeys(CHANCES, 0.0)
SENT = [bytes([n]) * 20 for n in range(200)]


def passed_on(chances: dict[str, float], seed: int = 0) -> tuple[list[bytes], Relay]:
    """What a relay gives out when a datagram comes every millisecond."""
    relay, found = Relay({**NONE, **chances}, 0.02, seed), []
    for n, data in enumerate(SENT):
        relay.take(data, n / 1000)
        found += relay.due(n / 1000)
    return found + relay.due(1.0), relay


def test_without_chances_all_arrive_late_and_in_order() -> None:
    relay = Relay(NONE, 0.02, 0)
    relay.take(b"a", 1.0)
    assert relay.due(1.01) == [] and relay.wait(1.01) == pytest.approx(0.01)
    assert relay.due(1.03) == [b"a"] and relay.wait(1.03) == 0.2
    assert passed_on({})[0] == SENT


@pytest.mark.parametrize("chance", [0.3, 1.0])
def test_each_chance_does_its_own(chance: float) -> None:
    least, most = (len(SENT), len(SENT)) if chance == 1 else (30, 90)
    lost, _ = passed_on({"loss": chance})
    assert least <= len(SENT) - len(lost) <= most
    twice, _ = passed_on({"duplicate": chance})
    assert least <= len(twice) - len(SENT) <= most and set(twice) == set(SENT)
    damaged, relay = passed_on({"corrupt": chance})
    assert least <= sum(data not in SENT for data in damaged) <= most
    assert all(len(data) == 20 for data in damaged)
    assert sum(entry["corrupted"] for entry in relay.log) == len(set(damaged) - set(SENT))
    early, _ = passed_on({"reorder": chance})
    assert sorted(early) == sorted(SENT) and (early == SENT) == (chance == 1)


def test_the_same_seed_does_the_same() -> None:
    chances = {"loss": 0.2, "duplicate": 0.2, "reorder": 0.2, "corrupt": 0.2}
    first, again, other = (passed_on(chances, seed)[0] for seed in (3, 3, 4))
    assert first == again != other


def test_the_program_passes_on_and_writes_its_log(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            listen = free.getsockname()
        log = tmp_path / "log.json"
        addresses = [f"{host}:{port}" for host, port in (listen, receiver.getsockname())]
        command = [sys.executable, udp_relay.__file__, *addresses, "--log", str(log)]
        command += ["--duplicate", "1", "--delay", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None and program.stdout.readline() == "ready\n"
            sender.sendto(b"one", listen)
            assert [receiver.recv(100) for _ in range(2)] == [b"one", b"one"]
            program.send_signal(signal.SIGTERM)
            assert program.wait(20) == 0
    (entry,) = json.loads(log.read_text())
    assert entry["sha256"] == hashlib.sha256(b"one").hexdigest() and entry["copies"] == 2


def test_whole_copies_count_as_arrived() -> None:
    packets = packetize(example_file(), untrained_codec(), at_least=5)
    fates = [(0, False), (1, False), (1, True), (2, True), (2, False)]
    relayed = [
        {"sha256": hashlib.sha256(p).hexdigest(), "copies": copies, "corrupted": corrupted}
        for p, (copies, corrupted) in zip(packets, fates, strict=True)
    ]
    assert arrived_packets(relayed, packets) == {1, 3, 4}


def test_the_mask_by_index() -> None:
    lost = torch.tensor([[True, False, True], [False, True, False]])
    mask = lost.repeat_interleave(16, 0)[:20].repeat_interleave(16, 1)[:, :41]
    picture = (mask * 255).to(torch.uint8).expand(3, -1, -1)
    assert torch.equal(lost_indices(picture, (2, 3)), lost)


def test_sums_and_means() -> None:
    one: dict[str, Any] = {
        "packets_sent": 8,
        "packets_used": 5,
        "packets_rejected": 1,
        "datagrams": {"sent": 8},
        "lost_share": 0.4,
        "psnr_to_loss_free": None,
        "lpips_to_original": 0.2,
        "mask_is_what_the_relay_lost": True,
    }
    other = {**one, "lost_share": 0.2, "psnr_to_loss_free": 30.0}
    sums = totals([one, {**other, "mask_is_what_the_relay_lost": False}])
    assert sums["packets_sent"] == 16 and sums["datagrams"] == {"sent": 16}
    assert sums["lost_share"] == pytest.approx(0.3) and sums["psnr_to_loss_free"] == 30
    assert sums["mask_is_what_the_relay_lost"] is False


def test_netems_own_words() -> None:
    chances = {"loss": 0.2, "duplicate": 0.05, "reorder": 0.25, "corrupt": 0.0}
    words = netem_arguments(argparse.Namespace(delay=20.0, **chances))
    assert " ".join(words) == "delay 20ms loss 20% duplicate 5% reorder 25%"


@pytest.mark.parametrize("lacking", ["root", "ip", "tc"])
def test_what_it_needs_is_one_line(
    lacking: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000 if lacking == "root" else 0, raising=False)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == lacking else tool)
    assert netem.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and lacking in line


def test_namespaces_go_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    present: set[str] = set()

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if command[:3] == ["ip", "netns", "add"]:
            present.add(command[3])
        if command[:3] == ["ip", "netns", "delete"]:
            present.remove(command[3])
        if "netem" in command:
            return subprocess.CompletedProcess(command, 2, "", "Error: qdisc kind\nis unknown.")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(namespaces, "check_tools", lambda: None)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(CodecError, match=r"netem loss 20%: Error: qdisc kind is unknown\.$"):
        BadLink(["loss", "20%"]).__enter__()
    assert not present
    with pytest.raises(KeyboardInterrupt), BadLink(None) as link:
        assert len(present) == 3 == len(link.roles)
        raise KeyboardInterrupt
    assert not present


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0, reason="namespaces need root"
)
def test_a_transmission(tmp_path: Path) -> None:
    untrained_weights().save(tmp_path / "w.safetensors")
    output = tmp_path / "netem.json"
    arguments = ["--weights", str(tmp_path / "w.safetensors"), "--rounds", "1", "--metrics"]
    assert netem.main([*arguments, "-o", str(output), "--link", "relay", "-q", "3"]) == 0
    report = json.loads(output.read_text())
    (row,) = report["rounds"]
    assert row["relay"]["taken"] == row["packets_sent"] == row["datagrams"]["sent"] == 16
    assert row["packets_used"] >= 1 and row["mask_is_what_the_relay_lost"]
    assert "receiver$ compressai-vq receive" in output.with_suffix(".log").read_text()
