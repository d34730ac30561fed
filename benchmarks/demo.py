"""The main job on a real photograph: every quality's bytes, bpp, PSNR and times.

Compresses a sample image that scikit-learn ships (or the file given) at all nine qualities,
decompresses the files again and writes a contact sheet of what came back.
"""

from __future__ import annotations

import sys
import time
from importlib.resources import files
from pathlib import Path

from compressai_vq.argument_parser import ArgumentParser
from compressai_vq.atomic_file import write_atomically
from compressai_vq.contact_sheet import contact_sheet
from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from compressai_vq.file_codec import FileCodec
from compressai_vq.picture import read_picture, write_picture
from compressai_vq.pretrained import pretrained_weights


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration; returns the exit code."""
    parser = ArgumentParser(prog="python3.11 -m benchmarks", description=__doc__)
    parser.add_argument("image", nargs="?", type=Path, help="default: scikit-learn's china.jpg")
    parser.add_argument("-o", "--output", type=Path, default=Path("out"), help="folder")
    parser.add_argument("-a", "--architecture", default="mao2024-vqgan-lite")
    arguments = parser.parse_args(argv)
    sample = files("sklearn.datasets").joinpath("images", "china.jpg")
    image = arguments.image or Path(str(sample))
    try:
        demonstrate(image, arguments.output, arguments.architecture)
    except (CodecError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def demonstrate(image: Path, output: Path, architecture: str) -> None:
    """Print the table and write ``NAME.qQUALITY.cvq`` and ``contact_sheet.png``."""
    codec = FileCodec(pretrained_weights(architecture))
    picture = read_picture(image, codec.max_pixels)
    height, width = picture.shape[1:]
    output.mkdir(parents=True, exist_ok=True)
    print(f"{image.name}, {width}x{height}, {architecture}")
    print(f"{'quality':>7} {'bytes':>6} {'bpp':>7} {'PSNR dB':>8} {'encode s':>9} {'decode s':>9}")
    tiles = [(picture, f"{image.name}: original")]
    for quality in codec.weights.qualities:
        codec.decompress(codec.compress(picture, quality))  # loads the quality; not timed
        started = time.perf_counter()
        data = codec.compress(picture, quality)
        compressed = time.perf_counter()
        decoded = codec.decompress(data)
        finished = time.perf_counter()
        write_atomically(output / f"{image.stem}.q{quality}.cvq", data)
        bpp = 8 * len(data) / (width * height)
        print(
            f"{quality:>7} {len(data):>6} {bpp:>7.4f} {psnr(picture, decoded):>8.2f} "
            f"{compressed - started:>9.3f} {finished - compressed:>9.3f}"
        )
        tiles.append((decoded, f"q{quality}: {len(data)} bytes, {bpp:.4f} bpp"))
    sheet = output / "contact_sheet.png"
    write_picture(sheet, contact_sheet(tiles))
    print(f"contact sheet: {sheet}")


if __name__ == "__main__":
    sys.exit(main())
