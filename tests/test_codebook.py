from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from compressai_vq import codebook as codebook_module
from compressai_vq.codebook import Codebook, nearest_codewords

from .fixtures import properties, seeded


def whole_numbers(rows: int, columns: int, seed: int) -> Tensor:
    """Small enough that every distance between them is exact in fp32, with many ties."""
    return torch.randint(-3, 4, (rows, columns), generator=seeded(seed)).float()


def brute_force(latents: Tensor, codewords: Tensor) -> list[int]:
    return [
        min(range(len(codewords)), key=lambda k: (codewords[k] - z).square().sum().item())
        for z in latents
    ]


@properties
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 8), st.integers(0, 1 << 32))
def test_search_is_brute_force_with_the_first_of_equals(
    vectors: int, words: int, channels: int, seed: int
) -> None:
    latents = whole_numbers(vectors, channels, seed)
    codewords = whole_numbers(words, channels, seed + 1)
    assert nearest_codewords(latents, codewords).tolist() == brute_force(latents, codewords)


@pytest.mark.parametrize("words", [64, 128, 2048])
def test_search_in_groups_takes_the_first_of_equals_too(words: int) -> None:
    latents, codewords = whole_numbers(300, 3, 0), whole_numbers(words, 3, 1)
    distances = torch.cdist(latents.double(), codewords.double())  # whole numbers' roots
    found = nearest_codewords(latents, codewords)
    least = distances.amin(1)
    assert torch.equal(distances.gather(1, found[:, None])[:, 0], least)
    for row, index in zip(distances, found.tolist(), strict=True):
        assert (row[:index] > row[index]).all()
    same = torch.zeros(words, 3)
    assert (nearest_codewords(latents, same) == 0).all()


@pytest.mark.parametrize("pairs", [1, 7, 64, 1000])
def test_memory_has_a_limit(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    latents, codewords = whole_numbers(101, 4, 0), whole_numbers(7, 4, 1)
    expected = nearest_codewords(latents, codewords)
    held = []
    mm = torch.mm

    def spy(a: Tensor, b: Tensor) -> Tensor:
        distances = mm(a, b)
        held.append(distances.numel())
        return distances

    monkeypatch.setattr(torch, "mm", spy)
    monkeypatch.setattr(codebook_module, "_PAIRS_AT_ONCE", pairs)
    assert torch.equal(nearest_codewords(latents, codewords), expected)
    assert sum(held) == 101 * 7
    assert max(held) <= max(pairs, 7)  # a vector is compared with all codewords at once


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_search_is_in_single_precision(dtype: torch.dtype) -> None:
    latents, codewords = whole_numbers(50, 4, 0), whole_numbers(9, 4, 1)
    found = nearest_codewords(latents.to(dtype), codewords.to(dtype))
    assert torch.equal(found, nearest_codewords(latents, codewords))


def test_lookup_puts_the_codewords_in_their_places() -> None:
    book = Codebook(5, 3)
    indices = torch.tensor([[[0, 4, 2], [1, 1, 3]]])
    found = book.lookup(indices)
    assert found.shape == (1, 3, 2, 3)
    assert torch.equal(found[0, :, 0, 1], book.weight[4])
    assert torch.equal(found[0, :, 1, 2], book.weight[3])
    assert torch.equal(book.quantize(found), indices)


def test_straight_through() -> None:
    book = Codebook(4, 3)
    latent = torch.randn(2, 3, 5, 6, generator=seeded()).requires_grad_()
    words, indices = book(latent)
    assert torch.equal(words, book.lookup(indices))
    assert torch.equal(indices, book.quantize(latent))
    upstream = torch.randn(words.shape, generator=seeded(1))
    words.backward(upstream)
    assert latent.grad is not None
    assert torch.equal(latent.grad, upstream)
    vectors = upstream.permute(0, 2, 3, 1).reshape(-1, 3)
    expected = torch.zeros(4, 3).index_add_(0, indices.flatten(), vectors)
    assert book.weight.grad is not None
    assert torch.allclose(book.weight.grad, expected, atol=1e-5)
