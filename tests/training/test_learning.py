"""What steps of the training loop do: on which loss, to which weights, and that it falls."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.training import run as run_module
from compressai_vq.training.ladder import Ladder, LadderOutput
from compressai_vq.training.log import read_rows
from compressai_vq.training.regularity import regularity
from compressai_vq.training.run import TrainingRun
from compressai_vq.training.stages import ClusterConfig, cluster, pretrain_model
from compressai_vq.training.usage import count_usage

from .test_run import TINY, FeatureLoss

pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture
def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 3, 7, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (112, 112), mode="bilinear")
    return list((smooth * 255).to(torch.uint8))


def test_the_loss_falls(tmp_path: Path) -> None:
    colours = torch.tensor([[220, 40, 40], [30, 180, 60], [40, 60, 230], [230, 230, 220]])
    pictures = [c.to(torch.uint8)[:, None, None].expand(3, 48, 48) for c in colours]
    config = dataclasses.replace(
        TINY, steps=45, unquantized=10, codewords=64, learning_rate=3e-3, spread=0.0
    )
    TrainingRun(pretrain_model(config), config, tmp_path, pictures, pictures).train(15)
    rows = read_rows(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == [15, 30, 45]
    assert rows[-1]["loss"] < 0.85 * rows[0]["loss"]
    assert rows[-1]["l1_9"] < 0.85 * rows[0]["l1_9"]


@pytest.mark.parametrize(
    "weights",
    [
        {"commitment": 0.25},
        {"spread": 0.5},
        {"regularity": 2.0},
        {"adversarial": 0.7},
        {"commitment": 0.25, "spread": 0.5, "regularity": 2.0, "adversarial": 0.7},
    ],
    ids=lambda weights: "+".join(weights),
)
def test_the_loss_is_the_weighted_sum_of_its_terms(
    tmp_path: Path,
    pictures: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
    weights: dict[str, float],
) -> None:
    monkeypatch.setattr(run_module, "PerceptualLoss", FeatureLoss)
    none: dict[str, Any] = {
        "commitment": 0.0,
        "spread": 0.0,
        "unquantized": 0,
        "codewords": 16,
        "crop": 80,
    }
    config = dataclasses.replace(TINY, **{**none, **weights})
    run = TrainingRun(pretrain_model(config), config, tmp_path, pictures, pictures)
    outputs: list[tuple[Tensor, LadderOutput]] = []
    fooled: list[Tensor] = []

    def forward(x: Tensor, *more: Any) -> LadderOutput:
        outputs.append((x, Ladder.forward(run.model, x, *more)))
        return outputs[-1][1]

    run.wrapped = forward  # type: ignore[assignment]
    if run.adversary:
        judge = run.adversary.fooled

        def recorded(features: list[Tensor]) -> Tensor:
            fooled.append(judge(features))
            return fooled[-1]

        monkeypatch.setattr(run.adversary, "fooled", recorded)
    figures = run._train_step()
    ((x, output),) = outputs
    terms = {
        "commitment": output.commitment,
        "spread": output.spread,
        "regularity": regularity(x, output.x_hat),
        "adversarial": run.adversary.balance * fooled[0] if run.adversary else torch.zeros(()),
    }
    assert all(terms[name].abs() > 1e-4 for name in weights)
    wanted = (x - output.x_hat).abs().mean()
    wanted = wanted + sum(weight * terms[name] for name, weight in weights.items())
    assert figures["loss"] == pytest.approx(wanted.item(), rel=1e-3)


def test_a_step_goes_down_the_gradient_of_the_whole_loss(
    tmp_path: Path, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(TINY, unquantized=0, codewords=16, learning_rate=1e-4, warmup=0)
    run = TrainingRun(pretrain_model(config), config, tmp_path, pictures, pictures)
    before = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    run._train_step()
    downhill = 0.0
    for name, parameter in run.model.named_parameters():
        if parameter.grad is not None:
            downhill -= ((parameter.detach() - before[name]) * parameter.grad).sum().item()
    assert downhill > 0


def test_a_line_in_the_log_leaves_the_model_as_it_is(
    tmp_path: Path, pictures: list[Tensor]
) -> None:
    run = TrainingRun(pretrain_model(TINY), TINY, tmp_path, pictures, pictures)
    run.train(until=4)
    model = {name: value.clone() for name, value in run.model.state_dict().items()}
    average = {name: value.clone() for name, value in run.average.items()}
    assert any(not torch.equal(model[name], average[name]) for name in model)
    run._log({})
    for name, value in model.items():
        assert torch.equal(run.model.state_dict()[name], value), name
        assert torch.equal(run.average[name], average[name]), name


def test_codebooks_begin_as_latents_of_their_time(
    tmp_path: Path, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(TINY, codewords=32)
    run = TrainingRun(pretrain_model(config), config, tmp_path, pictures, pictures)
    filled: list[int] = []
    fill = run._fill_codebooks

    def recorded() -> None:
        filled.append(run.step)
        fill()
        (rate,) = run.model.rates
        book = run.model.codebook(rate)
        with torch.no_grad():
            latents = run.model.encoder(run._crops(64, config.seed + 1, 0), rate)
        latents = latents.permute(0, 2, 3, 1).flatten(0, 2)
        apart = (book.weight[:, None] - latents[None]).norm(dim=2)
        assert apart.min(1).values.max() < 1e-4
        assert len(book.weight.unique(dim=0)) > 1
        assert torch.equal(book.sums, book.weight) and torch.equal(
            book.counts, torch.ones(len(book.weight))
        )

    monkeypatch.setattr(run, "_fill_codebooks", recorded)
    run.train()
    assert filled == [config.unquantized]


def test_clusters_share_what_pretraining_has_learned(
    tmp_path: Path, pictures: list[Tensor]
) -> None:
    config = dataclasses.replace(TINY, steps=3, codewords=2048, learning_rate=0.1, average=0.0)
    TrainingRun(pretrain_model(config), config, tmp_path / "pretrain", pictures, pictures).train()
    large = torch.load(tmp_path / "pretrain" / "state.pt", weights_only=True)["average"]
    norms = [name for name in large if name.endswith(("norm.weight", "norm.bias"))]
    assert any(not torch.equal(large[name][8], large[name][0]) for name in norms)
    state = cluster(ClusterConfig(photographs=2), tmp_path, pictures).state_dict()
    for name in norms:
        assert torch.equal(state[name], large[name][8].expand_as(large[name])), name
    kept = cluster(ClusterConfig(photographs=2), tmp_path, pictures).state_dict()
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    with pytest.raises(CodecError, match=r"by other settings: remove it"):
        cluster(ClusterConfig(photographs=3), tmp_path, pictures)
    longer = dataclasses.replace(config, steps=4)
    TrainingRun(pretrain_model(longer), longer, tmp_path / "pretrain", pictures, pictures).train()
    with pytest.raises(CodecError, match=r"earlier state of pretraining: remove it"):
        cluster(ClusterConfig(photographs=2), tmp_path, pictures)


def test_use_is_counted_over_whole_photographs() -> None:
    torch.manual_seed(0)
    model = Ladder({2: torch.randn(8, 4), 5: torch.randn(16, 4)}, 0.9).eval()
    generator = torch.Generator().manual_seed(1)
    photographs = [
        torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
        for size in ((32, 48), (70, 33))
    ]
    counts = count_usage(model, photographs)
    assert sorted(counts) == [2, 5]
    for rate, count in counts.items():
        wanted = torch.zeros_like(count)
        for photograph in photographs:
            height, width = photograph.shape[1] // 16 * 16, photograph.shape[2] // 16 * 16
            x = photograph[None, :, :height, :width] / 127.5 - 1
            with torch.no_grad():
                latent = model.encoder(x, rate)
            vectors = latent.permute(0, 2, 3, 1).flatten(0, 2)
            for index in torch.cdist(vectors, model.codebook(rate).weight).argmin(1).tolist():
                wanted[index] += 1
        assert count.sum() == 2 * 3 + 4 * 2
        # In bf16, where a CPU is fast at it, a latent between two codewords can turn.
        assert (count - wanted).abs().sum() <= 2
