"""Mutated image files."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any

from PIL import Image

from .fixtures import photograph

FORMATS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("GIF", {}),
)


def image_files() -> list[bytes]:
    """A small photograph in every format, with Exif data where there can be any."""
    image = Image.fromarray(photograph(24, 36).permute(1, 2, 0).contiguous().numpy())
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for name, options in FORMATS:
        buffer = io.BytesIO()
        described = {} if name in ("BMP", "GIF") else {"exif": exif}
        image.save(buffer, name, **options, **described)
        files.append(buffer.getvalue())
    return files


def image_mutations(number: int, seed: int) -> Iterator[bytes]:
    """Image files with bytes changed, cut out, put in, or the end missing."""
    rng, files = random.Random(seed), image_files()
    for n in range(number):
        data = bytearray(files[n % len(files)])
        # Headers are where most goes wrong, and they are but a small part.
        end = 100 if rng.random() < 0.5 else len(data)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(min(end, len(data)))
            change = rng.randrange(5)
            if change == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif change == 1:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif change == 2:
                del data[at : at + rng.randint(1, 8)]
            elif change == 3:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            else:
                del data[max(1, len(data) - rng.randint(1, 200)) :]
        yield bytes(data)
