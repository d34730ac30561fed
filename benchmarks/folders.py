"""A folder of pictures one by one against several at once: ``python -m benchmarks.folders``.

The whole commands in one process that has loaded everything: ``compress`` and ``decompress`` of
one folder with ``--jobs 1``, which leaves all of torch's threads to one picture, and with other
numbers of workers, which share them.  They take turns in each repeat, in an order that changes;
ratios are taken within a repeat and their median is reported, because absolute times drift on
shared machines.  The files that come out are compared: all must be the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.environment import ROOT
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.cli.__main__ import main as command_line
from compressai_vq.codings import CODINGS
from compressai_vq.errors import CodecError
from compressai_vq.machine import describe_machine
from compressai_vq.pipeline import usable_cores, worker_count

RESULTS = ROOT / "benchmarks" / "results" / "folders.json"
SIZE = (768, 512)


def make_folder(folder: Path, count: int) -> None:
    """So many JPEG files of 768x512, cut from the two photographs that scikit-learn ships."""
    photographs: list[Image.Image] = []
    for name in ("china.jpg", "flower.jpg"):
        with Image.open(str(files("sklearn.datasets").joinpath("images", name))) as image:
            photographs.append(image.convert("RGB").resize((1280, 854), Image.Resampling.LANCZOS))
    folder.mkdir(parents=True)
    draw = random.Random(0)
    for n in range(count):
        whole = photographs[n % 2]
        left = draw.randrange(whole.width - SIZE[0])
        top = draw.randrange(whole.height - SIZE[1])
        cut = whole.crop((left, top, left + SIZE[0], top + SIZE[1]))
        cut.save(folder / f"{n:04}.jpg", quality=92)


def measure(sources: Path, jobs: list[int], repeats: int, options: list[str]) -> dict[str, Any]:
    """Times of each number of workers, and ratios to one, after a warm-up of each.

    Raises:
        RuntimeError: when a command fails or its files are not those of one worker.
    """
    times: dict[str, dict[int, list[float]]] = {
        name: {count: [] for count in jobs} for name in ("compress", "decompress")
    }
    processor = {count: [0.0, 0.0] for count in jobs}
    digests: set[str] = set()
    order = random.Random(0)
    for repeat in range(repeats + 1):
        for count in order.sample(jobs, len(jobs)):
            with tempfile.TemporaryDirectory() as temporary:
                streams, pictures = Path(temporary, "cvq"), Path(temporary, "png")
                steps = {
                    "compress": ["compress", str(sources), "-o", str(streams), *options],
                    "decompress": ["decompress", str(streams), "-o", str(pictures)],
                }
                begun = time.process_time()
                total = 0.0
                for name, step in steps.items():
                    seconds = _seconds([*step, "--jobs", str(count)])
                    total += seconds
                    if repeat:  # the first is the warm-up
                        times[name][count].append(seconds)
                if repeat:
                    processor[count][0] += time.process_time() - begun
                    processor[count][1] += total
                digests.add(_digest(Path(temporary)))
    if len(digests) != 1:
        raise RuntimeError("the files depend on the number of workers")
    both = {c: [a + b for a, b in zip(times["compress"][c], times["decompress"][c], strict=True)]
            for c in jobs}  # fmt: skip
    return {
        "jobs": {
            str(count): {
                "compress_seconds": statistics.median(times["compress"][count]),
                "decompress_seconds": statistics.median(times["decompress"][count]),
                "cores_busy": round(processor[count][0] / processor[count][1], 3),
                "times_faster": {
                    "compress": _ratio(times["compress"][1], times["compress"][count]),
                    "decompress": _ratio(times["decompress"][1], times["decompress"][count]),
                    "both": _ratio(both[1], both[count]),
                },
            }
            for count in jobs
        },
        "files_identical": True,
    }


def _ratio(one_by_one: list[float], at_once: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(one_by_one, at_once, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3),
        "min": round(min(ratios), 3),
        "max": round(max(ratios), 3),
    }


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = command_line(command)
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return time.perf_counter() - started


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the result as JSON, and print it."""
    parser = ArgumentParser(prog="python -m benchmarks.folders", description=__doc__)
    parser.add_argument("-n", "--pictures", type=positive, default=48)
    parser.add_argument("-r", "--repeats", type=positive, default=5)
    parser.add_argument("-q", "--quality", type=int, default=5, choices=range(1, 10))
    parser.add_argument("--coding", choices=CODINGS, help="as of compress")
    parser.add_argument("--jobs", help="numbers of workers beside 1 (default: the default one)")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    default = worker_count(None, options.pictures)
    try:
        check_folder_of(options.output)
        asked = [positive(count) for count in options.jobs.split(",")] if options.jobs else []
    except (CodecError, argparse.ArgumentTypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    coding = ["--coding", options.coding] if options.coding else []
    machine = {**describe_machine(), "cores": usable_cores()}
    if hasattr(os, "getloadavg"):
        machine["load_average_before"] = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as temporary:
        sources = Path(temporary, "pictures")
        make_folder(sources, options.pictures)
        arguments_of_all = ["-q", str(options.quality), *coding]
        jobs = list(dict.fromkeys([1, *(asked or [default])]))
        measured = measure(sources, jobs, options.repeats, arguments_of_all)
    report = {
        "what": "a folder with --jobs 1 against more, whole commands in one process",
        "pictures": options.pictures,
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "quality": options.quality,
        "coding": options.coding or "default",
        "repeats": options.repeats,
        "default_jobs": default,
        "machine": machine,
        **measured,
    }
    text = json.dumps(report, indent=1) + "\n"
    write_atomically(options.output, text.encode())
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
