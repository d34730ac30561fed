"""Encode and decode times of the lite pair against taming's, side by side in one run.

Both see the same 768x512 image in turn, network against network: taming's modules in fp32 as
published, the lite pair as the command line runs it.  Ratios are taken run by run and their
median is reported, because absolute times drift on shared machines.

    python -m benchmarks.speed -o benchmarks/results/speed.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressai_vq.architectures import Mao2024VQGAN
from compressai_vq.codec import VQGANCodec
from compressai_vq.machine import describe_machine
from compressai_vq.precision import for_inference
from compressai_vq.pretrained import pretrained_weights

SIZE = (512, 768)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    report = measure(arguments.repeats)
    text = json.dumps(report, indent=1) + "\n"
    if arguments.output:
        arguments.output.write_text(text)
    print(text, end="")


def measure(repeats: int) -> dict[str, Any]:
    """Medians and ratios of ``repeats`` pairs of runs, after a warm-up of each."""
    weights = pretrained_weights("mao2024-vqgan-lite")
    lite = for_inference(weights.codec(9))
    taming = for_inference(Mao2024VQGAN(1024), precision="fp32")
    x = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {"lite": [], "taming": [], "lite_whole": []}
    for n in range(repeats + 1):
        row = {
            "taming": _seconds(lambda: _networks(taming, x)),
            "lite": _seconds(lambda: _networks(lite, x)),
            "lite_whole": _seconds(lambda: lite.decompress(**lite.compress(x))),
        }
        if n:  # the first is the warm-up
            for name, seconds in row.items():
                times[name].append(seconds)
    ratios = [a / b for a, b in zip(times["taming"], times["lite"], strict=True)]
    return {
        "image": f"{SIZE[1]}x{SIZE[0]}",
        "machine": describe_machine(),
        "fingerprint": weights.fingerprint.hex(),
        "lite_dtype": str(next(lite.encoder.parameters()).dtype).removeprefix("torch."),
        "lite_parameters": sum(
            p.numel() for m in (lite.encoder, lite.decoder) for p in m.parameters()
        ),
        "repeats": repeats,
        "median_seconds": {name: statistics.median(values) for name, values in times.items()},
        "taming_over_lite": {
            "median": statistics.median(ratios),
            "min": min(ratios),
            "max": max(ratios),
        },
    }


def _networks(codec: VQGANCodec, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return codec.decode(codec.encode(x))


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
