"""That no quality was lost to speed: the pictures of an earlier commit's code and of today's.

    python -m benchmarks.unchanged KODAK --against COMMIT -o benchmarks/results/unchanged.json

Both codes compress and decompress the same pictures with the earlier commit's weights, which
both can read, by frequencies, on one thread, at every quality; in bf16 where the CPU is fast at
it, and in fp32, where sums are rounded so finely that other orders of adding turn hardly an index.
Counted is how many files and decoded pictures are the same to the byte; LPIPS (AlexNet) is the
mean of each.
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.earlier_commit import CODE, Earlier, run_against
from benchmarks.environment import ROOT
from benchmarks.shared_metrics import Measure, remembering
from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.metrics.picture_metrics import PictureMetrics
from compressai_vq.picture import read_picture
from compressai_vq.precision import prefers_bf16

WORKER = Path(__file__).with_name("unchanged_worker.py")


def run_worker(
    code: Path, weights: Path, pictures: list[Path], output: Path, precision: str
) -> None:
    """Code the pictures with the package that is in a folder, in ``"bf16"`` or ``"fp32"``.

    Raises:
        CodecError: when it fails, or another package was used.
    """
    output.mkdir()
    command = [sys.executable, "-W", "ignore", str(WORKER)]
    done = subprocess.run(
        [*command, precision, *map(str, (weights, output, *pictures))],
        env={**os.environ, "PYTHONPATH": str(code), "COMPRESSAI_VQ_AUTOLOAD": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CodecError(f"{code}: {done.stderr.strip().splitlines()[-1]}")
    used = Path(done.stdout.strip())
    if used != code / CODE:
        raise CodecError(f"the code in {used} was used, not that in {code}")


def compare(pictures: list[Path], before: Path, after: Path) -> dict[str, Any]:
    """How many files and pictures are the same, and both means of LPIPS at each quality."""
    metrics = PictureMetrics(["lpips"])
    lpips: dict[int, list[tuple[float, float]]] = {}
    same_files = same_pictures = 0
    for path in tqdm(pictures, disable=not sys.stderr.isatty(), unit="image"):
        measure = remembering(metrics.against(read_picture(path, 1 << 25)))
        made = sorted(before.glob(f"{glob.escape(path.stem)}.q*.cvq"))
        if not made:
            raise CodecError(f"{path}: the earlier code made no file of it")
        for file in made:
            other = after / file.name
            same_files += file.read_bytes() == other.read_bytes()
            decoded = [np.load(one.with_suffix(".npy")) for one in (file, other)]
            same_pictures += bool(np.array_equal(*decoded))
            quality = int(file.stem.rpartition(".q")[2])
            figures = (_lpips(measure, decoded[0]), _lpips(measure, decoded[1]))
            lpips.setdefault(quality, []).append(figures)
    means = {q: np.mean(values, axis=0).round(6).tolist() for q, values in sorted(lpips.items())}
    return {
        "files": sum(map(len, lpips.values())),
        "same_files": same_files,
        "same_pictures": same_pictures,
        "lpips_before": {q: both[0] for q, both in means.items()},
        "lpips_after": {q: both[1] for q, both in means.items()},
    }


def as_sentence(report: dict[str, Any]) -> str:
    """What was found, in words."""
    found = "; ".join(map(_found, report["formats"].items()))
    return (
        f"Files of {report['dataset'].capitalize()} ({report['images']} images at all qualities), "
        f"written and read by the code of commit `{report['before'][:7]}`, before tiles and the "
        f"other work on speed, and by this one: {found}. Weights `{report['fingerprint'][:16]}`, "
        f"that commit's; {report['machine']['cpu']}."
    )


def _found(entry: tuple[str, dict[str, Any]]) -> str:
    precision, found = entry
    files = found["files"]
    if found["same_files"] == found["same_pictures"] == files:
        return f"in {precision} all {files} and their pictures are the same to the byte"
    before, after = found["lpips_before"].values(), found["lpips_after"].values()
    pairs = list(zip(before, after, strict=True))
    most = max(abs(old - new) for old, new in pairs)
    equal = sum(f"{old:.3f}" == f"{new:.3f}" for old, new in pairs)
    return (
        f"in {precision} {found['same_files']} of {files} and {found['same_pictures']} of their "
        "pictures are the same to the byte, since sums are rounded otherwise than then, which can "
        f"turn an index; mean LPIPS differs by {most:.6f} at most and rounds to the same three "
        f"decimals at {equal} of {len(pairs)} qualities"
    )


def measure(earlier: Earlier, pictures: list[Path]) -> dict[str, Any]:
    """Run both codes in every number format and compare what they made."""
    fingerprint = LadderWeights.load(earlier.weights).fingerprint.hex()
    formats = {}
    for precision in ("bf16", "fp32") if prefers_bf16("cpu") else ("fp32",):
        with tempfile.TemporaryDirectory() as name:
            before, after = Path(name) / "before", Path(name) / "after"
            run_worker(earlier.code, earlier.weights, pictures, before, precision)
            run_worker(ROOT, earlier.weights, pictures, after, precision)
            formats[precision] = compare(pictures, before, after)
    return {"before": earlier.commit, "fingerprint": fingerprint, "formats": formats}


def main(argv: list[str] | None = None) -> int:
    """Measure and write the results; returns the exit code."""
    return run_against("python -m benchmarks.unchanged", __doc__, argv, measure)


def _lpips(measure: Measure, decoded: np.ndarray) -> float:
    return measure(torch.from_numpy(decoded).permute(2, 0, 1))["lpips"]


if __name__ == "__main__":
    sys.exit(main())
