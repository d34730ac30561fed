"""One picture that shows an original and its reconstructions, captioned."""

from __future__ import annotations

import math

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_CAPTION = 22  # pixels
_GAP = 6


def contact_sheet(tiles: list[tuple[Tensor, str]], columns: int = 5, width: int = 384) -> Tensor:
    """Lay pictures out in rows, each over its caption.

    Args:
        tiles: pictures, uint8 (3, H, W), of any size, with their captions.
        columns: pictures in a row.
        width: pictures are scaled down to this width; narrower ones stay.

    Returns:
        The sheet, uint8 (3, H, W).
    """
    images = []
    for picture, caption in tiles:
        image = Image.fromarray(picture.permute(1, 2, 0).cpu().numpy())
        if image.width > width:
            height = max(1, round(image.height * width / image.width))
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        images.append((image, caption))
    columns = min(columns, len(images))
    font = ImageFont.load_default(14)
    captions = (math.ceil(font.getlength(caption)) for _, caption in images)
    cell_width = max(*(image.width for image, _ in images), *captions) + _GAP
    cell_height = max(image.height for image, _ in images) + _CAPTION + _GAP
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for n, (image, caption) in enumerate(images):
        left = _GAP + n % columns * cell_width
        top = _GAP + n // columns * cell_height
        sheet.paste(image, (left, top))
        draw.text((left, top + image.height + 3), caption, fill="black", font=font)
    return torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8).view(
        sheet.height, sheet.width, 3
    ).permute(2, 0, 1)  # fmt: skip
