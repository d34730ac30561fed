"""What the shipped weights make of eight images, at the ends and the middle of the ladder.

    python -m benchmarks.sheet KODAK -o benchmarks/results/kodak-sheet.jpg
    python -m benchmarks.sheet KODAK --files out/streams/kodak/mao2024-vqgan-lite-refined -o ...

The images are those that divide the folder, in the order of names, into nine equal parts.
Captions give the size of the complete file, by the package's default coding; ``--files`` takes
those that ``benchmarks.compare`` has left.
"""

from __future__ import annotations

import functools
import io
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from torch import Tensor

from benchmarks.loss import images_of
from benchmarks.loss_grid import chosen
from compressai_vq.argument_parser import ArgumentParser, positive
from compressai_vq.atomic_file import check_folder_of, write_atomically
from compressai_vq.contact_sheet import contact_sheet
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import read_picture
from compressai_vq.pretrained import pretrained_weights

QUALITIES = (1, 5, 9)
IMAGES = 8

Tile = tuple[Tensor, str]
"""A picture, uint8 (3, H, W), and its caption."""


def tiles_of(path: Path, codec: FileCodec, files: Path | None = None) -> list[Tile]:
    """An original and its reconstructions, of files that there are or new ones, with captions."""
    picture = read_picture(path, codec.max_pixels)
    pixels = picture.shape[1] * picture.shape[2]
    tiles = [(wide(picture), path.stem)]
    for quality in QUALITIES:
        if files is None:
            data = codec.compress(picture, quality)
        else:
            data = (files / f"{path.stem}.q{quality}.cvq").read_bytes()
        caption = f"q{quality}, {len(data)} bytes, {8 * len(data) / pixels:.4f} bpp"
        tiles.append((wide(codec.decompress(data)), caption))
    return tiles


def wide(picture: Tensor) -> Tensor:
    """The middle of an upright picture, uint8 (3, H, W), 3:2, so that all are alike."""
    height, width = picture.shape[1:]
    kept = min(height, round(width * 2 / 3))
    top = (height - kept) // 2
    return picture[:, top : top + kept]


def draw(
    output: Path, folder: Path, count: int, row: Callable[[Path], list[Tile]], width: int
) -> None:
    """Write a JPEG with a row of captioned pictures for each of some images.

    Args:
        output: the file to write.
        folder: of images, of which those are taken that divide it evenly.
        count: how many.
        row: what is shown of an image.
        width: in pixels, to which wider pictures are scaled down.

    Raises:
        CodecError: when an image cannot be read, or the file not be written.
    """
    rows = [row(path) for path in chosen(images_of(folder), count)]
    sheet = contact_sheet(list(itertools.chain(*rows)), columns=len(rows[0]), width=width)
    buffer = io.BytesIO()
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=88)
    write_atomically(output, buffer.getvalue())


def main(argv: list[str] | None = None) -> int:
    """Draw and write the sheet; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.sheet", description=__doc__)
    parser.add_argument("folder", type=Path, help="images")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.jpg")
    parser.add_argument("--files", type=Path, metavar="FOLDER", help="of IMAGE.qQUALITY.cvq")
    parser.add_argument("--width", type=positive, default=360, help="of a picture, in pixels")
    arguments = parser.parse_args(argv)
    try:
        check_folder_of(arguments.output)
        codec = FileCodec(pretrained_weights("mao2024-vqgan-lite"))
        row = functools.partial(tiles_of, codec=codec, files=arguments.files)
        draw(arguments.output, arguments.folder, IMAGES, row, arguments.width)
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
