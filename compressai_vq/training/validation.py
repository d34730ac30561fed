"""What a run is judged by while it goes on: LPIPS at every rate, and pictures to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..contact_sheet import contact_sheet
from ..metrics.feature_distances import lpips_distance
from ..picture import from_unit, write_picture
from .ladder import Ladder, LadderOutput
from .perceptual import PerceptualLoss
from .photographs import mirrored_region

_PICTURES = 32
_PIXELS = _PICTURES * 320**2  # of all together where they are continued
_SAMPLES = 4


class Validation:
    """Photographs that are not trained on, cut to one size.

    Args:
        loss: of training, for its AlexNet; without one, L1 is measured.
        pictures: uint8 (3, H, W); the first 32 are used.
        fabric: for the precision.
        side: to which they are continued by their mirror images; 0: they are not, and the
            smallest one's side counts.
    """

    def __init__(
        self, loss: PerceptualLoss, pictures: list[Tensor], fabric: Fabric, side: int = 0
    ) -> None:
        self.loss, self.fabric = loss, fabric
        pictures = pictures[:_PICTURES]
        if side:
            pictures = pictures[: max(1, _PIXELS // side**2)]
        else:
            side = min(min(p.shape[1:]) for p in pictures) // 16 * 16
        batch = torch.stack([mirrored_region(p, 0, 0, side, side) for p in pictures])
        x = batch.float().div(127.5).sub(1.0)
        self.x = x.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def measure(self, model: Ladder) -> dict[str, float]:
        """``lpips_Q`` (AlexNet) or ``l1_Q``, and ``used_Q`` codewords, for every quality Q."""
        figures: dict[str, float] = {}
        for rate in model.rates:
            out = self._reconstruct(model, self.x, rate)
            if "alex" in self.loss.nets:
                with self.fabric.autocast():
                    x_hat = out.x_hat.clamp(-1, 1)
                    distance = lpips_distance(self.loss.nets["alex"], self.x, x_hat)
                figures[f"lpips_{rate + 1}"] = round(distance.item(), 4)
            else:
                figures[f"l1_{rate + 1}"] = round((out.x_hat - self.x).abs().mean().item(), 4)
            used = len(out.assigned[rate][1].unique()) if out.assigned else 0
            figures[f"used_{rate + 1}"] = used
        return figures

    @torch.no_grad()
    def write_samples(self, model: Ladder, path: Path) -> None:
        """A PNG: some photographs, each with its lowest, middle and highest rate beside it."""
        rates = [model.rates[n] for n in sorted({0, len(model.rates) // 2, len(model.rates) - 1})]
        x = self.x[:_SAMPLES]
        columns = [(x, "original")]
        for rate in rates:
            columns.append((self._reconstruct(model, x, rate).x_hat, f"quality {rate + 1}"))
        tiles = [
            (from_unit((batch[n : n + 1].float().cpu() + 1) / 2), caption)
            for n in range(len(x))
            for batch, caption in columns
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, contact_sheet(tiles, columns=len(columns)))

    def _reconstruct(self, model: Ladder, x: Tensor, rate: int) -> LadderOutput:
        with self.fabric.autocast():
            return model(x, torch.full((len(x),), rate))
