from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

from compressai_vq.cli.__main__ import main
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.picture import read_picture
from compressai_vq.pretrained import pretrained_weights

from . import fuzzing
from .fixtures import untrained_codec, untrained_weights
from .fuzzing import REASONS, Figures, fuzz, mutations, originals, reason, stated_size
from .image_fuzzing import FORMATS, image_files, image_mutations
from .taming_reference import one_thread  # noqa: F401
from .transport.made_up import prior_codec


def check(figures: Figures, number: int) -> None:
    assert figures.files == number
    assert figures.decoded + sum(figures.refused.values()) == number
    assert sum(figures.kinds.values()) == number
    assert len(set(figures.kinds.values())) <= 2  # every kind as often as the others
    assert figures.decoded_by_the_networks > 0
    # A hang or a runaway allocation, on any machine however busy.
    assert figures.slowest_seconds < 20
    assert figures.peak_memory_mib < 8192


def test_files() -> None:
    figures = fuzz(untrained_codec(), 1500, seed=0)
    check(figures, 1500)
    assert len(figures.refused) >= len(REASONS) - 4


def test_files_coded_by_a_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    # A header of 33 megapixels has the prior work for seconds, damaged payload or not.
    monkeypatch.setattr(FileCodec, "max_pixels", 1 << 18)
    figures = fuzz(prior_codec(), 200, seed=0)
    check(figures, 200)
    assert figures.refused["index stream is damaged"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_many_files(seed: int) -> None:
    codec = FileCodec(pretrained_weights("mao2024-vqgan-lite"), coding="frequencies")
    figures = fuzz(codec, 20_000, seed)
    check(figures, 20_000)
    unless = {"another index prior"} if codec.prior is None else {"by an index prior"}
    assert figures.refused.keys() == set(REASONS) - unless


def test_the_same_seed_gives_the_same_files() -> None:
    files = originals(untrained_codec())
    first, again, other = (list(mutations(files, 60, seed, 1 << 25)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_run_notices_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = untrained_codec()
    whole = [("whole", original.data) for original in originals(codec)]
    monkeypatch.setattr(fuzzing, "mutations", lambda *_: iter(whole))
    assert fuzz(codec, len(whole), 0).decoded == len(whole)

    class Broken(FileCodec):
        error: Exception | None = None

        def decompress(self, data: bytes) -> torch.Tensor:
            if self.error is not None:
                raise self.error
            return super().decompress(data)[:, :, :-1]

    broken = Broken(untrained_weights())
    errors = (CodecError("something else"), CodecError("megapixels\n"), IndexError("x"), None)
    for error in errors:
        broken.error = error
        with pytest.raises(AssertionError, match=r"file 0 \(whole\) of seed 0"):
            fuzz(broken, len(whole), 0)
    with pytest.raises(AssertionError, match="unknown reason"):
        reason("anything")


def test_sizes_are_read_from_the_header() -> None:
    for original in originals(untrained_codec()):
        container = original.container
        assert stated_size(original.data) == (container.width, container.height)


def test_a_folder_of_mutated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, folder, out = tmp_path / "w.safetensors", tmp_path / "in", tmp_path / "out"
    untrained_weights().save(weights)
    codec = FileCodec(LadderWeights.load(weights))
    folder.mkdir()
    good = 0
    for n, (_, data) in enumerate(mutations(originals(codec), 120, 5, 1 << 18)):
        (folder / f"{n}.cvq").write_bytes(data)
        try:
            codec.decompress(data)
            good += 1
        except CodecError:
            pass
    assert main(["decompress", str(folder), "-o", str(out), "--weights", str(weights)]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 120 - good
    assert all(line.startswith("error: ") for line in captured.err.splitlines())
    written = [path.name for path in out.iterdir()]
    assert len(written) == good > 0
    assert all(name.endswith(".png") and not name.startswith(".") for name in written)


def read(path: Path, data: bytes) -> torch.Tensor | None:
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = read_picture(path, 1 << 20)
    except CodecError as error:
        assert "\n" not in str(error)
        return None
    assert picture.dtype == torch.uint8
    assert picture.dim() == 3 and picture.shape[0] == 3
    assert 0 < picture.shape[1] * picture.shape[2] <= 1 << 20
    return picture


def fuzz_images(path: Path, number: int, seed: int) -> None:
    assert all(read(path, data) is not None for data in image_files())
    found = [read(path, data) is not None for data in image_mutations(number, seed)]
    assert number // 20 < sum(found) < number - number // 20


def test_images(tmp_path: Path) -> None:
    fuzz_images(tmp_path / "image", 100 * len(FORMATS), 0)


@pytest.mark.slow
def test_many_images(tmp_path: Path) -> None:
    fuzz_images(tmp_path / "image", 2500 * len(FORMATS), 1)


def test_image_files_are_of_their_formats(tmp_path: Path) -> None:
    for (name, _), data in zip(FORMATS, image_files(), strict=True):
        (tmp_path / "image").write_bytes(data)
        with Image.open(tmp_path / "image") as image:
            assert image.format == name
