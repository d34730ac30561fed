"""Time and memory of the command line from 0.4 to 100 megapixels.

    python -m benchmarks.large -o benchmarks/results/large.json

Pictures are sample photographs that scikit-learn ships, scaled up, with film grain so that no
area is as smooth as scaling leaves it; they are JPEG files, and come back as PNG.  Every run
is a process of its own, start included, of which the system reports time and peak memory.

Ratios are seconds per pixel against those of the smallest: 1 where cost grows as the pixels
do, less where it grows more slowly.  Of whole processes, and of coding alone (networks and
index coder, as the command's ``--json`` tells it), in which no start hides what large images
cost.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.errors import CodecError

# Nothing heavy is imported here: a process that is started counts, as its own peak, what the
# one that starts it occupies.

SIZES = ((768, 512), (1536, 1024), (3072, 2048), (6144, 4096), (12288, 8192))
"""Width and height: 0.4, 1.6, 6.3, 25 and 101 megapixels."""

REFERENCE = SIZES[0]
CODINGS = ("frequencies", "prior")
QUALITY = 9
GRAIN = 4.0  # standard deviation, in grey levels
_ROWS = 256


def main() -> int:
    """Measure and write the results; returns the exit code."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--repeats", type=positive, default=3, help="of all but the largest")
    parser.add_argument("--largest", type=positive, default=len(SIZES), help="number of sizes")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.output:
            check_folder_of(arguments.output)
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES[: arguments.largest]:
            source = Path(folder, f"{width}x{height}.jpg")
            _in_another_process(source, width, height)
            repeats = 1 if (width, height) == SIZES[-1] else arguments.repeats
            for coding in CODINGS:
                row = measure(source, coding, repeats)
                rows.append({"width": width, "height": height, "coding": coding, **row})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            source.unlink()
    from compressai_vq.machine import describe_machine
    from compressai_vq.pretrained import pretrained_weights

    report = {
        "machine": {**describe_machine(), "cores": os.cpu_count()},
        "fingerprint": pretrained_weights("mao2024-vqgan-lite").fingerprint.hex(),
        "quality": QUALITY,
        "repeats": arguments.repeats,
        "rows": with_ratios(rows),
    }
    text = json.dumps(report, indent=1) + "\n"
    if arguments.output:
        write_atomically(arguments.output, text.encode())
    print(text, end="")
    return 0


def measure(source: Path, coding: str, repeats: int) -> dict[str, Any]:
    """Compress and decompress a picture by the command line.

    Args:
        source: the image file; what comes of it is written beside it.
        coding: of the indices.
        repeats: how often; times are medians, peaks maxima.

    Returns:
        Bytes of the file and, of either command, a dictionary as :func:`run` gives it.
    """
    small, back = source.with_suffix(".cvq"), source.with_suffix(".png")
    compress = ["compress", source, "-o", small, "-q", QUALITY, "--coding", coding]
    commands = {"compress": compress, "decompress": ["decompress", small, "-o", back]}
    row: dict[str, Any] = {}
    for name, command in commands.items():
        runs = [run([*map(str, command), "--force", "--json"]) for _ in range(repeats)]
        row[name] = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        row[name]["peak_mib"] = max(r["peak_mib"] for r in runs)
    row["bytes"] = small.stat().st_size
    small.unlink()
    back.unlink()
    return row


def run(arguments: list[str]) -> dict[str, float]:
    """Run the command line once.

    Returns:
        ``seconds`` and ``cpu_seconds`` of the whole process, ``coding_seconds`` of networks
        and index coder, and ``peak_mib``, the most memory that it occupied, in MiB.

    Raises:
        subprocess.CalledProcessError: when it fails; its message is on standard error.
    """
    command = [sys.executable, "-m", "compressai_vq.cli", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.perf_counter() - started
    (result,) = json.loads(printed)
    kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "coding_seconds": result["seconds"],
        "peak_mib": kib / 1024,
    }


def with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with ``ratio`` and ``coding_ratio`` in each command's part.

    Seconds per pixel, whole and of coding alone, divided by those of the reference size in the
    same coding; where that was not measured, rows stay as they are.
    """
    references = {r["coding"]: r for r in rows if (r["width"], r["height"]) == REFERENCE}
    found = []
    for row in rows:
        row = {**row}
        if reference := references.get(row["coding"]):
            pixels = row["width"] * row["height"] / (REFERENCE[0] * REFERENCE[1])
            for name in ("compress", "decompress"):
                ours, theirs = row[name], reference[name]
                row[name] = {
                    **ours,
                    "ratio": ours["seconds"] / theirs["seconds"] / pixels,
                    "coding_ratio": ours["coding_seconds"] / theirs["coding_seconds"] / pixels,
                }
        found.append(row)
    return found


def make_picture(path: Path, width: int, height: int) -> None:
    """Write a picture that looks like a photograph; the same for the same size."""
    import numpy as np
    from PIL import Image

    sample = files("sklearn.datasets").joinpath("images", "china.jpg")
    with Image.open(str(sample)) as photograph:
        large = photograph.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    random = np.random.default_rng(0)
    for top in range(0, height, _ROWS):
        box = (0, top, width, min(top + _ROWS, height))
        pixels = np.asarray(large.crop(box), np.float32)
        grain = GRAIN * random.standard_normal(pixels.shape[:2], np.float32)[..., None]
        rows = (pixels + grain).round().clip(0, 255).astype(np.uint8)
        large.paste(Image.fromarray(rows), box)
    large.save(path, quality=90)


def _in_another_process(path: Path, width: int, height: int) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=make_picture, args=(path, width, height))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the picture of {width}x{height} could not be made")


if __name__ == "__main__":
    sys.exit(main())
