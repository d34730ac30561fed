from __future__ import annotations

import pytest
import torch

from compressai_vq import clustering
from compressai_vq.clustering import cluster_codebook, cluster_ladder
from compressai_vq.rates import LADDER

from .fixtures import seeded

CORNERS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def around_corners(*numbers: int) -> torch.Tensor:
    """That many codewords near each corner."""
    corners = CORNERS.repeat_interleave(torch.tensor(numbers), 0)
    return corners + 0.1 * torch.randn(corners.shape, generator=seeded())


def test_centres_are_the_clusters_the_most_used_first() -> None:
    centres = cluster_codebook(around_corners(10, 30, 20), 3)
    assert centres.dtype == torch.float32
    assert torch.allclose(centres, CORNERS[[1, 2, 0]], atol=0.2)


def test_use_outweighs_number() -> None:
    counts = torch.tensor([100] * 10 + [1] * 30 + [2] * 20)
    centres = cluster_codebook(around_corners(10, 30, 20), 3, counts)
    assert torch.allclose(centres, CORNERS[[0, 2, 1]], atol=0.2)


def test_unused_codewords_do_not_count() -> None:
    counts = torch.tensor([5] * 10 + [0] * 30 + [5] * 20)
    centres = cluster_codebook(around_corners(10, 30, 20), 2, counts)
    assert torch.allclose(centres, CORNERS[[2, 0]], atol=0.2)


def test_a_centre_is_the_mean_weighted_by_use() -> None:
    words, counts = torch.tensor([[0.0], [1.0], [50.0]]), torch.tensor([1, 3, 1])
    centres = cluster_codebook(words, 2, counts)
    assert torch.allclose(centres, torch.tensor([[0.75], [50.0]]))


def test_unused_codewords_fill_up_where_too_few_are_used() -> None:
    words = torch.randn(20, 4, generator=seeded())
    counts = torch.zeros(20)
    counts[3] = 7
    centres = cluster_codebook(words, 20, counts)
    assert torch.allclose(centres[0], words[3], atol=1e-6)
    found, expected = sorted(centres.tolist()), sorted(words.tolist())
    assert torch.allclose(torch.tensor(found), torch.tensor(expected), atol=1e-6)


def test_the_same_seed_gives_the_same_centres() -> None:
    words = torch.randn(300, 4, generator=seeded())
    first, again = (cluster_codebook(words, 16, seed=3) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, cluster_codebook(words, 16, seed=4))


def test_too_few_codewords() -> None:
    with pytest.raises(ValueError, match="7 codewords cannot be clustered to 8"):
        cluster_codebook(torch.zeros(7, 2), 8)


def test_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "LADDER", LADDER[:5])  # the others only take longer
    words = torch.randn(300, 2, generator=seeded())
    ladder = cluster_ladder(words)
    sizes = {quality: len(centres) for quality, centres in ladder.items()}
    assert sizes == {1: 8, 2: 16, 3: 32, 4: 64, 5: 128}
    errors = [torch.cdist(words, centres).amin(1).mean() for centres in ladder.values()]
    assert errors == sorted(errors, reverse=True)
