"""Networks for tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compressai_vq.networks import lite


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Networks of few channels: the loop is the same, and runs take a fraction of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lite, "WIDTHS", (16, 16, 16))
        yield
