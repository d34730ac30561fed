"""Photographs beside what VVC and this codec make of them in about as many bytes.

    python -m benchmarks.side_by_side KODAK -o benchmarks/results/side-by-side.jpg

The images are those that divide the folder, in the order of names, into four equal parts.  VVC
gets the fewest bytes that are not fewer than our refined file's; captions give the sizes of
complete files, and so does the JSON file beside the picture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.codecs import BY_PRIOR, MAX_PIXELS, REFINED, fingerprint, make_codec, prior_of
from benchmarks.sheet import Tile, draw, wide
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.machine import describe_machine
from compressai_vq.picture import read_picture
from plugins.still_codecs.still_picture import StillPictureCodec

IMAGES = 3
COARSEST = 63  # VVC's largest QP


def no_smaller(codec: StillPictureCodec, picture: Tensor, size: int) -> bytes:
    """Of the files of a codec whose quality is a QP, the coarsest of at least ``size`` bytes.

    Args:
        codec: takes QPs from 0 to ``COARSEST``.
        picture: uint8 (3, H, W).
        size: in bytes.

    Raises:
        CodecError: when even the finest is smaller.
    """
    for quality in range(COARSEST, -1, -1):
        data = codec.compress(picture, quality)
        if len(data) >= size:
            return data
    raise CodecError(f"{codec.label} makes no file of {size} bytes or more of this picture")


class Comparison:
    """Rows of pictures, and what is known of the files that they are of.

    Args:
        quality: ours.
        ours: our codec.
        refined: ours, with indices that were looked for.
        other: as of :func:`no_smaller`.
    """

    def __init__(
        self,
        quality: int,
        ours: StillPictureCodec,
        refined: StillPictureCodec,
        other: StillPictureCodec,
    ) -> None:
        self.quality, self.codecs = quality, (other, ours, refined)
        self.images: list[dict[str, Any]] = []

    def row(self, path: Path) -> list[Tile]:
        """The original, the other codec's picture, ours and ours refined, with captions."""
        other, ours, refined = self.codecs
        picture = read_picture(path, MAX_PIXELS)
        found = refined.compress(picture, self.quality)
        files = {
            other.label: (other, no_smaller(other, picture, len(found))),
            "ours": (ours, ours.compress(picture, self.quality)),
            "ours, --refine": (refined, found),
        }
        tiles = [(wide(picture), path.stem)]
        for label, (codec, data) in files.items():
            tiles.append((wide(codec.decompress(data)), f"{label}: {len(data)} bytes"))
        sizes = zip(("other", "ours", "refined"), files.values(), strict=True)
        self.images.append({"name": path.name, **{key: len(f[1]) for key, f in sizes}})
        return tiles

    def results(self) -> dict[str, Any]:
        """What README says of it."""
        other, _, refined = self.codecs
        return {
            "quality": self.quality,
            "images": self.images,
            "other": other.description,
            "fingerprint": fingerprint(refined),
            **prior_of(refined),
            "machine": describe_machine(),
        }


def main(argv: list[str] | None = None) -> int:
    """Draw and write the picture; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.side_by_side", description=__doc__)
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.jpg")
    parser.add_argument("-q", "--quality", type=positive, default=5, help="ours; default: 5")
    parser.add_argument("--width", type=positive, default=360, help="of a picture, in pixels")
    arguments = parser.parse_args(argv)
    try:
        check_folder_of(arguments.output)
        codecs = [make_codec(key) for key in (BY_PRIOR, REFINED, "vvc")]
        comparison = Comparison(arguments.quality, *codecs)
        draw(arguments.output, arguments.folder, IMAGES, comparison.row, arguments.width)
        data = json.dumps(comparison.results(), indent=1) + "\n"
        write_atomically(arguments.output.with_suffix(".json"), data.encode())
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
