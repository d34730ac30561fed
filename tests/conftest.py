"""What holds for all tests."""

from __future__ import annotations

import gc

import pytest
import torch

_LONGEST = ("test_packaging", "test_eval_model", "test_report_page", "test_page", "test_launch")
"""Files that are begun first: of two processes one would wait for the other at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring forward what takes longest; xdist would those files that have most tests."""
    items.sort(key=lambda item: item.path.stem not in _LONGEST)


def pytest_collection_finish() -> None:
    """Leave what imports made to the process: each collection would go through all of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    """A test that draws numbers without a generator of its own passes or fails always."""
    torch.manual_seed(0)
