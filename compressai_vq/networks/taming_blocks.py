"""The layers of taming-transformers' f16 networks, with its parameters and less work.

Names and shapes of the parameters are those of the package's own modules (Esser et al., 2021,
"Taming Transformers for High-Resolution Image Synthesis"), and so are the results, up to the
order of additions:

- attention never holds its matrix of positions times positions;
- without gradients, activations and sums overwrite their input;
- 3x3 convolutions in fp32 on a CPU take a fifth of the products where that pays
  (:mod:`.winograd`); elsewhere, without gradients, an enlargement and the convolution behind it
  become one transposed convolution: 16 products for a channel of an input position instead of
  36, and no enlarged copy.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .convolution import Convolution, add, like_bf16
from .winograd import pays


class Norm(nn.GroupNorm):
    """Group norm over 32 groups, as everywhere in these networks."""

    def __init__(self, channels: int) -> None:
        super().__init__(32, channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        # Other devices do not take bf16 with parameters in fp32.
        return super().forward(x if x.device.type == "cpu" else x.to(self.weight.dtype))


class ResidualBlock(nn.Module):
    """norm, SiLU, 3x3 convolution, twice, around a skip."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = Norm(in_channels)
        self.conv1 = Convolution(in_channels, out_channels)
        self.norm2 = Norm(out_channels)
        self.conv2 = Convolution(out_channels, out_channels)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        skip = self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x
        y = self.conv1(self.norm1(x), silu=True)
        y = self.norm2(y)
        return self.conv2(y, silu=True, skip=skip)

    def branch_in_bf16(self) -> None:
        """Turn the convolutions into bf16, but not the skip that their result is added to."""
        self.conv1.to(torch.bfloat16)
        self.conv2.to(torch.bfloat16)


class Attention(nn.Module):
    """Every position looks at all positions, with one head, around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape; memory grows with H W, not with its square."""
        n, c, h, w = x.shape
        y = like_bf16(self.norm(x), self.q)

        def positions(projection: Callable[[Tensor], Tensor]) -> Tensor:
            # (N, one head, H W, C): for channels-last memory a view.  With another order in
            # memory the attention would hold the matrix.
            return projection(y).permute(0, 2, 3, 1).reshape(n, 1, h * w, c).contiguous()

        y = F.scaled_dot_product_attention(positions(self.q), positions(self.k), positions(self.v))
        y = y.view(n, h, w, c).permute(0, 3, 1, 2)
        return add(self.proj_out(y), x)

    def branch_in_bf16(self) -> None:
        """Turn all but the normalisation and the skip into bf16."""
        for projection in (self.q, self.k, self.v, self.proj_out):
            projection.to(torch.bfloat16)


class Halve(nn.Module):
    """3x3 convolution with stride 2; zeros are added to the right and at the bottom alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W even, to (N, C, H/2, W/2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Every position twice as wide and high, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 H, 2 W)."""
        height, width = x.shape[2:]
        if torch.is_grad_enabled() or pays(self.conv.weight, 2 * height, 2 * width):
            return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        kernel = enlarging_kernel(self.conv.weight)
        return F.conv_transpose2d(x, kernel, self.conv.bias, stride=2, padding=1)


def enlarging_kernel(weight: Tensor) -> Tensor:
    """The transposed convolution that repeats positions 2x2 and then convolves.

    A row of the output sees three rows of the enlarged input, which are two of the input: the
    weights of equal ones are added.

    Args:
        weight: (C', C, 3, 3), of a convolution with stride 1 and padding 1.

    Returns:
        (C, C', 4, 4), for stride 2 and padding 1, in the layout of ``weight``.
    """
    sums = F.avg_pool2d(weight.float(), 2, stride=1, padding=1, divisor_override=1)
    return sums.flip(2, 3).transpose(0, 1).to(weight.dtype)
