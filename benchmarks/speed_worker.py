"""One contestant of the speed table, in a process of its own: two runs for every line it reads.

The first of the two is not counted: it brings memory and caches back after the wait.

A process each, because how torch takes memory is set for a whole process, and so that peak memory
is a contestant's own.  While one runs the others wait for their line.

    python -m benchmarks.speed_worker lite picture.png [--threads 2] < lines
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compressai_vq.argument_parser import ArgumentParser

if TYPE_CHECKING:
    import torch

OURS = ("lite", "lite-prior", "mao2024-vqgan")
Run = Callable[[], dict[str, Any]]


def main() -> None:
    """Make the contestant, then run it for every line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(_CONTESTANTS))
    parser.add_argument("picture", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quality", type=int, default=9, help="of ours")
    parser.add_argument("--precision", default="auto", help="of ours")
    parser.add_argument("--bytes", type=int, default=0, help="most that VVC's file may have")
    parser.add_argument("--state", type=Path, help="of taming's modules")
    parser.add_argument("--keep", type=Path, help="where to leave what was decoded")
    arguments = parser.parse_args()
    if arguments.name in OURS:  # as our command line starts
        from compressai_vq.cli.quick_start import set_environment

        set_environment()
    import torch

    torch.set_num_threads(arguments.threads)
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print shall not come between the results
    with torch.inference_mode():
        run = _CONTESTANTS[arguments.name](arguments)
        for _ in sys.stdin:
            run()
            result = run()
            result["peak_mib"] = _peak_mib()
            print(json.dumps(result), file=results, flush=True)


def _peak_mib() -> float:
    """This process's peak memory; getrusage would count its parent's before it, too."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _lite(arguments: argparse.Namespace) -> Run:
    """Compress and decompress complete files; also the networks' part of the time."""
    from compressai_vq.file_codec import FileCodec
    from compressai_vq.picture import read_picture, to_unit
    from compressai_vq.pretrained import pretrained_weights

    coding = "prior" if arguments.name == "lite-prior" else "frequencies"
    weights = pretrained_weights("mao2024-vqgan-lite")
    codec = FileCodec(weights, precision=arguments.precision, coding=coding)
    picture = read_picture(arguments.picture, codec.max_pixels)
    networks = codec.codec(arguments.quality)
    x = to_unit(picture)
    flops = _count(lambda: networks.decode(networks.encode(x)))
    number_format = next(networks.decoder.parameters()).dtype
    clock = _Clock()
    for network in (networks.encoder, networks.decoder):
        network.register_forward_pre_hook(clock.start)
        network.register_forward_hook(clock.stop)

    def run() -> dict[str, Any]:
        clock.seconds = 0.0
        started = time.perf_counter()
        data = codec.compress(picture, arguments.quality)
        codec.decompress(data)
        seconds = time.perf_counter() - started
        inside = clock.seconds
        return {
            "seconds": seconds,
            "networks": inside,
            "outside_share": 1 - inside / seconds,
            "bytes": len(data),
            "flops": flops,
            "matmul_flops_per_second": _matmul(number_format),
        }

    return run


class _Clock:
    """Seconds spent in the modules whose hooks it serves."""

    def __init__(self) -> None:
        self.seconds = self._started = 0.0

    def start(self, *_: Any) -> None:
        self._started = time.perf_counter()

    def stop(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._started


def _count(work: Callable[[], Any]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    work()  # what is done only once is not counted
    # Winograd's filtering counts as the direct convolution that it stands for: while operations
    # are counted, these are done.
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


_SIDE = 2048


def _matmul(number_format: torch.dtype) -> float:
    """FLOP/s of a large matrix product: the best of three."""
    import torch

    a = torch.ones(_SIDE, _SIDE, dtype=number_format)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * _SIDE**3 / best


def _taming(arguments: argparse.Namespace) -> Run:
    """Encode and decode, by taming's own modules or by ours with the same weights."""
    import torch

    from benchmarks import speed_reference
    from compressai_vq.picture import read_picture, to_unit

    model: Any
    if arguments.name == "taming":
        model = speed_reference.load_published(arguments.state)
    else:
        model = speed_reference.load_ours(arguments.state, arguments.precision)
    x = to_unit(read_picture(arguments.picture, 1 << 22))
    x = x[..., : x.shape[-2] // 16 * 16, : x.shape[-1] // 16 * 16]

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        indices = model.encode(x)
        decoded = model.decode(indices)
        seconds = time.perf_counter() - started
        if not arguments.keep.exists():
            torch.save({"indices": indices, "decoded": decoded}, arguments.keep)
        return {"seconds": seconds}

    return run


def _cheng2020(arguments: argparse.Namespace) -> Run:
    """CompressAI's cheng2020-anchor, as eval_model runs it; random weights of quality 3."""
    import torch
    from compressai.zoo import cheng2020_anchor

    from compressai_vq.picture import read_picture, to_unit

    torch.manual_seed(0)
    net = cheng2020_anchor(3, pretrained=False).eval()
    net.update(force=True)
    # Its strides ask for sides of multiples of 64.
    x = to_unit(read_picture(arguments.picture, 1 << 22))
    x = x[..., : x.shape[-2] // 64 * 64, : x.shape[-1] // 64 * 64]

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        net.decompress(**net.compress(x))
        return {"seconds": time.perf_counter() - started}

    return run


def _vvc(arguments: argparse.Namespace) -> Run:
    """libvvenc, preset medium, and ffmpeg's decoder, in a file of at most ``--bytes``."""
    from compressai_vq.picture import read_picture
    from plugins.still_codecs.vvc import VVC

    codec = VVC()
    picture = read_picture(arguments.picture, 1 << 22)
    low, high = 30, 63  # sizes fall as QP rises
    while low < high:
        middle = (low + high) // 2
        if len(codec.compress(picture, middle)) > arguments.bytes:
            low = middle + 1
        else:
            high = middle
    quality = low

    def run() -> dict[str, Any]:
        started = time.perf_counter()
        data = codec.compress(picture, quality)
        codec.decompress(data)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "bytes": len(data), "quality": quality}

    return run


_CONTESTANTS: dict[str, Callable[[argparse.Namespace], Run]] = {
    "lite": _lite,
    "lite-prior": _lite,
    "mao2024-vqgan": _taming,
    "taming": _taming,
    "cheng2020-anchor": _cheng2020,
    "vvc": _vvc,
}


if __name__ == "__main__":
    main()
