"""The exported networks in onnxruntime against torch, and the tables beside them."""

from __future__ import annotations

import dataclasses
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from compressai_vq import onnx_export
from compressai_vq.cli.__main__ import main
from compressai_vq.codebook import nearest_codewords
from compressai_vq.errors import CodecError
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.networks.grain import Corner
from compressai_vq.onnx_export import (
    FILES,
    decoder_margin,
    decoder_model,
    encoder_model,
    export_onnx,
)
from compressai_vq.prior.distribution import weights_of
from compressai_vq.prior.prior_weights import PriorWeights
from compressai_vq.rates import LADDER

from .fixtures import DIMENSIONS, seeded, untrained_weights
from .lively_weights import lively_weights
from .prior.made_up import made_up_network
from .taming_reference import one_thread  # noqa: F401

onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

BOUND = 1e-4
"""Largest difference of a pixel in [0, 1], or of a latent, from torch's in fp32."""

WITHOUT_PRIOR = [name for name in FILES if name != "prior.safetensors"]


def session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def encoder() -> Any:
    return session(encoder_model(lively_weights()))


@pytest.fixture(scope="module")
def decoder() -> Any:
    return session(decoder_model(lively_weights()))


def run(network: Any, x: Tensor, quality: int, corner: Corner = (0, 0)) -> Tensor:
    (source, _, *more), (target,) = network.get_inputs(), network.get_outputs()
    inputs = {source.name: x.contiguous().numpy(), "rate": np.array(quality - 1)}
    if more:
        inputs["corner"] = np.array(corner)
    (result,) = network.run([target.name], inputs)
    return torch.from_numpy(result)


@pytest.mark.parametrize("quality", [1, 5, 9])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 3)])
def test_decoder(decoder: Any, quality: int, shape: tuple[int, int, int]) -> None:
    codec = lively_weights().codec(quality)
    indices = torch.randint(LADDER[quality - 1], shape, generator=seeded(quality))
    expected = codec.decode(indices)
    decoded = run(decoder, codec.codebook.lookup(indices).detach(), quality)
    assert decoded.shape == expected.shape == (shape[0], 3, 16 * shape[1], 16 * shape[2])
    assert 0 < expected.mean() < 1 and expected.std() > 0.03
    assert (decoded - expected).abs().max() < BOUND


def test_corner(decoder: Any) -> None:
    """The grain is of the place in the larger map, which may be wider than the field."""
    network = lively_weights().codec(2).decoder
    codewords = torch.randn(1, DIMENSIONS, 2, 70, generator=seeded())
    pictures = []
    for corner in ((0, 0), (63, 5)):
        with torch.no_grad():
            expected = ((network(codewords, 1, corner) + 1) / 2).clamp(0, 1)
        pictures.append(run(decoder, codewords, 2, corner))
        assert (pictures[-1] - expected).abs().max() < BOUND
    assert (pictures[0] - pictures[1]).abs().max() > 100 * BOUND


def test_weights_without_grain() -> None:
    weights = lively_weights()
    kept = {k: v for k, v in weights.tensors.items() if not k.startswith("decoder.grain.")}
    plain = dataclasses.replace(weights, tensors=kept)
    codec = plain.codec(4)
    indices = torch.randint(LADDER[3], (1, 2, 3), generator=seeded())
    codewords = codec.codebook.lookup(indices).detach()
    decoded = run(session(decoder_model(plain)), codewords, 4, (7, 8))
    assert (decoded - codec.decode(indices)).abs().max() < BOUND


def test_rates_differ(decoder: Any) -> None:
    """Or the comparison above would not see that the rate is taken from the input."""
    codewords = torch.randn(1, DIMENSIONS, 2, 2, generator=seeded())
    pictures = [run(decoder, codewords, quality) for quality in (1, 2, 9)]
    assert (pictures[0] - pictures[1]).abs().max() > 100 * BOUND
    assert (pictures[0] - pictures[2]).abs().max() > 100 * BOUND


@pytest.mark.parametrize("quality", [1, 5, 9])
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 48, 80)])
def test_encoder(encoder: Any, quality: int, shape: tuple[int, int, int]) -> None:
    codec = lively_weights().codec(quality)
    images = torch.rand(shape[0], 3, *shape[1:], generator=seeded(quality))
    with torch.no_grad():
        expected = codec.latent(images)
    latents = run(encoder, images, quality)
    assert latents.shape == expected.shape
    scale = expected.abs().mean()
    assert (latents - expected).abs().max() < BOUND * scale
    ours, theirs = (x.permute(0, 2, 3, 1).flatten(0, 2) for x in (latents, expected))
    codewords = codec.codebook.weight.detach()
    found = nearest_codewords(ours, codewords)
    distances = torch.cdist(theirs, codewords, compute_mode="donot_use_mm_for_euclid_dist")
    chosen = distances.gather(1, found[:, None])[:, 0]
    # Another index only where both codewords are equally near.
    assert (chosen - distances.amin(1)).max() < 2 * DIMENSIONS * BOUND * scale
    assert (found == nearest_codewords(theirs, codewords)).float().mean() > 0.9


def test_networks_are_stored_as_in_the_weights_file() -> None:
    weights = lively_weights()
    half = onnx.load_from_string(decoder_model(weights))
    stored = {tensor.name: tensor for tensor in half.graph.initializer}
    kept = onnx.numpy_helper.to_array(stored["stem.weight"])
    assert (kept == weights.tensors["decoder.stem.weight"].numpy()).all()
    single = {name: value.float() for name, value in weights.tensors.items()}
    full = decoder_model(dataclasses.replace(weights, tensors=single))
    assert half.ByteSize() < 0.52 * len(full)
    codewords = torch.randn(1, DIMENSIONS, 2, 3, generator=seeded())
    both = [run(session(model), codewords, 3) for model in (half.SerializeToString(), full)]
    assert torch.equal(*both)
    assert {p.key: p.value for p in half.metadata_props} == {
        "architecture": weights.architecture,
        "fingerprint": weights.fingerprint.hex(),
    }


def test_nothing_beyond_the_margin_counts(decoder: Any) -> None:
    margin = decoder_margin(lively_weights().codec(5))
    codewords = torch.randn(1, DIMENSIONS, 2, margin + 3, generator=seeded())
    whole = run(decoder, codewords, 4)
    for missing in (1, 2):
        part = run(decoder, codewords[..., missing:], 4, (0, missing))
        beyond = 16 * margin
        difference = (part - whole[..., 16 * missing :]).abs()
        assert difference[..., beyond:].max() < BOUND < difference[..., :16].max()
    # And it is no larger than it must be: 1 + 10, 3, (2 * 2 + 1) / 4 and 1/8 of a position.
    assert margin == 16


@pytest.fixture
def made_up(tmp_path: Path) -> tuple[Path, Path]:
    """Weights and their prior, in files."""
    weights, prior = tmp_path / "weights.safetensors", tmp_path / "prior.safetensors"
    fingerprint = untrained_weights().save(weights)
    PriorWeights(made_up_network(), fingerprint).save(prior)
    return weights, prior


def test_command(
    made_up: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "model"
    weights, prior = made_up
    command = ["export-onnx", "-o", str(folder), "--weights", str(weights)]
    assert main([*command, "--prior", str(prior), "-q", "2,9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [*WITHOUT_PRIOR[:2], "prior.safetensors", WITHOUT_PRIOR[2]]
    assert lines == [f"{folder / n}: {(folder / n).stat().st_size} bytes" for n in names]
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)
    assert (folder / "prior.safetensors").read_bytes() == prior.read_bytes()

    with safetensors.safe_open(folder / "codec.safetensors", "np") as file:
        facts = json.loads(file.metadata()[onnx_export.METADATA])
    loaded = LadderWeights.load(weights)
    assert facts == {
        "format": 4,
        "architecture": "mao2024-vqgan-lite",
        "fingerprint": loaded.fingerprint.hex(),
        "prior": PriorWeights.load(prior).joint_fingerprint.hex(),
        "margin": 16,
        "max_pixels": loaded.codec(2).max_pixels,
        "checksums": {
            name: zlib.crc32(data[8 + int.from_bytes(data[:8], "little") :] if of_tables else data)
            for name in names
            for data in [(folder / name).read_bytes()]
            for of_tables in [name == "codec.safetensors"]
        },
    }
    tables = safetensors.numpy.load_file(folder / "codec.safetensors")
    assert sorted(tables) == [
        "codebooks.2", "codebooks.9", "frequencies.2", "frequencies.9", "powers_of_two",
    ]  # fmt: skip
    for quality in (2, 9):
        codec = loaded.codec(quality)
        assert (tables[f"codebooks.{quality}"] == codec.codebook.weight.detach().numpy()).all()
        frequencies = torch.from_numpy(tables[f"frequencies.{quality}"])
        assert frequencies.sum() == 1 << 16 and frequencies.min() > 0
        assert torch.equal(frequencies / (1 << 16), codec.index_coder.probabilities)
    powers = torch.from_numpy(tables["powers_of_two"])
    assert powers[0] == 1 << 30 and powers[-1] == 1 and powers[256] == 1 << 29
    logits = torch.tensor([[700, 300, -90_000]])
    assert weights_of(logits)[0].tolist() == [powers[0], powers[400], powers[-1]]

    assert main(command) == 2
    assert "encoder.onnx exists; --force overwrites it" in capsys.readouterr().err


@pytest.mark.parametrize("name", FILES)
def test_none_of_an_export_s_files_is_overwritten_unasked(
    name: str, made_up: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / name).write_bytes(b"somebody's")
    weights, prior = made_up
    command = ["export-onnx", "-o", str(folder), "--weights", str(weights)]
    assert main([*command, "--prior", str(prior)]) == 2
    assert f"{name} exists; --force overwrites it" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-q", "10"], "not 10"),
        (["-q", "one"], "-q takes numbers such as 1,5,9, not 'one'"),
        (["--prior", "none.safetensors"], "cannot read the prior none.safetensors"),
        (["--weights", "none.safetensors"], "cannot read weights none.safetensors"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    message: str,
    made_up: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "model"
    command = ["export-onnx", "-o", str(folder), "--weights", str(made_up[0]), *arguments]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not folder.exists()


def test_what_cannot_be_exported(
    made_up: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = LadderWeights.load(made_up[0])
    folder = tmp_path / "model"
    taming = dataclasses.replace(weights, architecture="mao2024-vqgan")
    with pytest.raises(CodecError, match="only mao2024-vqgan-lite can be exported"):
        export_onnx(taming, folder)
    with pytest.raises(CodecError, match="belongs to weights"):
        export_onnx(untrained_weights(1), folder, [1], made_up[1])
    with pytest.raises(CodecError, match="is a file; the export needs a folder"):
        arguments = ["export-onnx", "-o", str(made_up[0])]
        raise_errors(arguments)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CodecError, match="needs the extra 'onnx'"):
        export_onnx(weights, folder, [1])
    assert not folder.exists()


def test_another_exports_prior_is_not_left_beside(
    made_up: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export_onnx(LadderWeights.load(made_up[0]), folder, [1], made_up[1])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CodecError, match="holds another export's index prior"):
        export_onnx(untrained_weights(1), folder, [1])
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def raise_errors(arguments: list[str]) -> None:
    """Run a command without the line that ``main`` makes of an error."""
    from compressai_vq.cli.__main__ import parser

    parsed = parser().parse_args(arguments)
    parsed.run(parsed)
