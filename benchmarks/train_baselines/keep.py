"""Keeps how the retrained baselines were trained, for the tables that show their figures.

    python -m benchmarks.train_baselines.keep --runs runs/baselines

Writes ``benchmarks/results/baselines.json`` from what each operating point's training left
beside its weights (see :class:`.run.BaselineRun`): crops seen so far, hours, and the rate that
the training crops had in the end.  Baselines that the folder has no run of stay as they were
kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError

STORED = ROOT / "benchmarks" / "results" / "baselines.json"


def keep(runs: Path, stored: Path = STORED) -> dict[str, list[dict[str, Any]]]:
    """Summarise ``runs/NAME/NAME-TARGET.json`` in one file.

    Args:
        runs: ``--runs`` of ``python -m benchmarks.train_baselines``.
        stored: the file to write.

    Returns:
        What was written: codec, such as ``hific-lowrate``, to its operating points in the order
        of training.

    Raises:
        CodecError: when there are none, or one of the files is not such a description; when
            what was kept earlier cannot be read.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(runs.glob("*/*.json")):
        found.setdefault(f"{path.parent.name}-lowrate", []).append(_operating_point(path))
    if not found:
        raise CodecError(f"{runs} has no NAME/NAME-TARGET.json: run benchmarks.train_baselines")
    for points in found.values():
        points.sort(key=lambda point: point["crops"])
    try:
        earlier = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    except ValueError as error:
        raise CodecError(f"{stored} is damaged ({error}): remove it") from None
    kept = dict(sorted({**earlier, **found}.items()))
    write_atomically(stored, (json.dumps(kept, indent=1) + "\n").encode())
    return kept


def _operating_point(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        same = ("target_bpp", "crops", "hours", "parameters", "photographs", "commits")
        return {
            **{name: facts[name] for name in same},
            "training_bpp": facts["training"]["bpp"],
            "crop_side": facts["settings"]["crop"],
        }
    except OSError as error:
        raise CodecError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise CodecError(f"{path} does not describe a training ({reason})") from None


def main(argv: list[str] | None = None) -> int:
    """Keep; returns the exit code, 2 after one line about unusable input."""
    parser = ArgumentParser(prog="python -m benchmarks.train_baselines.keep")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("-o", "--output", type=Path, default=STORED, metavar="FILE")
    arguments = parser.parse_args(argv)
    try:
        kept = keep(arguments.runs, arguments.output)
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{len(points)} of {codec}" for codec, points in kept.items())
    print(f"{arguments.output}: {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
