"""The first block's 3x3 sums, kept from pass to pass while gaps are filled.

::

    all gaps --one row of the table, nine times--> sums of the map of gaps
    each index that becomes known --its row less that of a gap--> nine positions' sums

The first block sees the table's rows themselves, so that its sums can follow the map: of every
position only once, instead of in every pass.  They stay exact: after each addition they are
those of a map of rows, and no such sum can reach 2^24 (see ``integer_layers.py``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .integer_convolution import IntegerConvolution


class FirstSums:
    """Sums over one map, at first of gaps alone.

    Args:
        gather: the first block's convolution.
        rows: what it is given for each index and, last, for a gap: integers in [0, 255] as
            float32 (K + 1, C), on the convolution's device.
        height: of the map.
        width: likewise.
    """

    def __init__(self, gather: IntegerConvolution, rows: Tensor, height: int, width: int) -> None:
        self._rows, self._size = rows, (height, width)
        self._weight, bias = gather.by_tap()
        offsets = [_offset(tap) for tap in range(9)]
        self._offsets = torch.tensor([d * (width + 2) + r for d, r in offsets], device=rows.device)
        # With a margin, for what positions at the edge add to their neighbours outside.
        sums = bias.repeat(height + 2, width + 2, 1)
        of_gap = self._taps(rows[-1:])[0]
        for (down, right), of_tap in zip(offsets, of_gap, strict=True):
            sums[down : down + height, right : right + width] += of_tap
        self._sums = sums

    def fill(self, positions: Tensor, indices: Tensor) -> None:
        """Put indices, int64 (P,), into gaps at positions of the flat map, each given once."""
        width = self._size[1]
        added = self._taps(self._rows[indices] - self._rows[-1])
        corner = positions // width * (width + 2) + positions % width
        to = corner[:, None] + self._offsets
        # A position may be added to several times, in any order: see above.
        self._sums.view(-1, self._sums.shape[-1]).index_add_(0, to.flatten(), added.flatten(0, 1))

    def _taps(self, rows: Tensor) -> Tensor:
        # A caller's autocast would round the sums.
        with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
            return F.linear(rows, self._weight).view(len(rows), 9, len(self._weight) // 9)

    def results(self, low: int, high: int) -> Tensor:
        """The convolution's results for the map as it is: (1, h, w, out) within [low, high]."""
        height, width = self._size
        return self._sums[1 : 1 + height, 1 : 1 + width].floor().clamp_(low, high)[None]


def _offset(tap: int) -> tuple[int, int]:
    """Where what a position adds by a tap lies, from the position's own place in the margin."""
    row, column = divmod(tap, 3)
    return 2 - row, 2 - column
