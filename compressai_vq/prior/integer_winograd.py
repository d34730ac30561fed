"""3x3 convolutions of integers by Winograd's minimal filtering F(2x2, 3x3), exactly.

Four results are a product of 16 numbers, channel by channel, instead of 4 times 9: 2.25 times
fewer multiplications (Lavin and Gray, 2016, "Fast Algorithms for Convolutional Neural
Networks", arXiv 1509.09308)::

    tile (4, 4) of x --B'xB--> (4, 4) --+
                                        * summed over channels --A'xA--> tile (2, 2) of y
    kernel (3, 3) -----GkG'--> (4, 4) --+

Larger tiles need divisions by 3; here the only ones are by 2, twice: every number on the way is
a multiple of 1/4, later of 1/2, then whole, and float32 holds those below 2^22, 2^23 and 2^24
exactly.  :func:`transformed` makes sure that none is larger, for any input in [0, 255]; half of
the range is taken off first, so that sums are as often below 0 as above.

Factors have up to 10 bits here, so that matrix products must be as exact as float32 is: see
:func:`exact_products`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

_G = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float32)

_LIMIT = 1 << 22
_MIDDLE = 128  # of [0, 255]

# Tiles that are transformed at once: with 128 channels, 3 MB before and as much after the
# product.  Of half as many the products are slower; many more fall out of the cache.
_TILES_AT_ONCE = 384


class Kernel(NamedTuple):
    """A convolution as :func:`convolve` takes it."""

    tiles: Tensor  # float32 (16, C, out + parts), multiples of scale / 4
    bias: Tensor  # float32 (out + parts,)
    parts: Tensor  # int64 (parts,): the output channels that the last ones belong to


def transformed(weight: Tensor, bias: Tensor, scale: Tensor) -> Kernel | None:
    """The kernel of a convolution; None if a number on the way could be too large.

    Args:
        weight: int8 (out, 9 C), columns ordered (row offset, column offset, channel).
        bias: integers (out,); with it, sums stay below 2^24.
        scale: float32 (out,), powers of two that sums are multiplied with: exact in any case.
    """
    taps = weight.float().view(len(weight), 9, -1)
    large = _too_large(taps)
    # These few are summed in two parts, each over half of the channels.
    half = taps.shape[-1] // 2
    one, other = taps[large], taps[large]
    one[..., half:] = 0
    other[..., :half] = 0
    if _too_large(torch.cat([one, other])).any():
        return None
    taps[large] = one
    tiles = torch.einsum("tk,okc->tco", _both(), torch.cat([taps, other]))
    tiles = tiles.contiguous().mul_(torch.cat([scale, scale[large]]))
    whole = (bias.long() + _MIDDLE * weight.long().sum(1)).float() * scale
    return Kernel(
        tiles, torch.cat([whole, torch.zeros_like(scale[large])]), large.nonzero().flatten()
    )


def _too_large(taps: Tensor) -> Tensor:
    """Whether a number could be too large: bool (out,), of kernels (out, 9, C)."""
    # Each factor of a product is made of four inputs, or of two where rows are put together
    # again.  Two products' sum is then below 2^23, where it is a multiple of 1/2.  Two rows' is
    # below 2^24, where it is whole: a, b and c in a column of the kernel add up, by their sizes,
    # to no more than a, (a + b + c) / 2, (a - b + c) / 2 and c do.
    return (_both() @ taps).abs_().sum(2).amax(1) * (4 * _MIDDLE) >= _LIMIT


def _both() -> Tensor:
    return torch.kron(_G, _G)


@functools.lru_cache(maxsize=8)
def _probe(settings: tuple[object, ...]) -> bool:
    x = torch.arange(2 * 128 * 128, dtype=torch.float32).view(2, 128, 128) % 1021 - 510
    kernel = x.flip(2) / 4
    return torch.equal(torch.bmm(x, kernel).double(), torch.bmm(x.double(), kernel.double()))


def exact_products() -> bool:
    """Whether matrix products on the CPU are float32's own, not bf16's, by torch's settings and
    by a trial.
    """
    try:
        full = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # its answer where another setting of torch's asks for less
        return False
    one = getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", "none")
    return full and one in ("none", "ieee") and _probe((one, torch.backends.mkldnn.enabled))


def convolve(x: Tensor, kernel: Kernel) -> Tensor:
    """Sums of a 3x3 convolution with zeros around, and its bias, times their scale.

    Args:
        x: integers in [0, 255] as float32 (N, h, w, C).
        kernel: of :func:`transformed`.

    Returns:
        Float32 (N, h, w, out).
    """
    n, height, width, channels = x.shape
    down, across = -(-height // 2), -(-width // 2)
    padded = x.new_full((n, 2 * down + 2, 2 * across + 2, channels), -_MIDDLE)
    torch.sub(x, _MIDDLE, out=padded[:, 1 : 1 + height, 1 : 1 + width])
    y = x.new_empty(n, down, 2, across, 2, len(kernel.bias))
    rows = max(1, _TILES_AT_ONCE // (n * across))
    for top in range(0, down, rows):
        bottom = min(top + rows, down)
        _strip(padded[:, 2 * top : 2 * bottom + 2], kernel.tiles, y[:, top:bottom])
    y = y.view(n, 2 * down, 2 * across, -1)[:, :height, :width].add_(kernel.bias)
    if not len(kernel.parts):
        return y
    out = len(kernel.bias) - len(kernel.parts)
    y[..., kernel.parts] += y[..., out:]
    return y[..., :out].contiguous()


def _strip(x: Tensor, kernel: Tensor, y: Tensor) -> None:
    """Rows of tiles: (N, 2 th + 2, 2 tw + 2, C) to (N, th, 2, tw, 2, out)."""
    n, down, _, across, _, out = y.shape
    rows = x.new_empty(4, n, down, x.shape[2], x.shape[3])
    _input_transform([x[:, i : i + 2 * down : 2][:, :down] for i in range(4)], rows)
    tiles = x.new_empty(4, 4, n, down, across, x.shape[3])
    columns = [rows[:, :, :, j : j + 2 * across : 2][:, :, :, :across] for j in range(4)]
    _input_transform(columns, tiles.movedim(1, 0))
    products = torch.bmm(tiles.view(16, -1, x.shape[3]), kernel)
    m = products.view(4, 4, n, down, across, out)
    rows = m.new_empty(2, 4, n, down, across, out)
    _output_transform(m, rows)
    for row in range(2):
        _output_transform(rows[row], y[:, :, row].movedim(3, 0))


def _input_transform(x: list[Tensor], y: Tensor) -> None:
    """Four of something to four of it."""
    torch.sub(x[0], x[2], out=y[0])
    torch.add(x[1], x[2], out=y[1])
    torch.sub(x[2], x[1], out=y[2])
    torch.sub(x[1], x[3], out=y[3])


def _output_transform(m: Tensor, y: Tensor) -> None:
    """Four of something to two of it."""
    # The two in the middle first: that their sum is a multiple of 1/2 is what bounds rest on.
    torch.add(m[1], m[2], out=y[0])
    y[0].add_(m[0])
    torch.sub(m[1], m[2], out=y[1])
    y[1].sub_(m[3])
