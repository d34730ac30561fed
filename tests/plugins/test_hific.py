"""HiFiC: import of checkpoints, agreement with a restatement, coding, losses."""

from __future__ import annotations

import copy
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compressai_vq import zoo
from compressai_vq.errors import CodecError
from compressai_vq.plugins.hific.__main__ import main
from compressai_vq.plugins.hific.checkpoint import _RENAMED, import_hific
from compressai_vq.plugins.hific.codec import HiFiC
from compressai_vq.plugins.hific.discriminator import Discriminator
from compressai_vq.plugins.hific.hyperprior import HyperDensity
from compressai_vq.plugins.hific.losses import AdversarialLoss, RateTarget, bits_per_pixel
from tests.fixtures import photograph, seeded

from . import hific_reference as reference

SMALL: dict[str, Any] = {"widths": [4, 6, 8, 10, 12], "latents": 10, "blocks": 2, "hyper": 8}
ARGUMENTS = {"normalize_input_image": False, "likelihood_type": "gaussian", "regime": "low"}


def checkpoint(path: Path, state: dict[str, Tensor] | None = None, **arguments: object) -> Path:
    """A file as the reimplementation saves it."""
    state = reference.random_state(0, **SMALL) if state is None else state
    torch.save(
        {
            "model_state_dict": {**state, "Discriminator.conv_out.bias": torch.zeros(1)},
            "compression_optimizer_state_dict": {"state": {}, "param_groups": []},
            "epoch": 8,
            "steps": 200000,
            "args": {**ARGUMENTS, **arguments},
        },
        path,
    )
    return path


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> HiFiC:
    return import_hific(checkpoint(tmp_path_factory.mktemp("hific") / "hific_low.pt"))


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.stack([photograph(128, 192, n) for n in range(2)]).float() / 255


def test_published_sizes_give_the_checkpoints_names_and_shapes() -> None:
    with torch.device("meta"):
        ours = {name: tuple(v.shape) for name, v in HiFiC().state_dict().items()}
    theirs = reference.shapes([60, 120, 240, 480, 960], 220, 9, 320)
    for name, shape in theirs.items():
        (renamed,) = (p.sub(r, name) for p, r in _RENAMED if p.match(name))
        assert ours.pop(renamed) == shape, name
    # What is left is CompressAI's own: quantiles and tables.
    parts = {name.split(".")[0] for name in ours}
    assert parts == {"entropy_bottleneck", "gaussian_conditional", "signed"}
    assert not any(".matrices." in name or ".biases." in name for name in ours)


@pytest.mark.parametrize("signed", [False, True])
def test_imported_networks_agree_with_the_restatement(
    tmp_path: Path, pictures: Tensor, signed: bool
) -> None:
    state = reference.random_state(1, **SMALL)
    path = checkpoint(tmp_path / "hific_med.pt", state, normalize_input_image=signed)
    with torch.no_grad():
        out = import_hific(path)(pictures)
        x_hat, y_likelihoods, z_likelihoods = reference.reconstruct(
            state, pictures, SMALL["blocks"], signed
        )
    torch.testing.assert_close(out["x_hat"], x_hat, atol=2e-4, rtol=1e-4)
    y, z = out["likelihoods"]["y"].double(), out["likelihoods"]["z"].double()
    torch.testing.assert_close(y, y_likelihoods, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(z, z_likelihoods, atol=1e-5, rtol=1e-3)
    # Or the comparison would have been one of constants.
    assert y.std() > 0.01 and z.std() > 0.01 and x_hat.std() > 0.01


def test_files_have_the_estimated_size_and_decode_to_the_same_picture(
    codec: HiFiC, pictures: Tensor
) -> None:
    with torch.no_grad():
        out = codec(pictures)
    coded = codec.compress(pictures)
    sizes = [sum(map(len, strings)) * 8 for strings in coded["strings"]]
    for bits, name in zip(sizes, ("y", "z"), strict=True):
        estimate = -out["likelihoods"][name].log2().sum().item()
        # Scales come from a table, and the coder writes out its state. Values in the far tail
        # are estimated at up to 30 bits, where the coder's escape takes fewer.
        assert 0.75 * estimate - 2 * 64 < bits < 1.03 * estimate + 2 * 64, name
    decoded = codec.decompress(coded["strings"], coded["shape"])["x_hat"]
    torch.testing.assert_close(decoded, out["x_hat"].clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (16, 70), (65, 130), (128, 30)])
def test_any_size_is_taken(codec: HiFiC, size: tuple[int, int]) -> None:
    x = torch.rand(1, 3, *size, generator=seeded())
    coded = codec.compress(x)
    decoded = codec.decompress(coded["strings"], coded["shape"])["x_hat"]
    with torch.no_grad():
        expected = codec(x)["x_hat"].clamp(0, 1)
    assert expected.shape == x.shape
    height, width = size
    torch.testing.assert_close(decoded[..., :height, :width], expected, atol=1e-5, rtol=0)


def test_state_dict_gives_sizes_and_tables(codec: HiFiC, pictures: Tensor) -> None:
    twin = HiFiC.from_state_dict(codec.state_dict()).eval()
    assert twin.compress(pictures)["strings"] == codec.compress(pictures)["strings"]
    other = HiFiC(4, (4, 4, 4, 4, 4), 1, 4, norm="instance", signed=True)
    again = HiFiC.from_state_dict(other.state_dict())
    assert bool(again.signed) and isinstance(again.encoder.conv_block1[2], torch.nn.InstanceNorm2d)


def test_training_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    model = HiFiC(4, (4, 4, 4, 4, 4), 1, 4).train()
    out = model(torch.rand(1, 3, 128, 128, generator=seeded()))
    rate = bits_per_pixel(out["likelihoods"].values(), 128 * 128)
    (rate + out["x_hat"].square().mean() + model.aux_loss()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_hyper_latents_lie_on_integers_and_their_masses_sum_to_one() -> None:
    torch.manual_seed(3)
    density = HyperDensity(5).eval()
    with torch.no_grad():
        for factor in density.factors:
            factor.uniform_(-0.5, 0.5)
        density.update(force=True, update_quantiles=True)
        quantiles = density.quantiles.clone()
        z_hat, _ = density(3 * torch.randn(2, 5, 4, 4, generator=seeded()))
        assert torch.equal(z_hat, z_hat.round())
        grid = torch.arange(-400.0, 401.0).expand(5, 1, -1)
        masses = density._likelihood(grid)[0].sum(dim=-1)
        torch.testing.assert_close(masses, torch.ones_like(masses), atol=1e-4, rtol=0)
        density.update(force=True)
    assert torch.equal(quantiles, density.quantiles)


# -- bad input -----------------------------------------------------------------------------


def _without(name: str) -> dict[str, Tensor]:
    state = reference.random_state(0, **SMALL)
    del state[name]
    return state


def _with(name: str, value: Tensor) -> dict[str, Tensor]:
    return {**reference.random_state(0, **SMALL), name: value}


@pytest.mark.parametrize(
    ("state", "arguments", "complaint"),
    [
        (None, {"likelihood_type": "logistic"}, "logistic"),
        (None, {"sample_noise": True}, "noise in the generator"),
        (_without("Encoder.conv_block3.1.weight"), {}, "conv_block3.1.weight is missing"),
        (_without("Hyperprior.hyperlatent_likelihood.a_3"), {}, "factors.3 is missing"),
        (_with("Encoder.conv_block2.1.bias", torch.zeros(3)), {}, r"shape \(3,\), not \(6,\)"),
        (_with("Generator.extra", torch.zeros(1)), {}, "does not belong"),
        (_with("Encoder.conv_block1.1.bias", torch.full((4,), torch.nan)), {}, "not finite"),
    ],
)
def test_other_checkpoints_are_refused(
    tmp_path: Path, state: dict[str, Tensor] | None, arguments: dict[str, Any], complaint: str
) -> None:
    path = checkpoint(tmp_path / "hific.pt", state, **arguments)
    with pytest.raises(CodecError, match=complaint):
        import_hific(path)


def test_claims_beyond_the_data_are_not_believed(tmp_path: Path) -> None:
    huge = torch.zeros(1).expand(4096, 4096, 16)
    path = checkpoint(tmp_path / "hific.pt", _with("Encoder.conv_block2.1.weight", huge))
    with pytest.raises(CodecError, match=r"block2\.1\.weight does not fit into its storage"):
        import_hific(path)


def test_compressed_checkpoints_are_refused(tmp_path: Path) -> None:
    stored, packed = checkpoint(tmp_path / "hific.pt"), tmp_path / "packed.pt"
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CodecError, match="compressed"):
        import_hific(packed)


def test_arguments_of_any_kind_are_refused_in_words(tmp_path: Path) -> None:
    nested: Any = None
    for _ in range(60):  # to write it out would take 2 ** 60 steps
        nested = (nested, nested)
    path = checkpoint(tmp_path / "hific.pt", likelihood_type=nested)
    with pytest.raises(CodecError, match="strange density"):
        import_hific(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, pictures: Tensor) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = checkpoint(tmp_path / "hific.pt", logger=Bomb())
    codec = import_hific(path)
    assert not (tmp_path / "ran").exists()
    assert codec.compress(pictures)["shape"] == (2, 3)


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint", b"PK\x03\x04"])
def test_unreadable_files_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path, output = tmp_path / "hific.pt", tmp_path / "ours.pth"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), "-o", str(output)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and str(path) in lines[0]
    assert not output.exists()


def test_command_writes_what_from_state_dict_reads(tmp_path: Path) -> None:
    output = tmp_path / "ours.pth"
    assert main([str(checkpoint(tmp_path / "hific_hi.pt")), "-o", str(output)]) == 0
    state = torch.load(output, weights_only=True)["state_dict"]
    assert HiFiC.from_state_dict(state).entropy_bottleneck._quantized_cdf.numel() > 0


def test_command_overwrites_nothing_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = checkpoint(tmp_path / "hific_hi.pt"), tmp_path / "ours.pth"
    output.write_bytes(b"mine")
    before = source.read_bytes()
    assert main([str(source), "-o", str(output)]) == 2
    assert main([str(source), "-f", "-o", str(source)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "--force overwrites it" in first and "the same file" in second
    assert (source.read_bytes(), output.read_bytes()) == (before, b"mine")
    assert main([str(source), "-f", "-o", str(output)]) == 0
    assert output.read_bytes() != b"mine"


def test_original_names_are_told_to_be_imported() -> None:
    with pytest.raises(CodecError, match="must be imported first"):
        HiFiC.from_state_dict(reference.random_state(0, **SMALL))


@pytest.mark.parametrize("strings", [[], [[b""]], [[b"", b""], [b""]], [[], []]])
def test_other_numbers_of_strings_are_refused(codec: HiFiC, strings: list[list[bytes]]) -> None:
    with pytest.raises(CodecError, match="two lists"):
        codec.decompress(strings, (2, 2))


@pytest.mark.parametrize("strings", [[[b""], [bytes(4)]], [[bytes(4)], [bytes(3)]]])
def test_strings_without_the_coders_state_are_refused(
    codec: HiFiC, strings: list[list[bytes]]
) -> None:
    with pytest.raises(CodecError, match="too short"):
        codec.decompress(strings, (2, 2))


def test_what_is_no_batch_of_pictures_is_refused(codec: HiFiC, pictures: Tensor) -> None:
    for wrong, words in ((pictures[0], r"must be \(N, 3, H, W\)"), (255 * pictures, "in .0, 1.")):
        with pytest.raises(CodecError, match=words):
            codec.compress(wrong)
    with pytest.raises(CodecError, match=r"must be \(N, 3, H, W\)"):
        codec(pictures[0])
    eight_bit = (pictures * 255).round().byte()
    assert codec.compress(eight_bit) == codec.compress(eight_bit.float() / 255)


def test_likelihoods_are_float32_in_any_number_format(codec: HiFiC, pictures: Tensor) -> None:
    likelihoods = copy.deepcopy(codec).half()(pictures.half())["likelihoods"]
    for values in likelihoods.values():
        assert values.dtype == torch.float32 and values.log2().isfinite().all()


def test_zoo_entry() -> None:
    sizes: dict[str, Any] = {"latent_channels": 4, "widths": (4,) * 5, "hyper_channels": 4}
    assert isinstance(zoo.hific(3, **sizes), HiFiC)
    with pytest.raises(ValueError, match="Invalid quality"):
        zoo.hific(4)
    with pytest.raises(ValueError, match="Invalid metric"):
        zoo.hific(1, metric="niqe")
    with pytest.raises(CodecError, match=r"hific_med\.pt") as error:
        zoo.hific(2, pretrained=True)
    assert "\n" not in str(error.value)


# -- what it is trained with ---------------------------------------------------------------


def test_discriminator_sees_picture_and_latent() -> None:
    torch.manual_seed(0)
    judge = Discriminator(6, width=4).eval()
    x, y = torch.rand(2, 3, 64, 96), torch.randn(2, 6, 4, 6)
    logits = judge(x, y)
    assert logits.shape == (2, 1, 4, 6)
    assert not torch.allclose(logits, judge(1 - x, y))
    assert not torch.allclose(logits, judge(x, -y))


def test_rate_weight_switches_at_the_target() -> None:
    target = RateTarget(0.14, above=2.0, below=0.0625)
    rate = torch.tensor(0.2)
    assert target.loss(rate, actual=0.15).item() == pytest.approx(0.4)
    assert target.loss(rate, actual=0.13).item() == pytest.approx(0.0125)
    assert target.loss(rate, actual=0.15, allowance=1.2).item() == pytest.approx(0.0125)


def test_adversarial_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    hinge = AdversarialLoss("hinge")
    assert hinge.discriminator(real, fake).item() == pytest.approx((0.25 + 0.5) / 2)
    assert hinge.generator(fake).item() == pytest.approx(1.5)
    probabilities = AdversarialLoss()
    expected = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean()
    assert probabilities.discriminator(real, fake).item() == pytest.approx(expected.item())
    expected = -torch.sigmoid(fake).log().mean()
    assert probabilities.generator(fake).item() == pytest.approx(expected.item())
