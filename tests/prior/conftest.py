"""What tests of the prior share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from .machines import without_byte_products


@pytest.fixture(params=["bytes", "float32"])
def products(request: pytest.FixtureRequest) -> Iterator[None]:
    """With the machine's instructions for products of bytes, if it has any, and without."""
    with without_byte_products() if request.param == "float32" else nullcontext():
        yield
