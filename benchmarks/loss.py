"""What lost packets cost: pictures restored by each fill, at random and bursty loss.

    python -m benchmarks.loss KODAK -o benchmarks/results/loss.json

Every image is split into packets, some are lost, and what is left is painted.  Fills see the
same losses.  LPIPS (AlexNet) and DISTS are against the loss-free reconstruction and against the
original.  Bursts are a Gilbert-Elliott channel's: a good state without loss and a bad one that
loses everything and lasts ``--burst`` packets in the mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from compressai_vq.atomic_file import write_atomically
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.machine import describe_machine
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.picture import ENDINGS, read_picture
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.transport.fills import FILLS
from compressai_vq.transport.packets import packetize
from compressai_vq.transport.restoring import depacketize

RATES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
CHANNELS = ("random", "bursts")
METRICS = ["lpips", "dists"]


def lost_packets(
    count: int, rate: float, channel: str, burst: float, rng: np.random.Generator
) -> list[bool]:
    """Which packets are lost; at least one of them arrives.

    Args:
        count: of packets.
        rate: expected share that is lost, in [0, 1).
        channel: ``"random"`` (each by itself) or ``"bursts"`` (Gilbert-Elliott).
        burst: mean number of packets of a burst, at least 1.
        rng: where chance comes from.
    """
    while True:
        if channel == "random":
            lost = (rng.random(count) < rate).tolist()
        else:
            # Bad ends with 1 / burst; good ends so often that bad takes `rate` of the time.
            leave_bad = 1 / burst
            leave_good = min(1.0, rate / (1 - rate) * leave_bad)
            bad, lost = bool(rng.random() < rate), []
            for _ in range(count):
                lost.append(bad)
                bad = bool(rng.random() < (1 - leave_bad if bad else leave_good))
        if not all(lost):
            return lost


def measure_image(
    path: Path, codec: FileCodec, arguments: argparse.Namespace, metrics: PictureMetrics
) -> list[dict[str, Any]]:
    """The rows of one image."""
    picture = read_picture(path, codec.max_pixels)
    data = codec.compress(picture, arguments.quality)
    packets = packetize(data, codec, arguments.mtu, arguments.packets)
    whole = codec.decompress(data)
    to_whole, to_original = metrics.against(whole), metrics.against(picture)
    fills = [name for name in FILLS if name != "prior" or codec.prior is not None]
    rows = []
    # The image's name, not its place, is part of the seed: a subset loses the same packets.
    rng = np.random.default_rng([arguments.seed, *path.name.encode()])
    for channel in CHANNELS:
        for rate in RATES:
            lost = lost_packets(len(packets), rate, channel, arguments.burst, rng)
            arrived = [p for p, gone in zip(packets, lost, strict=True) if not gone]
            for fill in fills:
                received = depacketize(arrived, codec, fill)
                error = psnr(whole, received.picture)
                rows.append(
                    {
                        "image": path.name,
                        "channel": channel,
                        "rate": rate,
                        "fill": fill,
                        "packets": len(packets),
                        "lost_packets": sum(lost),
                        "lost_indices": received.lost.float().mean().item(),
                        "bytes": len(data),
                        "packet_bytes": sum(map(len, packets)),
                        "psnr_to_loss_free": error if np.isfinite(error) else None,
                        **{f"{k}_to_loss_free": v for k, v in to_whole(received.picture).items()},
                        **{
                            f"{k}_to_original": v for k, v in to_original(received.picture).items()
                        },
                    }
                )
    return rows


def averages(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over images, for each channel, rate and fill."""
    keys = list(dict.fromkeys((row["channel"], row["rate"], row["fill"]) for row in rows))
    table = []
    for channel, rate, fill in keys:
        group = [r for r in rows if (r["channel"], r["rate"], r["fill"]) == (channel, rate, fill)]
        means: dict[str, Any] = {"channel": channel, "rate": rate, "fill": fill}
        for name in group[0]:
            if name not in ("image", *means):
                values = [row[name] for row in group if row[name] is not None]
                means[name] = sum(values) / len(values) if values else None
        table.append(means)
    return table


def main(argv: list[str] | None = None) -> int:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loss", description=__doc__)
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("--images", type=int, help="only so many")
    parser.add_argument("-q", "--quality", type=int, default=9)
    parser.add_argument("--mtu", type=int, default=1200)
    parser.add_argument("--packets", type=int, default=16, help="at least so many of an image")
    parser.add_argument("--burst", type=float, default=3.0, help="mean packets of a burst")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args(argv)
    if arguments.weights is None:
        weights = pretrained_weights("mao2024-vqgan-lite")
    else:
        weights = LadderWeights.load(arguments.weights)
    prior = None if arguments.prior is None else PriorWeights.load(arguments.prior)
    codec = FileCodec(weights, prior=prior)
    paths = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in ENDINGS)
    paths = paths[: arguments.images]
    if not paths:
        parser.error(f"{arguments.folder} holds no images")
    metrics = PictureMetrics(METRICS)
    rows: list[dict[str, Any]] = []
    for path in tqdm(paths, disable=not sys.stderr.isatty(), unit="image"):
        rows += measure_image(path, codec, arguments, metrics)
    report = {
        "name": weights.architecture,
        "fingerprint": weights.fingerprint.hex(),
        "prior": None if codec.prior is None else codec.prior.fingerprint.hex(),
        "coding": codec.coding,
        "dataset": {"folder": arguments.folder.resolve().name, "images": len(paths)},
        "quality": arguments.quality,
        "mtu": arguments.mtu,
        "at_least": arguments.packets,
        "burst": arguments.burst,
        "seed": arguments.seed,
        "machine": describe_machine(),
        "results": averages(rows),
        "images": rows,
    }
    text = json.dumps(report, indent=1) + "\n"
    if arguments.output:
        write_atomically(arguments.output, text.encode())
    for row in report["results"]:
        print(
            f"{row['channel']:7} {row['rate']:5.0%} {row['fill']:9} "
            f"lpips {row['lpips_to_loss_free']:.4f} {row['lpips_to_original']:.4f} "
            f"dists {row['dists_to_loss_free']:.4f} {row['dists_to_original']:.4f} "
            f"overhead {row['packet_bytes'] - row['bytes']:.0f} bytes"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
