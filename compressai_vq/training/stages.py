"""What each stage of training starts from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..clustering import cluster_ladder
from ..networks.lite import NUM_RATES
from .ladder import Ladder, share_rate
from .run import TrainingConfig
from .usage import count_usage

STAGES = ("pretrain", "finetune", "adversarial")

_LARGE = NUM_RATES - 1  # the rate whose normalisation pretraining uses


def pretrain_model(config: TrainingConfig) -> Ladder:
    """A fresh model with one large codebook."""
    words = torch.randn(config.codewords, config.latent_channels)
    return Ladder({_LARGE: words}, config.decay)


def adversarial_model(config: TrainingConfig, finetuned: Path) -> Ladder:
    """The jointly fine-tuned model, codebooks and their averages as they were.

    Args:
        config: of the adversarial stage.
        finetuned: ``state.pt`` of fine-tuning; its averaged weights are taken.
    """
    state = torch.load(finetuned, weights_only=True)["average"]
    books = {
        int(name.split(".")[1]): value
        for name, value in state.items()
        if name.startswith("codebooks.") and name.endswith(".weight")
    }
    model = Ladder(books, config.decay)
    model.load_state_dict(state)
    return model


@torch.no_grad()
def finetune_model(config: TrainingConfig, pretrained: Path, pictures: list[Tensor]) -> Ladder:
    """The pretrained model with its codebook clustered to nine, weighted by use.

    Args:
        config: of the fine-tuning stage.
        pretrained: ``state.pt`` of pretraining; its averaged weights are taken.
        pictures: training photographs; 1000 of them count how often a codeword is used.
    """
    state = torch.load(pretrained, weights_only=True)["average"]
    large = Ladder({_LARGE: state[f"codebooks.{_LARGE}.weight"]}, config.decay)
    large.load_state_dict(state)
    book = large.codebook(_LARGE)
    photographs = pictures[:: max(1, len(pictures) // 1000)]
    counts = count_usage(large, photographs)[_LARGE]
    ladder = cluster_ladder(book.weight, counts, seed=config.seed)
    model = Ladder({quality - 1: words for quality, words in ladder.items()}, config.decay)
    model.encoder.load_state_dict(large.encoder.state_dict())
    model.decoder.load_state_dict(large.decoder.state_dict())
    share_rate(model)
    return model
