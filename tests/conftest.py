"""What holds for all tests."""

from __future__ import annotations

import gc

import pytest
import torch


def pytest_collection_finish() -> None:
    """Leave what imports made to the process: each collection would go through all of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    """A test that draws numbers without a generator of its own passes or fails always."""
    torch.manual_seed(0)
