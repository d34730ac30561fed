"""Muon in fp32 takes torch's steps, and goes on from its state."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from compressai_vq.training.muon import MuonInFp32, orthogonal

from ..fixtures import seeded

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SETTINGS: dict[str, Any] = {"weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}


def _step(optimizer: torch.optim.Optimizer, matrix: torch.Tensor, seed: int) -> None:
    matrix.grad = torch.randn(matrix.shape, generator=seeded(seed))
    optimizer.step()


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_steps_are_torchs(shape: tuple[int, int]) -> None:
    start = torch.randn(shape, generator=seeded())
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    ours_by = MuonInFp32([ours], 0.01, **SETTINGS)
    theirs_by = torch.optim.Muon([theirs], 0.01, **SETTINGS)
    for seed in range(3):
        _step(ours_by, ours, seed)
        _step(theirs_by, theirs, seed)
    # bf16 has 8 bits, and the iteration makes small differences larger.
    assert (ours - theirs).norm() < 0.1 * (theirs - start).norm()
    # And on from torch's state: its mean of gradients counts more than the next one.
    resumed, afresh = theirs.detach().clone(), theirs.detach().clone()
    resumed_by = MuonInFp32([resumed.requires_grad_()], 0.02, **SETTINGS)
    resumed_by.load_state_dict(copy.deepcopy(theirs_by.state_dict()))
    afresh_by = MuonInFp32([afresh.requires_grad_()], 0.01, **SETTINGS)
    before = theirs.detach().clone()
    for optimizer, matrix in ((theirs_by, theirs), (resumed_by, resumed), (afresh_by, afresh)):
        _step(optimizer, matrix, 7)
    assert (resumed - theirs).norm() < 0.1 * (theirs - before).norm()
    assert (afresh - theirs).norm() > 0.2 * (theirs - before).norm()


@pytest.mark.parametrize("shape", [(5, 30), (30, 5)])
def test_singular_values_are_brought_together(shape: tuple[int, int]) -> None:
    sizes = torch.diag(torch.linspace(0.2, 3, shape[1]))
    matrix = torch.randn(shape, generator=seeded()) @ sizes
    values = torch.linalg.svdvals(orthogonal(matrix, COEFFICIENTS, 5, 1e-7))
    assert values.min() > 0.4 and values.max() < 1.3


def test_a_matrix_without_gradient_stays() -> None:
    matrix = torch.ones(3, 4, requires_grad=True)
    MuonInFp32([matrix], lr=0.1, adjust_lr_fn="match_rms_adamw").step()
    assert torch.equal(matrix, torch.ones(3, 4))
