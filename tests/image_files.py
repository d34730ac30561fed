"""Image files that tests of reading write."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from compressai_vq.errors import CodecError
from compressai_vq.picture import read_picture

from .fixtures import noise

LIMIT = 1 << 27


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    """Only tests of warnings let them pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def picture(height: int = 20, width: int = 30) -> Image.Image:
    return Image.fromarray(noise(height, width).permute(1, 2, 0).numpy())


def read(image: Image.Image, path: Path, **options: Any) -> np.ndarray:
    """Saved and read again, as (H, W, 3)."""
    image.save(path, **options)
    found = read_picture(path, LIMIT)
    assert found.dtype == torch.uint8
    assert found.shape[0] == 3
    return found.permute(1, 2, 0).numpy()


def refuse(path: Path, words: str, limit: int = LIMIT) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        read_picture(path, limit)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
