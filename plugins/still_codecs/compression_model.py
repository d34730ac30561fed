"""Any of CompressAI's image models as a still-picture codec with real files.

::

    1 byte     operating point
    2 bytes    width, big-endian
    2 bytes    height, big-endian
    LEB128 x 2 rows and columns of what the model calls "shape"
    LEB128 x 2 lengths of the model's strings
               the strings

That is 12 bytes or so. CompressAI's own example codec writes 27, and its
``eval_model`` counts none. There is no checksum, and CompressAI's range decoder does not check
bounds: these files are for measuring, not for strangers' input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from compressai_vq.container import leb128, read_leb128
from compressai_vq.errors import CodecError
from compressai_vq.picture import from_unit, to_unit
from compressai_vq.pixel_range import pad_to_stride

from .still_picture import StillPictureCodec

PADDING = 64
_MAX_SIDE = 0xFFFF
_STRINGS = 2  # of models with a hyperprior


class CompressionModelCodec(StillPictureCodec):
    """Models of one architecture, one for each operating point, on the CPU in fp32.

    Args:
        models: quality, 0 to 255, to what makes its ``compressai.models.CompressionModel``;
            called when the quality is first used. Qualities rise with the rate.
        label: for people.
        description: which weights.
    """

    extension = ".bin"
    fingerprint = ""
    """Of the weights; whoever has them sets it."""

    def __init__(
        self,
        models: Mapping[int, Callable[[], Any]],
        label: str,
        description: str,
    ) -> None:
        self.qualities = sorted(models)
        self.label = label
        self.description = (
            f"{description}; fp32, padded to multiples of {PADDING} by repeating the edge; sizes "
            "are of complete files"
        )
        self._makers = models
        self._model = functools.cache(self._ready_model)

    def ready(self, quality: int) -> None:
        """Make a quality's model now; else the first use of it does."""
        self._known(quality)

    def _ready_model(self, quality: int) -> Any:
        model = self._makers[quality]().eval()
        model.update()
        return model

    def _known(self, quality: int) -> Any:
        if quality not in self._makers:
            raise CodecError(f"{self.label} has qualities {self.qualities}, not {quality}")
        return self._model(quality)

    @torch.no_grad()
    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a file.

        Raises:
            CodecError: for a side above 65535 or an unknown quality.
        """
        model = self._known(quality)
        height, width = picture.shape[1:]
        if max(height, width) > _MAX_SIDE:
            raise CodecError(f"{width}x{height}: sides are at most {_MAX_SIDE}")
        out = model.compress(pad_to_stride(to_unit(picture), PADDING))
        strings = [one for (one,) in out["strings"]]
        if len(strings) != _STRINGS:
            raise CodecError(f"{self.label} gave {len(strings)} strings, not {_STRINGS}")
        header = bytes([quality]) + width.to_bytes(2, "big") + height.to_bytes(2, "big")
        numbers = [*out["shape"], *map(len, strings)]
        return header + b"".join(map(leb128, numbers)) + b"".join(strings)

    @torch.no_grad()
    def decompress(self, data: bytes) -> Tensor:
        """A file to the picture, uint8 (3, H, W).

        Raises:
            CodecError: when the file is cut off or of an unknown quality.
        """
        numbers: list[int] = []
        at = 5
        try:
            quality = data[0]
            while len(numbers) < 2 + _STRINGS:
                number, at = read_leb128(data, at)
                numbers.append(number)
        except IndexError:
            raise CodecError("the file is truncated: its header is not whole") from None
        model = self._known(quality)
        width, height = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")
        (rows, columns), lengths = numbers[:2], numbers[2:]
        if len(data) - at != sum(lengths):
            raise CodecError(f"the file has {len(data)} bytes, not {at + sum(lengths)}")
        strings = []
        for length in lengths:
            strings.append([data[at : at + length]])
            at += length
        out = model.decompress(strings, torch.Size((rows, columns)))
        return from_unit(out["x_hat"])[:, :height, :width]
