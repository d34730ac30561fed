"""Pillow as an encoder and decoder of pictures in memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compressai_vq.errors import CodecError


def save(picture: Tensor, file_format: str, **options: Any) -> bytes:
    """A picture, uint8 (3, H, W), to a file of a format that Pillow writes.

    Raises:
        CodecError: when the format's encoder refuses.
    """
    buffer = io.BytesIO()
    try:
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(buffer, file_format, **options)
    except Exception as error:  # formats have limits of their own, and each its own error
        raise CodecError(f"{file_format} cannot be written: {_one_line(error)}") from None
    return buffer.getvalue()


def load(data: bytes, file_format: str) -> Tensor:
    """A file of that format, and of no other, to the picture, uint8 (3, H, W).

    Raises:
        CodecError: when it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=[file_format]) as image:
            rgb = np.array(image.convert("RGB"))
    except Exception as error:  # as above
        raise CodecError(f"not a {file_format} file, or damaged: {_one_line(error)}") from None
    return torch.from_numpy(rgb).permute(2, 0, 1)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
