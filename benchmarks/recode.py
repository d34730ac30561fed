"""Files by the packaged index prior, of pictures that are measured already.

    python -m benchmarks.recode --dataset clic2025-8=DIR [--results FOLDER]

A prior changes files and not pictures, so that a new one need not wait for the metrics.
``<dataset>/mao2024-vqgan-lite-prior.json`` is written: bytes and times of now, the pictures'
figures from ``mao2024-vqgan-lite.json`` beside it.  Each picture is decoded, and has to be as far
from its original as it was then; to ``TOLERANCE``, because networks round in other ways on other
CPUs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.codecs import BY_PRIOR, MAX_PIXELS, OURS, fingerprint, make_codec
from benchmarks.compare import RESULTS, Contestant, Dataset, named_dataset, result
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import code_picture, psnr
from compressai_vq.picture import read_picture
from plugins.still_codecs.still_picture import StillPictureCodec

TOLERANCE = 0.1
"""Of a picture's PSNR, in dB."""


def main(argv: list[str] | None = None) -> int:
    """Recode; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.recode", description=__doc__)
    parser.add_argument("--dataset", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        codec = make_codec(BY_PRIOR)
        for text in arguments.dataset:
            dataset = named_dataset(text)
            folder = arguments.results / dataset.name
            measured = folder / f"{OURS}.json"
            try:
                report = recode(codec, dataset, json.loads(measured.read_text()))
            except (KeyError, TypeError, AttributeError) as error:
                raise CodecError(f"{measured} is not a result file ({error!r})") from None
            target = folder / f"{BY_PRIOR}.json"
            write_atomically(target, (json.dumps(report, indent=1) + "\n").encode())
            rates = report["results"]["bpp"]
            print(f"{target}: {min(rates):.4f} to {max(rates):.4f} bpp")
    except (CodecError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def recode(codec: StillPictureCodec, dataset: Dataset, measured: dict[str, Any]) -> dict[str, Any]:
    """The contents of a result file.

    Args:
        codec: ours, by the prior.
        dataset: the images.
        measured: the contents of the file by frequencies.

    Raises:
        CodecError: when that is of other weights or images, or a picture differs.
    """
    if measured["fingerprint"] != fingerprint(codec):
        raise CodecError(f"{dataset.name}: measured with other weights: run benchmarks.compare")
    known = {(row["image"], row["quality"]): row for row in measured["images"]}
    if known.keys() != {(path.name, q) for path in dataset.images for q in codec.qualities}:
        raise CodecError(f"{dataset.name}: measured on other images: run benchmarks.compare")
    contestant = Contestant(BY_PRIOR, codec)
    for path in dataset.images:
        picture = read_picture(path, MAX_PIXELS)
        for quality in codec.qualities:
            row = known[path.name, quality]
            now, decoded = code_picture(codec, picture, quality)
            found = psnr(picture, decoded)
            if abs(found - row["psnr-rgb"]) > TOLERANCE:
                raise CodecError(
                    f"{path.name} at quality {quality} has {found:.2f} dB and had "
                    f"{row['psnr-rgb']:.2f}: it is another picture: run benchmarks.compare"
                )
            contestant.rows.append({**row, **now})
    report = result(contestant, dataset)
    report["description"] += f"; figures of the pictures from {OURS}.json"
    return report


if __name__ == "__main__":
    sys.exit(main())
