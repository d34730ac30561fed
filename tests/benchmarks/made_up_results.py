"""Made-up results, originals and streams, in the folders that the report reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compressai_vq.evaluation import averages
from compressai_vq.picture import write_picture
from plugins.still_codecs.still_picture import StillPictureCodec
from tests.fixtures import photograph

SHAPES = {
    "mao2024-vqgan-lite": ("ours", 0.012, 0.043, 0.48, 0.34),
    "mao2024-vqgan-lite-prior": ("ours, by the prior", 0.01, 0.032, 0.48, 0.34),
    "mao2024-vqgan-lite-refined": ("ours, refined", 0.011, 0.035, 0.4, 0.3),
    "mao2024-vqgan-lite-unfinetuned": ("ours, without fine-tuning", 0.012, 0.043, 0.55, 0.36),
    "vvc": ("VVC (libvvenc, medium)", 0.012, 0.2, 0.66, 0.20),
    "hevc": ("HEVC intra (x265, 4:4:4), as in BPG", 0.02, 0.25, 0.72, 0.28),
    "avif": ("AVIF", 0.06, 0.3, 0.5, 0.2),
    "jpegxl": ("JPEG XL", 0.09, 0.4, 0.33, 0.15),
    "hific-lowrate": ("HiFiC, retrained (width 1/4)", 0.02, 0.08, 0.45, 0.25),
}
"""Codec to label, lowest and highest rate, LPIPS at these. None of it was ever measured."""


def result(codec: str, images: list[str], points: int = 5) -> dict[str, Any]:
    """A result file's contents, of a made-up codec on a curve that is straight in log rate."""
    label, low, high, worst, best = SHAPES[codec]
    rows = []
    for n in range(points):
        share = n / (points - 1)
        bpp = low * (high / low) ** share
        lpips = worst + (best - worst) * share
        for k, image in enumerate(images):
            off = 1 + 0.1 * (k - (len(images) - 1) / 2)
            rows.append({
                "image": f"{image}.png", "quality": n + 1, "bytes": round(bpp * off * 49152 / 8),
                "bpp": bpp * off, "lpips": lpips, "lpips-vgg": lpips + 0.1,
                "dists": lpips * 0.6, "psnr-rgb": 17 + 6 * share + math.log(bpp / 0.01),
                "ms-ssim-rgb": 0.5 + 0.4 * share, "encoding_time": 0.1 + share,
                "decoding_time": 0.05 + share / 10,
            })  # fmt: skip
    return {
        "name": codec, "label": label, "description": "made up", "fingerprint": "ab" * 32,
        "dataset": {"folder": "made-up", "images": len(images)},
        "machine": {"cpu": "made-up CPU", "threads": 2, "python": "3.11", "torch": "2"},
        "results": averages(rows), "images": rows,
    }  # fmt: skip


def write_results(folder: Path, dataset: str, codecs: list[str], images: list[str]) -> None:
    """``folder/<dataset>/<codec>.json`` for some of the made-up codecs."""
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    for codec in codecs:
        path = folder / dataset / f"{codec}.json"
        path.write_text(json.dumps(result(codec, images)))


def as_measured(results: Path, streams: Path, codecs: Mapping[str, StillPictureCodec]) -> None:
    """Have result files of ``write_results`` tell of the files of ``write_pictures``."""
    for key, codec in codecs.items():
        path = results / f"{key}.json"
        content = json.loads(path.read_text())
        content["fingerprint"] = getattr(codec, "fingerprint", "")
        for row in content["images"]:
            file = streams / key / f"{Path(row['image']).stem}.q{row['quality']}.cvq"
            if file.is_file():
                row["bytes"] = file.stat().st_size
                row["bpp"] = 8 * row["bytes"] / (192 * 256)
        path.write_text(json.dumps(content))


def write_pictures(
    originals: Path, streams: Path, codecs: Mapping[str, StillPictureCodec]
) -> list[str]:
    """Two small photographs and their files at qualities 1, 3 and 9; returns the names."""
    names = ["first", "second"]
    for which, name in enumerate(names):
        picture = photograph(192, 256, which)
        write_picture(originals / f"{name}.png", picture)
        for key, codec in codecs.items():
            (streams / key).mkdir(parents=True, exist_ok=True)
            for quality in (1, 3, 9):
                data = codec.compress(picture, quality)
                (streams / key / f"{name}.q{quality}.cvq").write_bytes(data)
    return names
