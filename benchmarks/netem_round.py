"""One transmission over a bad link: ``receive``, ``send``, and the relay if there is one."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from benchmarks.namespaces import BadLink
from compressai_vq.errors import CodecError
from compressai_vq.picture import read_picture

PATIENCE = 300.0
"""Seconds until something that should have started counts as failed; machines may be busy."""


@dataclass(frozen=True)
class Round:
    """What came of one transmission."""

    picture: Tensor  # uint8 (3, H, W)
    mask: Tensor  # uint8 (3, H, W), 255 where lost
    facts: dict[str, Any]  # what receive --json printed
    counters: dict[str, int]  # the kernel's: datagrams sent, received, with bad checksums
    relayed: list[dict[str, Any]] | None  # the relay's log, in the order of sending
    log: str  # commands and what they printed


def run_round(link: BadLink, arguments: argparse.Namespace, number: int, folder: Path) -> Round:
    """Send ``photo.cvq`` once.

    Args:
        link: entered.
        arguments: of ``benchmarks.netem``.
        number: of the round, from 0.
        folder: of ``photo.cvq``; what is received is written there too.

    Raises:
        CodecError: when a program fails.
    """
    weights = []
    for name in ("weights", "prior"):
        if path := getattr(arguments, name):
            weights += [f"--{name}", str(path)]
    receive = ["receive", link.receiver, "-o", "received.png", "--mask", "lost.png"]
    receive += ["--force", "--json", "--timeout", f"{arguments.silence:g}"]
    receive += ["--wait", f"{PATIENCE:g}", *weights]
    send = ["send", "photo.cvq", link.target, "--mtu", str(arguments.mtu)]
    send += ["--packets", str(arguments.packets), *weights]

    before = _counters(link)
    with contextlib.ExitStack() as programs:
        relay = None
        if "relay" in link.roles:
            command = _relay_command(link, arguments, number)
            relay = programs.enter_context(_started(link, "relay", command, folder))
            _wait_for(relay.stdout, "ready", relay)
        command = [sys.executable, "-m", "compressai_vq.cli", *receive]
        receiver = programs.enter_context(_started(link, "receiver", command, folder))
        _wait_for(receiver.stderr, "receiving at", receiver)
        sent = subprocess.run(
            link.command("sender", sys.executable, "-m", "compressai_vq.cli", *send),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if sent.returncode:
            raise CodecError(f"send: {sent.stderr.strip()}")
        try:
            printed, warned = receiver.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise CodecError("receive: it does not end") from None
        if receiver.returncode:
            raise CodecError(f"receive: {warned.strip()}")
        if relay is not None:
            relay.terminate()
            relay.wait(PATIENCE)
    after = _counters(link)
    counters = {name: after[name] - before[name] for name in after}
    relayed = json.loads((folder / "relay.json").read_text()) if relay is not None else None
    facts = json.loads(printed)
    log = [f"# round {number + 1}"]
    log += [f"receiver$ {shlex.join(['compressai-vq', *_shown(receive, weights)])}"]
    log += [
        f"sender$ {shlex.join(['compressai-vq', *_shown(send, weights)])}",
        sent.stdout.strip(),
    ]
    if relayed is not None:
        log.append("relay: " + ", ".join(f"{n + 1} {_fate(e)}" for n, e in enumerate(relayed)))
    log += warned.strip().splitlines()
    log.append(
        f"received {facts['packets']} of {facts['expected']} packets, "
        f"{100 * facts['lost']:.1f} % of the indices restored by: {facts['fill']}"
    )
    log.append("kernel: " + ", ".join(f"{name} {value}" for name, value in counters.items()))
    return Round(
        read_picture(folder / "received.png", 1 << 26),
        read_picture(folder / "lost.png", 1 << 26),
        facts,
        counters,
        relayed,
        "\n".join(log) + "\n\n",
    )


def _relay_command(link: BadLink, arguments: argparse.Namespace, number: int) -> list[str]:
    script = str(Path(__file__).with_name("udp_relay.py"))
    command = [sys.executable, script, link.target, link.receiver, "--log", "relay.json"]
    for name in ("loss", "duplicate", "reorder", "corrupt"):
        command += [f"--{name}", f"{getattr(arguments, name):g}"]
    return [
        *command,
        "--delay",
        f"{arguments.delay / 1000:g}",
        "--seed",
        f"{arguments.seed + number}",
    ]


def _counters(link: BadLink) -> dict[str, int]:
    received = link.udp_counters("receiver")
    return {
        "sent": link.udp_counters("sender")["OutDatagrams"],
        "received": received["InDatagrams"],
        "bad_checksums": received["InCsumErrors"],
        "after_the_end": received["NoPorts"],
    }


def _shown(command: list[str], weights: list[str]) -> list[str]:
    """Without paths of this machine."""
    return command[: len(command) - len(weights)]


def _fate(entry: dict[str, Any]) -> str:
    if not entry["copies"]:
        return "lost"
    words = [name for name in ("corrupted", "early") if entry[name]]
    return " ".join([*(["twice"] if entry["copies"] == 2 else []), *words]) or "passed"


@contextlib.contextmanager
def _started(
    link: BadLink, where: str, command: list[str], folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """A program in a namespace, which ends with the block."""
    program = subprocess.Popen(
        link.command(where, *command),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            if program.poll() is None:
                program.kill()


def _wait_for(stream: IO[str] | None, words: str, program: subprocess.Popen[str]) -> None:
    """Read a program's lines until one says that it is ready."""
    assert stream is not None
    said = []
    for line in stream:
        if words in line:
            return
        said.append(line.strip())
    if program.stderr is not None and program.stderr is not stream:
        said += [line.strip() for line in program.stderr]
    raise CodecError(f"it did not start: {' '.join(said)}")
