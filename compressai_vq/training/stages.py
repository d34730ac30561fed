"""What each stage of training starts from.

::

    pretrain ──► cluster ──► finetune ──► adversarial
    one large    nine        nine rates   the same, on larger crops,
    codebook     codebooks   jointly      with a discriminator

Every stage leaves a ``state.pt`` in a folder of its name; the last two can start from a
weights file instead, so that an imported checkpoint goes through the same pipeline.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..clustering import cluster_ladder
from ..errors import CodecError
from ..ladder_weights import LadderWeights
from ..networks.grain import grain_channels
from ..networks.lite import NUM_RATES, LiteDecoder, LiteEncoder
from ..networks.taming import TamingDecoder, TamingEncoder
from .config import PACKAGED, TrainingConfig
from .ladder import Ladder, share_rate
from .settings_file import read_settings
from .source_commit import source_commit
from .state_file import load_state, save_state
from .usage import count_usage

STAGES = ("pretrain", "cluster", "finetune", "adversarial")

_LARGE = NUM_RATES - 1  # the rate whose normalisation pretraining uses


@dataclass(frozen=True)
class ClusterConfig:
    """Settings of the clustering stage."""

    seed: int = 2
    photographs: int = 1000  # of which use of the large codebook is counted
    weighted: bool = True  # by use; False as in Mao et al., 2024

    @classmethod
    def load(cls, path: Path) -> ClusterConfig:
        """Read a TOML file.

        Raises:
            CodecError: when it cannot be read or has unknown or bad settings.
        """
        return read_settings(cls, path)

    @classmethod
    def packaged(cls) -> ClusterConfig:
        """The settings that the package brings."""
        return cls.load(PACKAGED / "cluster.toml")


def pretrain_model(config: TrainingConfig) -> Ladder:
    """A fresh model with one large codebook."""
    torch.manual_seed(config.seed)
    words = torch.randn(config.codewords, config.latent_channels)
    decoder = LiteDecoder(config.latent_channels, grain_channels=config.grain)
    return Ladder({_LARGE: words}, config.decay, decoder=decoder)


def model_of(
    state: dict[str, Tensor],
    decay: float,
    qualities: list[int] | None = None,
    grain: int = 0,
) -> Ladder:
    """The model that a stage's state dict is of, with its values.

    Args:
        state: encoder, decoder and codebooks; the networks' names tell which they are.
        decay: of the codebooks' moving averages.
        qualities: 1 to 9, those wanted; None for all that there are.
        grain: channels of the noise that a lite decoder gets if it has none yet.

    Raises:
        CodecError: when a wanted quality is missing.
    """
    books = {
        int(name.split(".")[1]): value
        for name, value in state.items()
        if name.startswith("codebooks.") and name.endswith(".weight")
    }
    wanted = sorted(books) if qualities is None else [quality - 1 for quality in qualities]
    missing = [rate + 1 for rate in wanted if rate not in books]
    if missing:
        raise CodecError(f"there is no codebook for quality {missing[0]} to start from")
    channels = books[wanted[0]].shape[1]
    networks: tuple[torch.nn.Module, torch.nn.Module]
    if "encoder.net.conv_in.weight" in state:
        width = len(state["encoder.net.conv_in.weight"])
        networks = TamingEncoder(channels, width), TamingDecoder(channels, width)
    else:
        grain = grain_channels(state) or grain
        networks = LiteEncoder(channels), LiteDecoder(channels, grain_channels=grain)
    model = Ladder({rate: books[rate] for rate in wanted}, decay, *networks)
    dropped = tuple(f"codebooks.{rate}." for rate in books if rate not in wanted)
    model.load_state_dict(
        with_grain_of(model, {k: v for k, v in state.items() if not k.startswith(dropped)})
    )
    return model


def with_grain_of(model: torch.nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict, with a fresh model's grain where it has none."""
    fresh = {k: v for k, v in model.state_dict().items() if k.startswith("decoder.grain.")}
    return {**fresh, **state}


def state_of_weights(weights: LadderWeights, seen: float) -> dict[str, Tensor]:
    """A weights file's contents as a stage's state dict.

    Args:
        weights: of the file.
        seen: how many latents a codebook will see a step.  Its moving averages begin as if it
            had always seen as many: fewer, and the first pictures would move a small codebook far.
    """
    state: dict[str, Tensor] = {}
    for name, value in weights.tensors.items():
        if name.startswith(("encoder.", "decoder.")):
            state[name] = value.float()
    for quality in weights.qualities:
        words = weights.tensors[f"codebooks.{quality}"].float()
        frequencies = weights.tensors[f"log2_frequencies.{quality}"].float()
        counts = torch.exp2(frequencies) * seen
        state[f"codebooks.{quality - 1}.weight"] = words
        state[f"codebooks.{quality - 1}.counts"] = counts
        state[f"codebooks.{quality - 1}.sums"] = words * counts[:, None]
    return state


def previous_state(runs: Path, stage: str) -> dict[str, Tensor]:
    """The averaged weights of the stage before.

    Raises:
        CodecError: when that stage has not been run.
    """
    before = STAGES[STAGES.index(stage) - 1]
    path = runs / before / "state.pt"
    if not path.exists():
        otherwise = "" if stage == "cluster" else ", or give --start"
        raise CodecError(f"{stage} starts from {path}: run {before} first{otherwise}")
    average: dict[str, Tensor] = load_state(path)["average"]
    return average


def _check_clustered(path: Path, state: dict[str, Any], made_of: dict[str, Any]) -> None:
    """Make sure that clusters are of this codebook and by these settings, if they tell."""
    known = state.get("made_of", made_of)
    if known["settings"] != made_of["settings"]:
        other = "was made by other settings"
    elif not torch.equal(known["codebook"], made_of["codebook"]):
        other = "is of an earlier state of pretraining"
    else:
        return
    raise CodecError(f"{path} {other}: remove it to cluster anew")


@torch.no_grad()
def cluster(config: ClusterConfig, runs: Path, pictures: list[Tensor]) -> Ladder:
    """The pretrained model with its large codebook clustered to nine, weighted by use.

    Writes ``cluster/state.pt`` in ``runs``; where that exists, of the same codebook and by the
    same settings, nothing is done.

    Args:
        config: of this stage.
        runs: with ``pretrain/state.pt``, whose averaged weights are taken.
        pictures: training photographs, uint8 (3, H, W), that show how often a codeword is used.

    Raises:
        CodecError: when pretraining has not been run, or has gone on since, or when the settings
            have changed.
    """
    path = runs / "cluster" / "state.pt"
    large = model_of(previous_state(runs, "cluster"), 0.0)
    book = large.codebook(_LARGE)
    made_of = {"settings": asdict(config), "codebook": book.weight}
    if path.exists():
        clustered = load_state(path)
        _check_clustered(path, clustered, made_of)
        return model_of(clustered["average"], 0.0)
    counts = None
    if config.weighted:
        photographs = pictures[:: max(1, len(pictures) // config.photographs)]
        counts = count_usage(large, photographs)[_LARGE]
    ladder = cluster_ladder(book.weight, counts, seed=config.seed)
    books = {quality - 1: words for quality, words in ladder.items()}
    model = Ladder(books, 0.0, large.encoder, large.decoder)
    share_rate(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "average": model.state_dict(),
        "commits": [source_commit()],
        "made_of": made_of,
    }
    save_state(state, path)
    return model
