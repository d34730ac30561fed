"""Codes pictures with whichever compressai_vq is on the path, for ``benchmarks.unchanged``.

    PYTHONPATH=CODE python benchmarks/unchanged_worker.py PRECISION WEIGHTS OUTPUT PICTURE...

Leaves ``NAME.qN.cvq`` and the decoded ``NAME.qN.npy``, uint8 (H, W, 3), in OUTPUT, and says
where the package was that did it.  Imports nothing else of the repository: it runs with the
code of any commit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

import compressai_vq
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.picture import read_picture


def main(precision: str, weights: str, output: str, *pictures: str) -> None:
    """Code every picture at every quality."""
    torch.set_num_threads(1)
    ladder = LadderWeights.load(Path(weights))
    codec = FileCodec(ladder, precision=precision, coding="frequencies")
    for path in map(Path, pictures):
        picture = read_picture(path, 1 << 25)
        for quality in codec.weights.qualities:
            stem = Path(output, f"{path.stem}.q{quality}")
            data = codec.compress(picture, quality)
            stem.with_name(stem.name + ".cvq").write_bytes(data)
            decoded = codec.decompress(data).permute(1, 2, 0).contiguous()
            np.save(stem.with_name(stem.name + ".npy"), decoded.numpy())
    print(Path(compressai_vq.__file__).parent)


if __name__ == "__main__":
    main(*sys.argv[1:])
