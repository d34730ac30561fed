"""What lost packets cost: pictures restored by each fill, at random and bursty loss.

    python -m benchmarks.loss KODAK -o benchmarks/results/loss.json

Every image is split into packets, some are lost, and what is left is painted.  Fills see the
same losses.  LPIPS (AlexNet) and DISTS are against the loss-free reconstruction and against the
original.  Bursts are a Gilbert-Elliott channel's: a good state without loss and a bad one that
loses everything and lasts ``--burst`` packets in the mean.

A run that was interrupted goes on after the last image that it had finished: until the end,
what is measured is in a file beside the output.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.shared_metrics import Distances, SharedMetrics
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.machine import describe_machine
from compressai_vq.metrics.finished_rows import FinishedRows
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.picture import ENDINGS, read_picture
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.prior.raster_transformer import RasterTransformer
from compressai_vq.transport.assembly import assemble
from compressai_vq.transport.fills import FILLS
from compressai_vq.transport.packets import packetize
from compressai_vq.transport.restoring import restore

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
    distances = Distances(metrics, {"loss_free": whole, "original": picture})
    fills = [name for name in FILLS if name != "prior" or codec.prior is not None]
    rows = []
    # The image's name, not its place, is part of the seed: a subset loses the same packets.
    rng = np.random.default_rng([arguments.seed, *path.name.encode()])
    for channel in CHANNELS:
        for rate in RATES:
            lost = lost_packets(len(packets), rate, channel, arguments.burst, rng)
            arrived = [p for p, gone in zip(packets, lost, strict=True) if not gone]
            assembled = assemble(arrived, codec)
            received = None
            for fill in fills:
                if received is None or assembled.lost.any():
                    received = restore(assembled, codec, fill)
                error = psnr(whole, received.picture)
                rows.append(
                    {
                        "image": path.name,
                        "channel": channel,
                        "rate": rate,
                        "fill": fill,
                        "packets": len(packets),
                        "lost_packets": sum(lost),
                        "lost_indices": round(received.lost.float().mean().item(), 6),
                        "bytes": len(data),
                        "packet_bytes": sum(map(len, packets)),
                        "psnr_to_loss_free": round(error, 4) if np.isfinite(error) else None,
                        **{k: round(v, 6) for k, v in distances(received.picture).items()},
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


def as_text(report: dict[str, Any]) -> str:
    """A report as JSON, with a line for each row of ``images``: there are a thousand."""
    head = json.dumps({k: v for k, v in report.items() if k != "images"}, indent=1)
    rows = ",\n  ".join(json.dumps(row) for row in report["images"])
    return f'{head[:-2]},\n "images": [\n  {rows}\n ]\n}}\n'


def add_codec_arguments(parser: argparse.ArgumentParser) -> None:
    """What is sent, in which packets, and what restores it."""
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("-q", "--quality", type=int, default=9)
    parser.add_argument("--mtu", type=int, default=1200)
    parser.add_argument("--packets", type=int, default=16, help="at least so many of an image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--transformer", type=Path, help="weights of the fill 'transformer'")


def codec_of(arguments: argparse.Namespace) -> tuple[FileCodec, RasterTransformer | None]:
    """The codec of parsed :func:`add_codec_arguments`, and the transformer, now one of FILLS.

    Raises:
        CodecError: when weights cannot be read or do not fit each other.
    """
    if arguments.weights is None:
        weights = pretrained_weights("mao2024-vqgan-lite")
    else:
        weights = LadderWeights.load(arguments.weights)
    if arguments.quality not in weights.qualities:
        raise CodecError(f"these weights have qualities {weights.qualities}: give one with -q")
    prior = None if arguments.prior is None else PriorWeights.load(arguments.prior)
    codec = FileCodec(weights, prior=prior)
    if arguments.transformer is None:
        return codec, None
    transformer = RasterTransformer.load(arguments.transformer)
    transformer.check_fits(weights, arguments.quality)
    FILLS["transformer"] = transformer.fill
    return codec, transformer


def images_of(folder: Path) -> list[Path]:
    """The images in a folder, by name.

    Raises:
        CodecError: when there are none.
    """
    paths = [] if not folder.is_dir() else sorted(folder.iterdir())
    paths = [path for path in paths if path.suffix.lower() in ENDINGS]
    if not paths:
        raise CodecError(f"{folder} holds no images")
    return paths


def main(argv: list[str] | None = None) -> int:
    """Measure and write the results; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.loss", description=__doc__)
    add_codec_arguments(parser)
    parser.add_argument("--images", type=positive, help="only so many")
    parser.add_argument("--burst", type=float, default=3.0, help="mean packets of a burst")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args(argv)
    try:
        report = measure(arguments)
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in report["results"]:
        print(
            f"{row['channel']:7} {row['rate']:5.0%} {row['fill']:11} "
            f"lpips {row['lpips_to_loss_free']:.4f} {row['lpips_to_original']:.4f} "
            f"dists {row['dists_to_loss_free']:.4f} {row['dists_to_original']:.4f} "
            f"overhead {row['packet_bytes'] - row['bytes']:.0f} bytes"
        )
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all images, or those that an interrupted run has left, and write the report.

    Raises:
        CodecError: for images and weights that cannot be used.
    """
    if not 1 <= arguments.burst < math.inf:
        raise CodecError("--burst must be at least 1 packet, and finite")
    codec, transformer = codec_of(arguments)
    paths = images_of(arguments.folder)[: arguments.images]
    settings: dict[str, Any] = {
        "name": codec.weights.architecture,
        "fingerprint": codec.weights.fingerprint.hex(),
        "prior": None if codec.prior is None else codec.prior.fingerprint.hex(),
        "transformer": None if transformer is None else transformer.fingerprint.hex(),
        "coding": codec.coding,
        "quality": arguments.quality,
        "mtu": arguments.mtu,
        "at_least": arguments.packets,
        "burst": arguments.burst,
        "seed": arguments.seed,
    }
    unfinished = None
    if arguments.output:
        check_folder_of(arguments.output)
        unfinished = arguments.output.with_name(arguments.output.name + ".rows")
    finished = FinishedRows(unfinished, settings)
    rows: list[dict[str, Any]] = []
    metrics: PictureMetrics | None = None
    for path in tqdm(paths, disable=not sys.stderr.isatty(), unit="image"):
        key = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        found = finished.get(key)
        if found is None:
            metrics = metrics or SharedMetrics(METRICS)
            found = {"rows": measure_image(path, codec, arguments, metrics)}
            finished.add(key, found)
        rows += found["rows"]
    report = {
        **settings,
        "dataset": {"folder": arguments.folder.resolve().name, "images": len(paths)},
        "machine": describe_machine(),
        "results": averages(rows),
        "images": rows,
    }
    if arguments.output:
        write_atomically(arguments.output, as_text(report).encode())
        finished.remove()
    return report


if __name__ == "__main__":
    sys.exit(main())
