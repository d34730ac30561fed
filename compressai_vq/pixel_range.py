"""Pixels to the range of the networks' numbers, and back.

::

    8-bit or [0, 1] (N, 3, H, W) --network_range--> [-1, 1], sides of multiples of 16
    about [-1, 1] (N, 3, H, W) --unit_range--> about [0, 1]
    about [-1, 1] (3, H, W) --eight_bit--> 8-bit pixels

Eight-bit pictures on a CPU go some rows at a time: what lies between one number format and the
next then stays in the cache, and needs no memory that the process has not touched before.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import CodecError
from .picture import rounded
from .rates import STRIDE

_AT_ONCE = 1 << 18  # numbers
_OVERSHOOT = 0.5  # of bicubic and Lanczos filters at the sharpest edges, and more


def check_images(x: Tensor) -> None:
    """Refuse what is no batch of RGB images, (N, 3, H, W), of floats or 8-bit pixels.

    Raises:
        CodecError: which says what it is instead.
    """
    if not isinstance(x, Tensor):
        raise CodecError(f"images must be a tensor (N, 3, H, W), and this is {_kind(x)}")
    if x.ndim != 4 or x.shape[1] != 3 or not min(x.shape[2:]):
        raise CodecError(f"images must be (N, 3, H, W) and not empty: these are {tuple(x.shape)}")
    if not (x.dtype == torch.uint8 or x.is_floating_point()):
        raise CodecError(f"images must be uint8, or floating-point in [0, 1]: these are {x.dtype}")


def check_picture(x: Tensor) -> None:
    """Refuse what is no picture, uint8 (3, H, W).

    Raises:
        CodecError: which says what it is instead.
    """
    if not isinstance(x, Tensor):
        raise CodecError(f"a picture must be a tensor, uint8 (3, H, W), and this is {_kind(x)}")
    if x.dtype != torch.uint8 or x.ndim != 3 or x.shape[0] != 3 or not min(x.shape[1:]):
        found = f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
        raise CodecError(f"a picture must be uint8 (3, H, W), not empty, and this is {found}")


def check_unit_range(x: Tensor) -> None:
    """Refuse floats that are plainly not in [0, 1]; what resampling overshoots is let pass.

    Raises:
        CodecError: for pixels in [0, 255], say, and for NaN.
    """
    if x.is_floating_point() and x.numel():
        least, most = (bound.item() for bound in x.detach().aminmax())
        if not (least >= -_OVERSHOOT and most <= 1 + _OVERSHOOT):
            raise CodecError(
                f"images must be in [0, 1], or uint8: these are from {least:g} to {most:g}"
            )


def _kind(x: object) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"


def network_range(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images of any size, in [0, 1] or 8-bit, to [-1, 1] and sides of multiples of 16.

    Args:
        x: (N, 3, H, W), uint8 or floating-point.
        dtype: of what 8-bit pixels become; others keep their own.

    Returns:
        (N, 3, 16 ceil(H/16), 16 ceil(W/16)); of 8-bit pixels in planes, whatever ``x`` is.
    """
    if x.dtype != torch.uint8:
        return (2 * pad_to_stride(x)).sub_(1)
    y = torch.empty(x.shape, dtype=dtype, device=x.device)
    rows, planes = _rows(x), torch.contiguous_format
    for pixels, room in zip(x.split(rows, -2), y.split(rows, -2), strict=True):
        # A pass less than by way of [0, 1], and the same numbers: halves are exact.
        numbers = pixels.to(torch.float32, memory_format=planes).div_(127.5).sub_(1)
        room.copy_(numbers)
    return pad_to_stride(y)


def unit_range(y: Tensor) -> Tensor:
    """About [-1, 1] to about [0, 1]."""
    # bf16 cannot tell neighbouring 8-bit pixel values apart.
    return y.float().add_(1).div_(2) if y.dtype == torch.bfloat16 else (y + 1) / 2


def eight_bit(y: Tensor) -> Tensor:
    """(3, H, W), about [-1, 1], clipped, to uint8: as ``from_unit`` of :func:`unit_range`."""
    pixels = torch.empty(y.shape, dtype=torch.uint8, device=y.device)
    rows = _rows(y)
    for numbers, room in zip(y.split(rows, -2), pixels.split(rows, -2), strict=True):
        # As by way of [0, 1]: halves are exact.
        room.copy_(rounded((numbers.float() + 1).mul_(127.5)))
    return pixels


def _rows(x: Tensor) -> int:
    """Of (..., H, W): how many at once."""
    if x.device.type != "cpu":
        return x.shape[-2]
    return max(_AT_ONCE * x.shape[-2] // max(x.numel(), 1), 1)


def pad_to_stride(x: Tensor, stride: int = STRIDE) -> Tensor:
    """Repeat the right and bottom edge until both sides are multiples of ``stride``."""
    bottom, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    if not bottom and not right:
        return x
    return F.pad(x, (0, right, 0, bottom), mode="replicate")
