"""TOML files to dataclasses of settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from compressai_vq.errors import CodecError
from compressai_vq.training.prior.config import PriorConfig
from compressai_vq.training.settings_file import read_settings
from compressai_vq.training.stages import ClusterConfig

CONFIGS = Path(__file__).parents[2] / "compressai_vq" / "training" / "prior" / "configs"


@dataclass(frozen=True)
class _Settings:
    steps: int
    share: float
    name: str = "a"
    average: float = 0.5


def read(text: str, folder: Path) -> _Settings:
    (folder / "a.toml").write_text(text)
    return read_settings(_Settings, folder / "a.toml")


def test_fields_are_filled(tmp_path: Path) -> None:
    assert read("steps = 3\nshare = 2", tmp_path) == _Settings(3, 2)
    assert read("steps = 3\nshare = 0.5\nname = 'b'", tmp_path) == _Settings(3, 0.5, "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = ", "cannot read settings .*a.toml: Invalid value"),
        ("steps = 3", "a.toml: settings are missing: share"),
        ("stpes = 3\nnmae = 1", "a.toml: unknown settings: nmae, stpes"),
        ("steps = 'two'\nshare = 1", "a.toml: steps is of type int, not 'two'"),
        ("steps = 0\nshare = 1", "a.toml: steps is 1 or more, not 0"),
        ("steps = 1\nshare = nan", "a.toml: share is 0 or more, not nan"),
        ("steps = 1\nshare = inf", "a.toml: share is 0 or more, not inf"),
        ("steps = 1\nshare = 1\naverage = 1.1", "a.toml: average is from 0 to 1, not 1.1"),
        ("steps = 1\nshare = true", "a.toml: share is of type float, not True"),
    ],
)
def test_bad_files_are_one_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        read(text, tmp_path)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"no\.toml: No such file"):
        read_settings(_Settings, tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("photographs = 0", "photographs is 1 or more, not 0"),
        ("weighted = 1", "weighted is of type bool, not 1"),
        ("weight = true", "unknown settings: weight"),
    ],
)
def test_clustering(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text(text)
    with pytest.raises(CodecError, match=words):
        ClusterConfig.load(tmp_path / "cluster.toml")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("crop = 40", "crop is a multiple of 16, not 40"),
        ("batch = 0", "batch is 1 or more, not 0"),
        ("random_share = 2.0", "random_share is from 0 to 1, not 2.0"),
        ("zoom = 0.5", "zoom is 1 or more, not 0.5"),
        ("validation = 0", "validation is 1 tile or more"),
        ("optimizer = 'sgd'", "optimizer is adamw or muon, not 'sgd'"),
    ],
)
def test_the_priors(line: str, words: str, tmp_path: Path) -> None:
    name = line.partition(" ")[0]
    packaged = (CONFIGS / "prior.toml").read_text().splitlines()
    kept = [text for text in packaged if not text.startswith(f"{name} ")]
    (tmp_path / "prior.toml").write_text("\n".join([*kept, line]))
    with pytest.raises(CodecError, match=words):
        PriorConfig.load(tmp_path / "prior.toml")


@pytest.mark.parametrize("name", ["prior.toml", "prior-again.toml", "prior-longer.toml"])
def test_packaged_config_is_complete(name: str) -> None:
    config = PriorConfig.load(CONFIGS / name)
    assert config.crop % 16 == 0 and config.quantize_from < config.steps
