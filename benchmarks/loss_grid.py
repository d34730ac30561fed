"""What loss looks like: the paper's figure 5 as one PNG file.

    python -m benchmarks.loss_grid KODAK -o benchmarks/results/loss-grid.png

For three images (those that divide the folder, in the order of names, into four equal parts)
and each share of lost packets: the loss-free picture with the gaps grey, below it what the
index prior makes of the same packets, and below that what the paper's transformer does, if one
is given.  The share is exact: of P packets ceil(rate P) are lost, drawn by a fixed seed.
(Mao et al., 2024, figure 5.)
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks.loss import add_codec_arguments, codec_of, images_of
from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import read_picture
from compressai_vq.transport.assembly import assemble
from compressai_vq.transport.packets import packetize
from compressai_vq.transport.restoring import restore

RATES = (0.0, 0.1, 0.2, 0.3, 0.5)
GREY = 128
TILE = 240  # pixels across
_GAP = 4
_TITLE = 22
_LABEL = 24  # across; written upwards
COLOURS = 256

Line = tuple[str, list[Tensor]]
"""What a line of tiles shows, and its pictures, one for each rate."""


def chosen(paths: list[Path], count: int = 3) -> list[Path]:
    """The images that divide a list evenly: a rule, not a choice."""
    places = [(n + 1) * len(paths) // (count + 1) for n in range(min(count, len(paths)))]
    return [paths[place] for place in dict.fromkeys(places)]


def survivors(packets: list[bytes], rate: float, rng: np.random.Generator) -> list[bytes]:
    """All but ceil(rate P) of P packets; one is always left."""
    lost = min(math.ceil(rate * len(packets) - 1e-9), len(packets) - 1)
    gone = set(rng.permutation(len(packets))[:lost].tolist())
    return [packet for n, packet in enumerate(packets) if n not in gone]


def lines_of(path: Path, codec: FileCodec, arguments: argparse.Namespace) -> list[Line]:
    """The lines of one image: its gaps, then each fill's pictures."""
    data = codec.compress(read_picture(path, codec.max_pixels), arguments.quality)
    whole = codec.decompress(data)
    packets = packetize(data, codec, arguments.mtu, arguments.packets)
    fills = ["nearest" if codec.prior is None else "prior"]
    fills += ["transformer"] if arguments.transformer else []
    lines: list[Line] = [("what arrived", []), *((f"restored: {fill}", []) for fill in fills)]
    # The image's name is part of the seed, so that others in the folder change nothing.
    rng = np.random.default_rng([arguments.seed, *path.name.encode()])
    for rate in RATES:
        assembled = assemble(survivors(packets, rate, rng), codec)
        for fill, (_, pictures) in zip(fills, lines[1:], strict=True):
            received = restore(assembled, codec, fill)
            pictures.append(received.picture)
        lines[0][1].append(whole.masked_fill(received.per_pixel(received.lost), GREY))
    return lines


def draw(images: list[list[Line]], tile: int = TILE) -> Image.Image:
    """All lines of all images under a title for each rate.

    Args:
        images: of each image the lines; all pictures are uint8 (3, H, W).
        tile: width that pictures are scaled to; tall ones are turned into a centre crop of
            3:2, so that all tiles are alike.
    """
    height = round(tile * 2 / 3)
    font = ImageFont.load_default(15)
    lines = sum(map(len, images))
    size = (
        _LABEL + len(RATES) * (tile + _GAP),
        _TITLE + lines * (height + _GAP) + (len(images) - 1) * 2 * _GAP,
    )
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, rate in enumerate(RATES):
        text = f"{rate:.0%} of the packets lost" if rate else "nothing lost"
        middle = _LABEL + column * (tile + _GAP) + tile // 2
        pen.text((middle, _TITLE // 2), text, fill="black", font=font, anchor="mm")
    top = _TITLE
    for block in images:
        for label, pictures in block:
            sheet.paste(_upwards(label, height), (0, top))
            for column, picture in enumerate(pictures):
                left = _LABEL + column * (tile + _GAP)
                sheet.paste(_tile(picture, tile, height), (left, top))
            top += height + _GAP
        top += 2 * _GAP
    return sheet


def as_png(sheet: Image.Image, colours: int = COLOURS) -> bytes:
    """A PNG file of so many colours; 0 for all of them."""
    if colours:
        sheet = sheet.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _tile(picture: Tensor, width: int, height: int) -> Image.Image:
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    wide, tall = image.size
    across = min(wide, tall * width / height)
    down = across * height / width
    left, upper = (wide - across) / 2, (tall - down) / 2
    box = (left, upper, left + across, upper + down)
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _upwards(text: str, height: int) -> Image.Image:
    label = Image.new("RGB", (height, _LABEL), "white")
    pen = ImageDraw.Draw(label)
    place = (height // 2, _LABEL // 2)
    pen.text(place, text, fill="black", font=ImageFont.load_default(15), anchor="mm")
    return label.transpose(Image.Transpose.ROTATE_90)


def main(argv: list[str] | None = None) -> int:
    """Draw and write the picture; returns the exit code."""
    parser = ArgumentParser(prog="python -m benchmarks.loss_grid", description=__doc__)
    add_codec_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.png")
    parser.set_defaults(packets=30)
    arguments = parser.parse_args(argv)
    try:
        if arguments.output.suffix.lower() != ".png":
            raise CodecError(f"{arguments.output}: the picture is a PNG file")
        codec, _ = codec_of(arguments)
        paths = chosen(images_of(arguments.folder))
        with torch.inference_mode():
            images = [lines_of(path, codec, arguments) for path in paths]
        data = as_png(draw(images))
        write_atomically(arguments.output, data)
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    names = ", ".join(path.name for path in paths)
    print(f"{arguments.output}: {names}; {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
