"""One machine set up as if it were another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from compressai_vq.prior import byte_products

multiplies_bytes = byte_products.available(torch.device("cpu"))


@contextmanager
def computing(threads: int = 1, precision: str = "highest") -> Iterator[None]:
    """With so many threads, and float32 matrix products as ``torch`` allows them to be."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@contextmanager
def without_byte_products() -> Iterator[None]:
    """As on a CPU that has no instructions for products of bytes."""
    with mock.patch.object(byte_products, "available", lambda device: False):
        yield
