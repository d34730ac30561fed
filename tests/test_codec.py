from __future__ import annotations

import copy
import functools
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from compressai.models import CompressionModel
from torch import Tensor

from compressai_vq.architectures import Mao2024VQGAN, Mao2024VQGANLite
from compressai_vq.codec import VQGANCodec
from compressai_vq.errors import CodecError

from .fixtures import photograph
from .taming_reference import one_thread  # noqa: F401

NAMES = ("mao2024-vqgan", "mao2024-vqgan-lite")
architectures = pytest.mark.parametrize("name", NAMES)
SIZES = [(1, 1), (1, 100), (33, 17), (48, 32)]


def new_codec(name: str) -> VQGANCodec:
    """Untrained, with codewords where its latents are."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        codec: VQGANCodec
        if name == "mao2024-vqgan":
            codec = Mao2024VQGAN(16, latent_channels=16, width=32)
        else:
            codec = Mao2024VQGANLite(16, latent_channels=4)
    with torch.no_grad():
        latents = codec.latent(images(64, 64)).permute(0, 2, 3, 1).flatten(0, 2)
        codec.codebook.weight.copy_(latents[::2])
    codec.update()
    return codec.eval()


shared_codec = functools.cache(new_codec)  # for tests that do not change it


def images(height: int, width: int) -> Tensor:
    """Two photographs, (2, 3, H, W) in [0, 1]."""
    return torch.stack([photograph(height, width, which) for which in (0, 1)]).float() / 255


def same(a: VQGANCodec, b: VQGANCodec) -> None:
    """Both write the same and read the same."""
    x = images(32, 48)
    written = a.compress(x)
    assert b.compress(x) == written
    assert torch.equal(a.decompress(**written)["x_hat"], b.decompress(**written)["x_hat"])


@architectures
@pytest.mark.parametrize("size", SIZES)
def test_contract(name: str, size: tuple[int, int]) -> None:
    codec = shared_codec(name)
    x = images(*size)
    rows, columns = -(-size[0] // 16), -(-size[1] // 16)

    out = codec(x)
    assert out["x_hat"].shape == x.shape
    likelihoods = out["likelihoods"]["indices"]
    assert likelihoods.shape == (2, rows, columns)
    assert ((likelihoods > 0) & (likelihoods <= 1)).all()

    written = codec.compress(x)
    assert written.keys() == {"strings", "shape"}
    assert tuple(written["shape"]) == (rows, columns)
    (strings,) = written["strings"]
    assert [type(string) for string in strings] == [bytes, bytes]
    for string, shares in zip(strings, likelihoods, strict=True):
        estimate = -shares.log2().sum().item() / 8
        assert abs(len(string) - estimate) <= 0.005 * estimate + 8

    x_hat = codec.decompress(written["strings"], written["shape"])["x_hat"]
    assert x_hat.shape == (2, 3, 16 * rows, 16 * columns)
    assert x_hat.min() >= 0 and x_hat.max() <= 1
    assert x_hat.std() > 0.001
    crop = x_hat[..., : size[0], : size[1]]
    with torch.no_grad():
        assert torch.allclose(codec(x)["x_hat"].clamp(0, 1), crop, atol=1e-5)
    # With gradients other routines convolve, which round otherwise, how much depends on the CPU.
    assert torch.allclose(out["x_hat"].clamp(0, 1), crop, atol=2e-5)


@architectures
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.rand(3, 32, 32), r"\(N, 3, H, W\) and not empty: these are \(3, 32, 32\)"),
        (torch.rand(1, 32, 32, 3), r"these are \(1, 32, 32, 3\)"),
        (torch.rand(1, 1, 32, 32), r"these are \(1, 1, 32, 32\)"),
        (torch.rand(1, 3, 0, 32), r"these are \(1, 3, 0, 32\)"),
        (torch.ones(1, 3, 32, 32, dtype=torch.int64), "uint8, or floating-point.*torch.int64"),
        (np.zeros((1, 3, 32, 32), np.float32), "must be a tensor.*and this is numpy.ndarray"),
    ],
)
def test_what_is_no_batch_of_images(name: str, x: Any, words: str) -> None:
    codec = shared_codec(name)
    for use in (codec, codec.compress, codec.encode):
        with pytest.raises(CodecError, match=words):
            use(x)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0, 255, "from 0 to 255"), (-1, 1, "from -1 to 1"), (0, math.nan, "from nan to nan")],
)
def test_floats_that_are_not_in_the_unit_range(low: float, high: float, words: str) -> None:
    codec, x = shared_codec("mao2024-vqgan-lite"), torch.full((1, 3, 32, 32), float(low))
    x[..., 0, 0] = high
    for use in (codec.compress, codec.encode):
        with pytest.raises(CodecError, match=rf"in \[0, 1\], or uint8: these are {words}"):
            use(x)
    overshot = torch.linspace(-0.2, 1.2, 3072).reshape(1, 3, 32, 32)  # as resampling does
    assert codec.encode(overshot).shape == (1, 2, 2)


def test_maps_of_other_dimensions_are_refused() -> None:
    codec = shared_codec("mao2024-vqgan-lite")
    with pytest.raises(CodecError, match=r"must be integers \(N, h, w\): .*int64 \(2, 2\)"):
        codec.write(torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(CodecError, match=r"must be integers \(N, h, w\): .*float32 \(1, 2, 2\)"):
        codec.write(torch.rand(1, 2, 2))
    with pytest.raises(CodecError, match="no strings, or an index map of 1073741824x1073741824"):
        codec.read([bytes(8)], (1 << 30, 1 << 30))


def test_codings_that_there_are_not_are_refused() -> None:
    codec, indices = shared_codec("mao2024-vqgan-lite"), torch.zeros(1, 2, 2, dtype=torch.int64)
    (string,) = codec.write(indices, "frequencies")
    with pytest.raises(CodecError, match="unknown coding other"):
        codec.write(indices, "other")
    with pytest.raises(CodecError, match="unknown coding other"):
        codec.read([string], (2, 2), "other")
    with pytest.raises(CodecError, match="unknown coding other"):
        codec.expected_bits(indices[0], "other")


@pytest.mark.parametrize("strings", [[], [b"a"], [[b"a"], [b"b"]]])
def test_strings_that_are_not_one_list(strings: Any) -> None:
    with pytest.raises(CodecError, match="a list of one list"):
        shared_codec("mao2024-vqgan-lite").decompress(strings, (2, 2))


@architectures
@pytest.mark.parametrize("size", [(33, 17), (48, 32)])
def test_a_batch_is_its_members(name: str, size: tuple[int, int]) -> None:
    codec, x = shared_codec(name), images(*size)
    written = codec.compress(x)
    decoded = codec.decompress(**written)["x_hat"]
    for n in range(len(x)):
        alone = codec.compress(x[n : n + 1])
        assert alone["strings"][0] == [written["strings"][0][n]]
        x_hat = codec.decompress(**alone)["x_hat"]
        assert torch.allclose(x_hat[0], decoded[n], atol=1e-4)


@architectures
def test_indices_come_through_exactly(name: str) -> None:
    codec, x = shared_codec(name), images(64, 64)
    indices = codec.encode(x)
    assert indices.unique().numel() > 4
    written = codec.compress(x)
    found = codec.index_coder.decompress(written["strings"][0], written["shape"])
    assert torch.equal(found, indices)
    assert torch.equal(codec.decode(indices), codec.decompress(**written)["x_hat"])


@architectures
def test_from_state_dict(name: str) -> None:
    codec = shared_codec(name)
    loaded = type(codec).from_state_dict(codec.state_dict())
    assert isinstance(loaded, CompressionModel)
    assert loaded.rate == codec.rate
    assert loaded.update() is False
    same(codec, loaded.eval())
    # CompressAI's tools do this with every checkpoint.
    assert loaded.update(force=True) is True
    same(codec, loaded)


@architectures
def test_from_state_dict_before_update(name: str) -> None:
    codec = new_codec(name)
    state = codec.state_dict()
    for buffer in ("_quantized_cdf", "_cdf_length", "_offset"):
        state[f"index_coder.{buffer}"] = torch.IntTensor()
    loaded = type(codec).from_state_dict(state).eval()
    with pytest.raises(ValueError, match="update"):
        loaded.compress(images(16, 16))
    assert loaded.update() is True
    same(codec, loaded)


@architectures
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies(name: str, way: str) -> None:
    codec = shared_codec(name)
    copied = copy.deepcopy(codec) if way == "deepcopy" else pickle.loads(pickle.dumps(codec))
    same(codec, copied)


@architectures
def test_training(name: str) -> None:
    codec, x = new_codec(name).train(), images(32, 32)
    # As CompressAI's own examples: frequencies belong to the second optimizer.
    frequencies = [p for n, p in codec.named_parameters() if n.endswith(".quantiles")]
    others = [p for n, p in codec.named_parameters() if not n.endswith(".quantiles")]
    assert len(frequencies) == 1
    optimizer = torch.optim.Adam(others, 1e-3)
    auxiliary = torch.optim.Adam(frequencies, 1e-2)
    losses, rates = [], []
    for _ in range(8):
        optimizer.zero_grad()
        auxiliary.zero_grad()
        out = codec(x)
        rate = -out["likelihoods"]["indices"].log2().mean()
        loss = F.mse_loss(out["x_hat"], x)
        (loss + 1e-4 * rate).backward()
        missing = [n for n, p in codec.named_parameters() if p.grad is None]
        assert not missing
        optimizer.step()
        rates.append(codec.aux_loss().item())
        codec.aux_loss().backward()
        auxiliary.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert rates[-1] < rates[0]
    # The networks were reached, not only their last layers.
    norms = {n: p.grad.norm().item() for n, p in codec.named_parameters() if p.grad is not None}
    assert min(norms[n] for n in norms if "conv_in.weight" in n or "stem.weight" in n) > 0
    assert norms["codebook.weight"] > 0


@architectures
def test_aux_loss_has_a_graph(name: str) -> None:
    codec = new_codec(name)
    codec.aux_loss().backward()
    assert codec.index_coder.quantiles.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_number_formats(dtype: torch.dtype) -> None:
    codec = new_codec("mao2024-vqgan-lite")
    written = codec.compress(images(33, 17))
    indices = codec.index_coder.decompress(written["strings"][0], written["shape"])
    cast = codec.to(dtype)
    found = cast.index_coder.decompress(written["strings"][0], written["shape"])
    assert torch.equal(found, indices)
    x_hat = cast.decompress(**written)["x_hat"]
    assert x_hat.shape == (2, 3, 48, 32)
    assert cast(images(33, 17))["x_hat"].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_number_format_is_that_of_small_images(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = new_codec("mao2024-vqgan-lite").to(dtype)
    indices = codec.encode(images(40, 70)[:1])
    whole = codec.decode(indices)
    monkeypatch.setattr(Mao2024VQGANLite, "whole_positions", 2)
    assert codec.decode(indices).dtype == whole.dtype


@architectures
def test_weights_of_something_else_are_told_what_is_missing(name: str) -> None:
    state = shared_codec(name).state_dict()
    kind = type(shared_codec(name))
    other = shared_codec(next(n for n in NAMES if n != name)).state_dict()
    for wrong, words in (
        ({}, "which have "),
        (other, r"which have encoder\.\S+$"),
        ({f"module.{k}": v for k, v in state.items()}, "DataParallel saved it.*update_model"),
    ):
        with pytest.raises(CodecError, match=words):
            kind.from_state_dict(wrong)


def test_damaged_strings() -> None:
    codec = shared_codec("mao2024-vqgan-lite")
    written = codec.compress(images(32, 48))
    string = written["strings"][0][0]
    for changed in (b"", string[:-1], string[:-4], string + bytes(4), string[::-1]):
        with pytest.raises(CodecError):
            codec.decompress([[changed]], written["shape"])


@pytest.mark.parametrize(("codewords", "rate"), [(2, 0), (8, 0), (64, 3), (2048, 8), (16384, 8)])
def test_the_rate_follows_from_the_codebook(codewords: int, rate: int) -> None:
    with torch.device("meta"):
        assert Mao2024VQGANLite(codewords).rate == rate


def test_replicas_of_data_parallel_work() -> None:
    """They have no parameters of their own, only attributes."""
    codec = Mao2024VQGANLite(8).eval()
    replica = codec._replicate_for_data_parallel()
    for name, module in codec.named_children():
        setattr(replica, name, module)
    for network in (codec.encoder, codec.decoder):
        network.parameters = lambda *_: iter(())
    assert replica(torch.rand(1, 3, 32, 32))["x_hat"].shape == (1, 3, 32, 32)


def test_nothing_to_decompress() -> None:
    codec = Mao2024VQGANLite(8).eval()
    codec.update()
    nothing: tuple[tuple[Any, Any], ...] = (
        ([[]], (1, 1)),
        ([[bytes(8)]], (0, 4)),
        ([[bytes(8)]], (1, 4, 1)),
    )
    for strings, shape in nothing:
        with pytest.raises(CodecError, match="no strings"):
            codec.decompress(strings, shape)
