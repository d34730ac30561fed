"""Speed of our codecs against others, side by side in one run.

Every contestant is a process of its own (``speed_worker``), and they take turns: one round is
one run of each, on one picture, and ratios are taken within a round and their median reported,
because absolute times drift on shared machines.  Each run comes right after one that is not
counted: while the others work a process waits for many seconds, in which a virtual machine's host
may take its memory away, and to get it back costs the shortest runs the most.

    python -m benchmarks.speed [--picture kodim23.png] -o benchmarks/results/speed.json

With one thread: CompressAI's cheng2020-anchor (as its ``eval_model`` runs it) and libvvenc, each
against ours with one thread.  With ``--threads``: taming's modules.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.environment import ROOT
from benchmarks.speed_reference import load_ours, write_state
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.machine import describe_machine
from compressai_vq.networks.winograd import pays
from compressai_vq.picture import from_unit, read_picture, to_unit, write_picture
from compressai_vq.precision import for_inference
from compressai_vq.precision_names import PRECISIONS
from compressai_vq.pretrained import pretrained_weights

SIZE = (512, 768)
QUALITY = 9


class Contestant(NamedTuple):
    """A worker's name, and its threads (0: as many as the run is given)."""

    name: str
    threads: int = 0

    @property
    def key(self) -> str:
        """How results call it."""
        return f"{self.name}, one thread" if self.threads else self.name


LITE, LITE_1, PRIOR_1 = Contestant("lite"), Contestant("lite", 1), Contestant("lite-prior", 1)
TAMING, MAO = Contestant("taming"), Contestant("mao2024-vqgan")
CHENG, VVC = Contestant("cheng2020-anchor", 1), Contestant("vvc", 1)

PAIRS = (
    (LITE, TAMING),
    (LITE_1, CHENG),
    (PRIOR_1, CHENG),
    (LITE_1, VVC),
    (PRIOR_1, VVC),
    (MAO, TAMING),
)
"""Ours, and what it is compared with."""


def main(argv: list[str] | None = None) -> int:
    """Measure and write the results; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("-n", "--repeats", type=positive, default=5, help="rounds (default: 5)")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument(
        "--picture", type=Path, help="its upper left 768x512 pixels (default: a sample photograph)"
    )
    parser.add_argument("--without", default="", help="contestants to leave out, such as vvc")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of our networks (default: what is fast on this CPU)",
    )
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args(argv)
    try:
        if arguments.output:
            check_folder_of(arguments.output)
        report = measure(
            arguments.repeats,
            arguments.threads,
            arguments.picture,
            {name for name in arguments.without.split(",") if name},
            arguments.precision,
        )
        text = json.dumps(report, indent=1) + "\n"
        if arguments.output:
            write_atomically(arguments.output, text.encode())
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text, end="")
    return 0


def measure(
    repeats: int,
    threads: int,
    source: Path | None = None,
    without: set[str] | None = None,
    precision: str = "auto",
) -> dict[str, Any]:
    """All contestants' medians, and the ratios of :data:`PAIRS`.

    Args:
        repeats: rounds.
        threads: of contestants that are not compared on one thread.
        source: the picture; by default a sample photograph that scikit-learn ships.
        without: names of contestants to leave out.
        precision: of our networks, as :func:`.for_inference` takes it.

    Raises:
        CodecError: when a contestant fails.
    """
    known = {contestant.name for pair in PAIRS for contestant in pair}
    if unknown := (without or set()) - known:
        raise CodecError(f"unknown contestant {', '.join(unknown)}; known: {', '.join(known)}")
    pairs = [p for p in PAIRS if not {p[0].name, p[1].name} & (without or set())]
    contestants = list(dict.fromkeys([LITE, *(one for pair in pairs for one in pair)]))
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        runs = _rounds(contestants, repeats, threads, source, Path(folder), precision)
        both = {TAMING, MAO} <= set(contestants)
        fidelity = _fidelity(Path(folder), precision) if both else None
    return {
        **_facts(threads, repeats, precision),
        **_lite_facts(runs),
        **_summary(runs, pairs, fidelity),
    }


def _rounds(
    contestants: list[Contestant],
    repeats: int,
    threads: int,
    source: Path | None,
    folder: Path,
    precision: str,
) -> dict[Contestant, list[dict[str, Any]]]:
    picture = folder / "picture.png"
    sample = files("sklearn.datasets").joinpath("images", "china.jpg")
    pixels = read_picture(source or Path(str(sample)), 1 << 27)
    write_picture(picture, _cut(pixels))
    if {TAMING, MAO} & set(contestants):
        write_state(folder / "state.pt", to_unit(read_picture(picture, 1 << 22)))
    runs: dict[Contestant, list[dict[str, Any]]] = {one: [] for one in contestants}
    with contextlib.ExitStack() as stack:
        workers: dict[Contestant, Worker] = {}
        for n in range(repeats):
            for one in contestants:
                if one not in workers:
                    # VVC, which comes later, wants to know how many.
                    size = runs[LITE][0]["bytes"] if runs[LITE] else 0
                    workers[one] = stack.enter_context(
                        worker(one, folder, one.threads or threads, size, precision)
                    )
                result = workers[one].run()
                runs[one].append(result)
                print(f"round {n}: {one.key}: {result['seconds']:.3f} s", file=sys.stderr)
    return runs


def _cut(pixels: Tensor) -> Tensor:
    """The upper left part of the size wanted; smaller pictures are enlarged first."""
    height, width = SIZE
    scale = max(height / pixels.shape[1], width / pixels.shape[2])
    if scale > 1:
        unit = F.interpolate(to_unit(pixels), scale_factor=scale + 1e-3, mode="bicubic")
        pixels = from_unit(unit)
    return pixels[:, :height, :width]


class Worker:
    """A contestant's process."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self._process, self._name = process, name

    def run(self) -> dict[str, Any]:
        """One run of it.

        Raises:
            CodecError: when it has ended instead.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise CodecError(f"{self._name} failed: its last words are above")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


@contextlib.contextmanager
def worker(
    one: Contestant, folder: Path, threads: int, size: int, precision: str = "auto"
) -> Iterator[Worker]:
    """Start a contestant; it ends with the context."""
    command = [sys.executable, "-m", "benchmarks.speed_worker", one.name]
    command += [str(folder / "picture.png"), "--threads", str(threads), "--bytes", str(size)]
    command += ["--state", str(folder / "state.pt"), "--keep", str(folder / f"{one.name}.pt")]
    command += ["--quality", str(QUALITY), "--precision", precision]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
    contestant = Worker(process, one.name)
    try:
        yield contestant
    finally:
        contestant.close()


@torch.inference_mode()
def _fidelity(folder: Path, precision: str) -> dict[str, float]:
    """How near our output is to theirs, and how many of the indices are the same.

    Decoded from the same indices, which is what a file's decoder does; and with each one's own,
    where a latent half-way between two codewords goes to either.
    """
    ours, theirs = (torch.load(folder / f"{one.name}.pt") for one in (MAO, TAMING))
    expected = from_unit(theirs["decoded"])
    decoded = load_ours(folder / "state.pt", precision).decode(theirs["indices"])
    return {
        "psnr": psnr(from_unit(decoded), expected),
        "psnr_with_own_indices": psnr(from_unit(ours["decoded"]), expected),
        "same_indices": (ours["indices"] == theirs["indices"]).double().mean().item(),
    }


def _facts(threads: int, repeats: int, precision: str) -> dict[str, Any]:
    weights = pretrained_weights("mao2024-vqgan-lite")
    lite = for_inference(weights.codec(QUALITY), precision=precision)
    networks = (lite.encoder, lite.decoder)
    return {
        "image": f"{SIZE[1]}x{SIZE[0]}",
        "machine": describe_machine() | {"threads": threads},
        "fingerprint": weights.fingerprint.hex(),
        "lite_dtype": str(next(lite.encoder.parameters()).dtype).removeprefix("torch."),
        "lite_by_winograd": pays(
            lite.encoder.get_parameter("stem.weight"), SIZE[0] // 4, SIZE[1] // 4
        ),
        "lite_parameters": sum(p.numel() for m in networks for p in m.parameters()),
        "repeats": repeats,
        "warm": True,  # each run right after another
        "vvc_still": True,  # not as the first picture of a sequence
    }


def _lite_facts(runs: dict[Contestant, list[dict[str, Any]]]) -> dict[str, Any]:
    """What is outside the networks, and how near these come to a matrix product."""
    facts: dict[str, Any] = {"outside_networks": {}, "of_matmul": {}}
    for one in (LITE, LITE_1, PRIOR_1):
        if not runs.get(one):
            continue
        facts["outside_networks"][one.key] = spread([run["outside_share"] for run in runs[one]])
        facts["of_matmul"][one.key] = {
            "flops": runs[one][0]["flops"],
            "matmul_flops_per_second": statistics.median(
                run["matmul_flops_per_second"] for run in runs[one]
            ),
            **spread(
                [
                    run["flops"] / run["networks"] / run["matmul_flops_per_second"]
                    for run in runs[one]
                ]
            ),
        }
    return facts


def _summary(
    runs: dict[Contestant, list[dict[str, Any]]],
    pairs: list[tuple[Contestant, Contestant]],
    fidelity: dict[str, float] | None,
) -> dict[str, Any]:
    """Medians of the contestants, ratios of the pairs."""
    seconds = {one: [run["seconds"] for run in results] for one, results in runs.items()}
    median = {one.key: statistics.median(values) for one, values in seconds.items()}
    median["lite_whole"] = median["lite"]
    median["lite"] = statistics.median(run["networks"] for run in runs[LITE])
    summary: dict[str, Any] = {
        "median_seconds": median,
        "peak_mib": {one.key: max(r["peak_mib"] for r in runs[one]) for one in runs},
        "bytes": {one.key: rs[0]["bytes"] for one, rs in runs.items() if "bytes" in rs[0]},
        "pairs": [
            {
                "ours": ours.key,
                "against": other.key,
                "ratio": spread(
                    [b / a for a, b in zip(seconds[ours], seconds[other], strict=True)]
                ),
            }
            for ours, other in pairs
        ],
    }
    if TAMING in seconds:
        networks = [run["networks"] for run in runs[LITE]]
        ratios = [a / b for a, b in zip(seconds[TAMING], networks, strict=True)]
        summary["taming_over_lite"] = spread(ratios)
    if fidelity is not None:
        summary["fidelity"] = fidelity
    return summary


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    sys.exit(main())
