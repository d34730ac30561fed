"""Round trips of the codecs that we are compared with, on small pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch

from compressai_vq.errors import CodecError
from compressai_vq.evaluation import psnr
from plugins.still_codecs import avif, external, pillow
from plugins.still_codecs.avif import AVIF
from plugins.still_codecs.bpg import BPG
from plugins.still_codecs.compression_model import CompressionModelCodec
from plugins.still_codecs.ffmpeg import SMALLEST_SIDE, YUV420_10, FFmpeg
from plugins.still_codecs.hevc import HEVC
from plugins.still_codecs.jpegxl import JPEGXL
from plugins.still_codecs.learned import retrained
from plugins.still_codecs.still_picture import StillPictureCodec
from plugins.still_codecs.vtm import CONFIG_VARIABLE, VTM
from plugins.still_codecs.vvc import VVC

from ..fixtures import gentle, noise, photograph, seeded
from ..taming_reference import one_thread  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]

# Codec, and a quality at which little is lost.
CODECS: list[tuple[type[StillPictureCodec], int]] = [
    (VVC, 12),
    (HEVC, 12),
    (AVIF, 95),
    (JPEGXL, 95),
]
EACH = pytest.mark.parametrize(("make", "best"), CODECS, ids=[c.__name__ for c, _ in CODECS])


def make_or_skip(make: Callable[[], StillPictureCodec]) -> StillPictureCodec:
    try:
        return make()
    except CodecError as error:
        pytest.skip(str(error))


# -- all of them --------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize(("height", "width"), [(48, 64), (65, 48), (64, 71), (51, 53)])
def test_files_are_complete_and_bring_the_size_back(
    make: type[StillPictureCodec], best: int, height: int, width: int
) -> None:
    codec = make_or_skip(make)
    picture = gentle(height, width)
    data = codec.compress(picture, best)
    assert isinstance(data, bytes)
    # Another object decodes it: nothing is kept outside of the file.
    decoded = make().decompress(data)
    assert (decoded.dtype, decoded.shape) == (torch.uint8, picture.shape)
    # With a wrong matrix or range it would be below 30.
    assert psnr(picture, decoded) > 38
    assert codec.compress(picture, best) == data


@EACH
def test_qualities_go_from_small_to_large_files(make: type[StillPictureCodec], best: int) -> None:
    codec = make_or_skip(make)
    picture = photograph(64, 96)
    sizes = [len(codec.compress(picture, quality)) for quality in codec.qualities]
    assert sizes == sorted(sizes)
    assert 1.2 * sizes[0] < sizes[-1] < len(codec.compress(picture, best))


@EACH
def test_damaged_files_are_one_line(make: type[StillPictureCodec], best: int) -> None:
    codec = make_or_skip(make)
    whole = codec.compress(photograph(64, 64), codec.qualities[0])
    for data in (b"", b"not a picture", whole[:20]):
        with pytest.raises(CodecError) as caught:
            codec.decompress(data)
        assert "\n" not in str(caught.value)


@EACH
def test_says_what_it_is(make: type[StillPictureCodec], best: int) -> None:
    codec = make_or_skip(make)
    assert codec.label
    assert any(character.isdigit() for character in codec.description)  # a version
    assert codec.extension.startswith(".")


# -- VVC and HEVC -------------------------------------------------------------------------


def test_an_odd_picture_costs_vvc_at_most_three_bytes() -> None:
    codec = make_or_skip(VVC)
    even = codec.compress(gentle(52, 54), 50)
    assert even[-1] != 0
    for height, width, zeros in [(52, 53, 1), (51, 54, 2), (51, 53, 3)]:
        data = codec.compress(gentle(height, width), 50)
        assert len(data) - len(data.rstrip(b"\0")) == zeros
        # Those zeros are part of the format: ffmpeg reads the file as it is.
        assert FFmpeg().decode(data, YUV420_10, "vvc").shape == (3, 52, 54)
    with pytest.raises(CodecError, match="more than three zeros"):
        codec.decompress(even + bytes(4))


@pytest.mark.parametrize("make", [VVC, HEVC])
def test_what_video_encoders_do_not_take(make: type[StillPictureCodec]) -> None:
    codec = make_or_skip(make)
    with pytest.raises(CodecError, match=r"40x64 pixels are too few .* 48 and more"):
        codec.compress(photograph(64, SMALLEST_SIDE - 8), 50)
    for quality in (-1, 64):
        with pytest.raises(CodecError, match="takes qualities"):
            codec.compress(photograph(64, 64), quality)


def test_hevc_has_no_information_message() -> None:
    data = make_or_skip(HEVC).compress(photograph(64, 64), 51)
    assert b"x265" not in data
    assert len(data) < 200


def test_hevc_tells_no_time() -> None:
    data = make_or_skip(HEVC).compress(photograph(64, 64), 51)
    units = data.split(b"\0\0\1")
    (parameters,) = [unit for unit in units if unit and unit[0] >> 1 & 63 == 33]
    assert len(parameters) < 36  # with a clock's rate it has ten bytes more


# -- AVIF and JPEG XL ---------------------------------------------------------------------


def test_avif_is_not_cut_into_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, picture = make_or_skip(AVIF), photograph(512, 1024)
    data = codec.compress(picture, 0)

    def save(*arguments: Any, **options: Any) -> bytes:
        return pillow.save(*arguments, **{**options, "autotiling": True})

    monkeypatch.setattr(avif, "pillow", SimpleNamespace(save=save))
    assert len(data) < len(codec.compress(picture, 0))


def test_jpeg_xl_halves_the_picture_below_quality_19() -> None:
    """As its description says, and why its operating points are on both sides of that."""
    codec, picture = make_or_skip(JPEGXL), noise(64, 64)

    def details(quality: int) -> float:
        decoded = codec.decompress(codec.compress(picture, quality)).float()
        return float(torch.fft.fft2(decoded)[:, 20:45, 20:45].abs().square().sum())

    assert 10 * details(18) < details(19)
    assert min(codec.qualities) < 19 <= max(codec.qualities)


# -- what is missing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "module"), [(VVC, "imageio_ffmpeg"), (HEVC, "imageio_ffmpeg"), (JPEGXL, "pillow_jxl")]
)
def test_a_missing_package_names_the_extra(
    make: type[StillPictureCodec], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # import then fails
    with pytest.raises(CodecError, match=r"pip install 'compressai-vq\[baselines\]'"):
        make()


def test_an_ffmpeg_without_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_or_skip(VVC)
    program = script(tmp_path / "ffmpeg", "print(' V....D libx264 H.264'); print('ffmpeg')")
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(program))
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_version", lambda: "1.0")
    with pytest.raises(CodecError, match="has no libvvenc"):
        VVC()


@pytest.mark.parametrize(("make", "name"), [(BPG, "bpgenc"), (VTM, "EncoderAppStatic")])
def test_missing_programs(
    make: type[StillPictureCodec], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CodecError, match=f"^{name} is not on the PATH$"):
        make()


# -- programs on the PATH, here stand-ins that copy ---------------------------------------


def script(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -S\nimport sys, shutil\n{code}\n")
    path.chmod(0o755)
    return path


BPG_ENCODER = """
a = sys.argv
assert a[1:3] != ["-o"] and a[3:5] == ["-q", "45"] and a[5:7] == ["-f", "444"], a
shutil.copy(a[-1], a[2])
"""

VTM_ENCODER = """
a = sys.argv
value = lambda name: a[a.index(name) + 1]
assert value("-wdt") == "53" and value("-hgt") == "51" and value("-q") == "45", a
assert value("-c").endswith("encoder_intra_vtm.cfg") and "--InputChromaFormat=444" in a
shutil.copy(value("-i"), value("-b"))
"""

VTM_DECODER = """
a = sys.argv
shutil.copy(a[a.index("-b") + 1], a[a.index("-o") + 1])
"""


def test_bpg_through_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bpgenc", BPG_ENCODER)
    script(tmp_path / "bpgdec", "shutil.copy(sys.argv[-1], sys.argv[2])")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    codec = BPG()
    assert "BPG 8b 444 x265" in codec.description
    picture = photograph(51, 53)
    data = codec.compress(picture, 45)
    assert data.startswith(b"\x89PNG")  # what the stand-in was given
    assert torch.equal(codec.decompress(data), picture)
    with pytest.raises(CodecError, match="Invalid quality value: 52"):
        codec.compress(picture, 52)
    with pytest.raises(CodecError, match="bpgenc failed: AssertionError"):
        codec.compress(picture, 44)


def test_vtm_through_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin" / "EncoderAppStatic", VTM_ENCODER)
    script(tmp_path / "bin" / "DecoderAppStatic", VTM_DECODER)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    with pytest.raises(CodecError, match=f"set {CONFIG_VARIABLE} to it"):
        VTM()
    config = tmp_path / "cfg" / "encoder_intra_vtm.cfg"
    config.parent.mkdir()
    config.write_text("# intra")
    codec = VTM()
    picture = gentle(51, 53)
    data = codec.compress(picture, 45)
    assert len(data) == 4 + 3 * 51 * 53  # the size, and the planes that the stand-in copied
    assert psnr(codec.decompress(data), picture) > 45
    with pytest.raises(CodecError, match="VTM takes qualities"):
        codec.compress(picture, 64)


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"")
    with pytest.raises(CodecError, match="cannot run broken"):
        external.run([broken])
    with pytest.raises(CodecError, match="failing failed: two"):
        external.run([script(tmp_path / "failing", "print('one\\ntwo'); sys.exit(1)")])


# -- CompressAI's models ------------------------------------------------------------------


def small_model(seed: int = 0) -> Any:
    from compressai.models import ScaleHyperprior

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ScaleHyperprior(4, 6)
    model.update(force=True)
    return model.eval()


def zoo_codec() -> CompressionModelCodec:
    models = {quality: lambda seed=quality: small_model(seed) for quality in (3, 1)}
    return CompressionModelCodec(models, "small", "untrained")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (64, 64), (65, 130), (40, 300)])
def test_models_of_compressai_give_complete_files(height: int, width: int) -> None:
    codec = zoo_codec()
    assert codec.qualities == [1, 3]
    picture = photograph(height, width)
    data = codec.compress(picture, 3)
    decoded = zoo_codec().decompress(data)
    assert (decoded.dtype, decoded.shape) == (torch.uint8, picture.shape)

    # The same as the model gives when asked directly, and no more than a header besides.
    bottom, right = -height % 64, -width % 64
    padded = torch.nn.functional.pad(
        picture[None].float() / 255, (0, right, 0, bottom), mode="replicate"
    )
    with torch.no_grad():
        out = small_model(3).compress(padded)
        x_hat = small_model(3).decompress(**out)["x_hat"].clamp(0, 1)
    assert torch.equal(decoded, (255 * x_hat[0]).round().to(torch.uint8)[:, :height, :width])
    strings = [one for (one,) in out["strings"]]
    assert data.endswith(b"".join(strings))
    assert 9 <= len(data) - sum(map(len, strings)) <= 12


def test_files_of_models_that_are_cut_off_or_foreign() -> None:
    codec = zoo_codec()
    data = codec.compress(photograph(64, 64), 1)
    for cut in (0, 3, 8, len(data) - 1):
        with pytest.raises(CodecError, match=r"truncated|bytes, not"):
            codec.decompress(data[:cut])
    with pytest.raises(CodecError, match=r"small has qualities \[1, 3\], not 2"):
        codec.decompress(b"\x02" + data[1:])
    with pytest.raises(CodecError, match="not 2"):
        codec.compress(photograph(64, 64), 2)


def test_retrained_weights_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bmshj"
    folder.mkdir()
    for target in ("0.03", "0.015"):
        tensors = {k: v.contiguous() for k, v in small_model(len(target)).state_dict().items()}
        safetensors.torch.save_file(tensors, folder / f"bmshj-{target}.safetensors")
    facts = {"crops": 1234, "hours": 0.5, "data": ["a.tar"]}
    (folder / "bmshj-0.03.json").write_text(json.dumps(facts))
    (folder / "state.pt").write_bytes(b"left by training")
    codec = retrained("bmshj2018-hyperprior", folder)
    assert codec.qualities == [15, 30]
    assert "quality 30: 1234 crops, 0.5 hours" in codec.description
    assert "quality 15: nothing is known of its training" in codec.description
    picture = photograph(64, 100)
    written = codec.compress(picture, 30)
    assert written[5:] == zoo_codec_of(small_model(4)).compress(picture, 30)[5:]
    assert codec.decompress(written).shape == picture.shape

    before = codec.fingerprint
    path = folder / "bmshj-0.015.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["g_a.0.bias"] += torch.rand(4, generator=seeded())
    safetensors.torch.save_file(tensors, path)
    assert retrained("bmshj2018-hyperprior", folder).fingerprint != before


def zoo_codec_of(model: Any) -> CompressionModelCodec:
    return CompressionModelCodec({30: lambda: model}, "small", "untrained")


def test_retrained_weights_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"no weights in .*train_baselines --runs .* --models"):
        retrained("cheng2020-anchor", tmp_path)
    (tmp_path / "a-0.02.safetensors").write_bytes(b"")
    with pytest.raises(CodecError, match="no-such-model is not in CompressAI's zoo"):
        retrained("no-such-model", tmp_path)
    codec = retrained("cheng2020-anchor", tmp_path)
    with pytest.raises(CodecError, match="cannot be loaded as Cheng2020Anchor") as caught:
        codec.compress(photograph(64, 64), 20)
    assert "\n" not in str(caught.value)
    (tmp_path / "b-0.02.safetensors").write_bytes(b"")
    with pytest.raises(CodecError, match="each in its own"):
        retrained("cheng2020-anchor", tmp_path)


# -- both names of the package ------------------------------------------------------------


def test_importable_as_installed_without_importing_any_codec() -> None:
    code = (
        "import sys, compressai_vq.plugins.still_codecs\n"
        "from importlib.util import find_spec\n"
        "print(find_spec('compressai_vq.plugins.still_codecs.vvc').origin)\n"
        "print(*(n for n in ('torch', 'PIL', 'imageio_ffmpeg') if n in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    origin, imported = result.stdout.splitlines()
    assert Path(origin) == ROOT / "plugins" / "still_codecs" / "vvc.py"
    assert imported == ""
