"""Photographs beside what VVC and this codec make of them in about as many bytes.

    python -m benchmarks.side_by_side KODAK -o benchmarks/results/side-by-side.jpg

The images are those that divide the folder, in the order of names, into four equal parts.  VVC
gets the fewest bytes that are not fewer than our refined file's; captions give the sizes of
complete files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor

from benchmarks.codecs import BY_PRIOR, MAX_PIXELS, REFINED, make_codec
from benchmarks.loss import images_of
from benchmarks.loss_grid import chosen
from benchmarks.sheet import wide, write_sheet
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of
from compressai_vq.errors import CodecError
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


def row_of(
    path: Path,
    quality: int,
    ours: StillPictureCodec,
    refined: StillPictureCodec,
    other: StillPictureCodec,
) -> list[tuple[Tensor, str]]:
    """The original, the other codec's picture, ours and ours refined, with captions."""
    picture = read_picture(path, MAX_PIXELS)
    found = refined.compress(picture, quality)
    files = [
        (other, other.label, no_smaller(other, picture, len(found))),
        (ours, "ours", ours.compress(picture, quality)),
        (refined, "ours, --refine", found),
    ]
    tiles = [(wide(picture), path.stem)]
    for codec, label, data in files:
        tiles.append((wide(codec.decompress(data)), f"{label}: {len(data)} bytes"))
    return tiles


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
        tiles = [
            tile
            for path in chosen(images_of(arguments.folder), IMAGES)
            for tile in row_of(path, arguments.quality, *codecs)
        ]
        write_sheet(arguments.output, tiles, columns=4, width=arguments.width)
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
