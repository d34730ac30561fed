"""Muon on CPUs that are slow at bf16.

torch's own takes its updates' orthogonal part in bf16, whatever its weights are in; a CPU that
emulates bf16 spends most of a step on that.
"""

from __future__ import annotations

import torch
from torch import Tensor


class MuonInFp32(torch.optim.Muon):
    """:class:`torch.optim.Muon`, computing in the weights' own number format.

    Settings and state are the same, so that a run may go on with either.  For
    ``adjust_lr_fn="match_rms_adamw"`` only.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = float(group["lr"]), group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                update = matrix.grad.lerp(mean, momentum) if group["nesterov"] else mean
                update = orthogonal(
                    update, group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(update, alpha=-rate * 0.2 * max(matrix.shape) ** 0.5)


def orthogonal(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """About the nearest matrix with orthogonal rows, or columns if there are fewer of these.

    By the iteration of Newton and Schulz with the polynomial of Jordan et al., 2024, which
    brings singular values near 1 in few steps: to between about 0.5 and 1.2.  Every step is a
    product with a polynomial of the Gram matrix, so that all of them together are taken in its
    size, which is a ninth of the matrix's for 3x3 filters.

    Args:
        matrix: (M, N).
        coefficients: of the first, third and fifth power.
        steps: of the iteration.
        eps: what the norm is taken to be at least.
    """
    first, third, fifth = coefficients
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    wide = wide / wide.norm().clamp(min=eps)
    gram = wide @ wide.t()
    product = None
    for left in reversed(range(steps)):
        step = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        step.diagonal().add_(first)
        product = step if product is None else step @ product
        gram = step @ gram @ step if left else gram
    wide = wide if product is None else product @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.t()
