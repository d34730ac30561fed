"""Networks for tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from compressai_vq.networks import lite

from ..fixtures import untrained_weights


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Training commands set threads and the treatment of denormals, for their whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Networks of few channels: the loop is the same, and runs take a fraction of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lite, "WIDTHS", (16, 16, 16))
        untrained_weights.cache_clear()
        yield
    untrained_weights.cache_clear()
