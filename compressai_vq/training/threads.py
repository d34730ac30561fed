"""How training uses a CPU."""

from __future__ import annotations

import torch

from ..errors import CodecError


def use_threads(count: int) -> None:
    """Compute in so many threads, 0 for all cores, with denormal numbers taken for 0.

    Raises:
        CodecError: for a negative number.
    """
    if count < 0:
        raise CodecError(f"--threads is 0 or more, not {count}")
    if count:
        torch.set_num_threads(count)
    torch.set_flush_denormal(True)
