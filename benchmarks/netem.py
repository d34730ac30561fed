"""A picture over a real bad link: UDP between two network namespaces.

    sudo .venv/bin/python -m benchmarks.netem [PHOTO] -o benchmarks/results/netem.json

``compressai-vq send`` runs in one namespace and ``receive`` in the other, several times.
Between them ``tc netem`` loses, reorders, repeats and corrupts packets; where the kernel has no
netem, a relay process does (``benchmarks/udp_relay.py``), and the results say so.  What was
received is compared with the file's own picture and with the photograph; with a relay, whose
log says which packets it lost, the mask of lost indices as well.  The commands and what they
printed go to a ``.log`` beside the output.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.namespaces import BadLink, check_tools
from benchmarks.netem_round import Round, run_round
from benchmarks.shared_metrics import Distances
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.container import Container
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.machine import describe_machine
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.picture import read_picture
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.rates import STRIDE
from compressai_vq.transport.interleaving import split_positions
from compressai_vq.transport.packet import Packet
from compressai_vq.transport.packets import packetize

CHANCES = {"loss": 0.2, "duplicate": 0.1, "reorder": 0.25, "corrupt": 0.05}
"""What may befall a packet, and how likely that is if nothing else is asked for."""


def netem_arguments(arguments: argparse.Namespace) -> list[str]:
    """What ``tc qdisc add ... netem`` takes for the settings asked for."""
    words = ["delay", f"{arguments.delay:g}ms"]
    for name in CHANCES:
        if getattr(arguments, name):
            words += [name, f"{100 * getattr(arguments, name):g}%"]
    return words


def open_link(arguments: argparse.Namespace) -> tuple[BadLink, str, str]:
    """The link, not yet entered, what makes it bad, and why that is not netem."""
    netem = netem_arguments(arguments)
    if arguments.link == "relay":
        return BadLink(None), "relay", "asked for"
    try:
        with BadLink(netem):
            return BadLink(netem), "netem", ""
    except CodecError as error:
        if arguments.link == "netem" or "netem" not in str(error):
            raise
        return BadLink(None), "relay", str(error).partition(": ")[2]


def arrived_packets(relayed: list[dict[str, Any]], packets: list[bytes]) -> set[int]:
    """Numbers of the packets of which a relay passed on at least one whole copy."""
    places = {hashlib.sha256(packet).hexdigest(): packet for packet in packets}
    whole = [entry for entry in relayed if entry["copies"] > int(entry["corrupted"])]
    return {Packet.from_bytes(places[entry["sha256"]]).number for entry in whole}


def lost_indices(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """The mask that ``receive`` wrote, uint8 (3, H, W), by index: bool (h, w)."""
    lost = mask[0, ::STRIDE, ::STRIDE] == 255
    assert lost.shape == shape
    return lost


def compare(
    found: Round, packets: list[bytes], whole: Tensor, distances: Distances
) -> dict[str, Any]:
    """A round's row: what the link did, what was received, and how that looks."""
    facts = Packet.from_bytes(packets[0]).facts
    lost = lost_indices(found.mask, facts.shape)
    error = psnr(whole, found.picture)
    row: dict[str, Any] = {
        "packets_sent": len(packets),
        "packets_used": found.facts["packets"],
        "packets_rejected": len(found.facts["rejected"]),
        "reasons": sorted({rejected["reason"] for rejected in found.facts["rejected"]}),
        "datagrams": found.counters,
        "lost_indices": lost.flatten().nonzero().flatten().tolist(),
        "lost_share": round(lost.float().mean().item(), 6),
        "psnr_to_loss_free": round(error, 4) if math.isfinite(error) else None,
        **{name: round(value, 6) for name, value in distances(found.picture).items()},
    }
    if found.relayed is not None:
        row["relay"] = {
            "taken": len(found.relayed),
            "lost": sum(entry["copies"] == 0 for entry in found.relayed),
            "passed_on_twice": sum(entry["copies"] == 2 for entry in found.relayed),
            "overtaking": sum(entry["early"] for entry in found.relayed),
            "corrupted": sum(entry["corrupted"] for entry in found.relayed),
        }
        expected = torch.ones(lost.numel(), dtype=torch.bool)
        parts = split_positions(*facts.shape, facts.count)
        for number in arrived_packets(found.relayed, packets):
            expected[parts[number]] = False
        row["mask_is_what_the_relay_lost"] = torch.equal(lost.flatten(), expected)
    return row


def totals(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums and means over rounds."""
    together: dict[str, Any] = {
        name: sum(row[name] for row in rounds)
        for name in ("packets_sent", "packets_used", "packets_rejected")
    }
    for part in ("datagrams", "relay"):
        if part in rounds[0]:
            together[part] = {
                name: sum(row[part][name] for row in rounds) for name in rounds[0][part]
            }
    for name, value in rounds[0].items():
        if name == "lost_share" or "_to_" in name:
            values = [row[name] for row in rounds if row[name] is not None]
            together[name] = round(sum(values) / len(values), 6) if values else None
        elif isinstance(value, bool):
            together[name] = all(row[name] for row in rounds)
    return together


def experiment(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The report and the log.

    Raises:
        CodecError: when namespaces cannot be had here, or a program fails.
    """
    check_tools()
    if arguments.weights is None:
        weights = pretrained_weights("mao2024-vqgan-lite")
    else:
        weights = LadderWeights.load(arguments.weights)
    prior = None if arguments.prior is None else PriorWeights.load(arguments.prior)
    codec = FileCodec(weights, prior=prior)
    link, kind, reason = open_link(arguments)
    picture = read_picture(arguments.photo, codec.max_pixels)
    data = codec.compress(picture, arguments.quality)
    whole = codec.decompress(data)
    packets = packetize(data, codec, arguments.mtu, arguments.packets)
    distances = Distances(
        PictureMetrics(arguments.metrics), {"loss_free": whole, "original": picture}
    )
    with tempfile.TemporaryDirectory() as folder, link:
        (Path(folder) / "photo.cvq").write_bytes(data)
        found = [run_round(link, arguments, n, Path(folder)) for n in range(arguments.rounds)]
        statistics = link.netem_statistics()
    rounds = [compare(one, packets, whole, distances) for one in found]
    container = Container.from_bytes(data)
    report = {
        "link": kind,
        "not_netem_because": reason,
        "chances": {name: getattr(arguments, name) for name in CHANCES},
        "delay_ms": arguments.delay,
        "seed": arguments.seed if kind == "relay" else None,
        "tc_statistics": statistics,
        "fingerprint": weights.fingerprint.hex(),
        "prior": None if codec.prior is None else codec.prior.fingerprint.hex(),
        "photo": arguments.photo.name,
        "size": f"{container.width}x{container.height}",
        "quality": arguments.quality,
        "bytes": len(data),
        "packet_bytes": sum(map(len, packets)),
        "loss_free": {name: round(v, 6) for name, v in distances(whole).items()},
        "kernel": os.uname().release,
        "machine": describe_machine(),
        "totals": totals(rounds),
        "rounds": rounds,
    }
    log = "".join(one.log for one in found)
    return report, log + (f"# tc -s qdisc\n{statistics}\n" if statistics else "")


def as_text(report: dict[str, Any]) -> str:
    """A report as JSON, with a line for each round."""
    head = json.dumps({k: v for k, v in report.items() if k != "rounds"}, indent=1)
    rows = ",\n  ".join(json.dumps(row) for row in report["rounds"])
    return f'{head[:-2]},\n "rounds": [\n  {rows}\n ]\n}}\n'


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and write the results; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.netem", description=__doc__)
    sample = Path(str(files("sklearn.datasets").joinpath("images", "china.jpg")))
    parser.add_argument("photo", nargs="?", type=Path, default=sample)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-q", "--quality", type=int, default=9)
    parser.add_argument("--mtu", type=int, default=1200)
    parser.add_argument("--packets", type=int, default=16, help="at least so many")
    parser.add_argument("--link", choices=("auto", "netem", "relay"), default="auto")
    for name, chance in CHANCES.items():
        parser.add_argument(f"--{name}", type=float, default=chance, metavar="P")
    parser.add_argument("--delay", type=float, default=20.0, metavar="MS")
    parser.add_argument("--seed", type=int, default=0, help="of the relay")
    parser.add_argument("--silence", type=float, default=5.0, metavar="S", help="ends a round")
    parser.add_argument("--metrics", nargs="*", default=["lpips", "dists"])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1 or not all(0 <= getattr(arguments, name) <= 1 for name in CHANCES):
        parser.error("give at least one round, and chances between 0 and 1")
    for name in ("weights", "prior"):
        if path := getattr(arguments, name):
            setattr(arguments, name, path.resolve())  # programs run in another folder
    try:
        report, log = experiment(arguments)
        if arguments.output:
            write_atomically(arguments.output, as_text(report).encode())
            write_atomically(arguments.output.with_suffix(".log"), log.encode())
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with contextlib.suppress(BrokenPipeError):
        print(log + json.dumps(report["totals"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
