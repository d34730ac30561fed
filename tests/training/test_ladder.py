"""The model in training and its codebooks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from compressai_vq.training.ema_codebook import EmaCodebook
from compressai_vq.training.ladder import Ladder, covariance_penalty, share_rate


def test_each_picture_is_quantised_at_its_own_rate() -> None:
    torch.manual_seed(0)
    model = Ladder({0: torch.randn(8, 4), 3: torch.randn(64, 4)}, decay=0.9).eval()
    x = torch.rand(3, 3, 32, 32)
    rates = torch.tensor([0, 3, 0])
    out = model(x, rates)
    assert sorted(out.assigned) == [0, 3]
    assert out.assigned[0][0].shape == (8, 4) and out.assigned[3][0].shape == (4, 4)
    for n, rate in enumerate(rates):
        alone = model(x[n : n + 1], rate[None])
        assert torch.allclose(alone.x_hat, out.x_hat[n : n + 1], atol=1e-5)


def test_gradient_reaches_the_encoder_through_the_codewords() -> None:
    torch.manual_seed(0)
    model = Ladder({2: torch.randn(32, 4)}, decay=0.9)
    out = model(torch.rand(1, 3, 32, 32), torch.tensor([2]))
    out.x_hat.square().mean().backward()
    weight = model.encoder.head.weight.grad
    assert weight is not None and weight.abs().sum() > 0


def test_share_rate_copies_one_rate_to_all() -> None:
    model = Ladder({8: torch.randn(32, 4)}, decay=0.9)
    with torch.no_grad():
        model.encoder.norm.weight[8] = 3.0
    share_rate(model, 8)
    assert (model.encoder.norm.weight == 3.0).all()


def test_codebook_follows_its_vectors_and_restarts_dead_codewords() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    # Two codewords share everything at first and two are never the nearest.
    book = EmaCodebook(torch.tensor([[4.0, 5.0], [6.0, 5.0], [90.0, 90.0], [99.0, 99.0]]), 0.8)
    restarted = 0
    for _ in range(200):
        noise = torch.randn(64, 2, generator=generator)
        vectors = centres.repeat(16, 1) + 0.1 * noise
        _, indices = book(vectors)
        restarted += book.update(vectors, indices, generator)
    assert restarted >= 2
    distances = torch.cdist(centres, book.weight).min(1).values
    assert (distances < 1).sum() >= 3


def test_covariance_penalty_is_zero_for_white_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(20_000, 3, generator=generator)
    assert covariance_penalty(white).item() == pytest.approx(0, abs=0.01)
    flat = white * torch.tensor([1.0, 1.0, 0.01])
    assert covariance_penalty(flat).item() == pytest.approx(1, abs=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        exact = covariance_penalty(flat.double()).item()
        assert covariance_penalty(flat).item() == pytest.approx(exact, rel=1e-5)


def _shares(processes: int) -> list[tuple[Tensor, Tensor]]:
    """Latents of 12 pictures of 4 positions as each process has them, and their places."""
    latents = torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(1))
    places = torch.arange(48).view(12, 4)
    parts = [slice(rank, None, processes) for rank in range(processes)]
    return [(latents[part].flatten(0, 1), places[part].flatten()) for part in parts]


@pytest.mark.parametrize("processes", [2, 3, 12])
def test_dead_codewords_restart_alike_in_all_processes(processes: int) -> None:
    """In threads, which exchange tensors as processes would."""
    start = torch.cat([torch.randn(4, 3), 50 + torch.randn(12, 3)])
    alone = EmaCodebook(start, 0.5)
    books = [EmaCodebook(start, 0.5) for _ in range(processes)]
    barrier, slots = threading.Barrier(processes), [torch.zeros(0)] * processes

    def reduce_of(rank: int) -> Callable[[Tensor], Tensor]:
        def reduce(total: Tensor) -> Tensor:
            slots[rank] = total
            barrier.wait(20)
            result = torch.stack(slots).sum(0)
            barrier.wait(20)
            return result

        return reduce

    def train(rank: int) -> int:
        latents, places = _shares(processes)[rank]
        generator, restarts = torch.Generator().manual_seed(5), 0
        for _ in range(12):
            _, indices = books[rank](latents)
            restarts += books[rank].update(
                latents, indices, generator, reduce_of(rank), places, 48
            )
        return restarts

    with ThreadPoolExecutor(processes) as pool:
        restarts = list(pool.map(train, range(processes)))
    ((latents, _),) = _shares(1)
    generator, expected = torch.Generator().manual_seed(5), 0
    for _ in range(12):
        _, indices = alone(latents)
        expected += alone.update(latents, indices, generator)
    assert expected > 8 and restarts == [expected] * processes
    for book in books:
        assert torch.allclose(book.weight, alone.weight, atol=1e-5)
        assert torch.allclose(book.counts, alone.counts, atol=1e-5)


def test_few_latents_leave_finite_codewords() -> None:
    torch.manual_seed(0)
    book = EmaCodebook(torch.randn(32, 4), 0.5)
    generator = torch.Generator().manual_seed(0)
    restarts = 0
    for _ in range(300):
        latents = torch.randn(9, 4)
        _, indices = book(latents)
        restarts += book.update(latents, indices, generator)
    assert book.weight.isfinite().all() and restarts > 0
    faded = EmaCodebook(torch.randn(2, 4), 0.0)
    before = faded.weight.clone()
    faded.update(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), generator)
    assert torch.equal(faded.weight, before)
