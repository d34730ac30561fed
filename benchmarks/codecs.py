"""Every codec that is compared, by key: its name, how it is made, or why it cannot be.

    from benchmarks.codecs import CODECS, make_codec
    codec = make_codec("vvc")                   # CodecError says in a line why it cannot be had
    data = codec.compress(picture, codec.qualities[0])

Weights that are no part of the package are looked for in folders that :class:`Sources` names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.environment import ROOT
from compressai_vq.codings import FREQUENCIES, PRIOR
from compressai_vq.container import VERSION
from compressai_vq.errors import CodecError
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior.prior_weights import PriorWeights, packaged_prior
from compressai_vq.refinement import STEPS, Refinement
from plugins.still_codecs.still_picture import StillPictureCodec

OURS = "mao2024-vqgan-lite"
BY_PRIOR = f"{OURS}-prior"  # the same pictures in smaller files, as they are written by default
REFINED = f"{OURS}-refined"  # indices looked for by the decoder's pictures, coded by the prior
UNFINETUNED_VARIABLE = "COMPRESSAI_VQ_UNFINETUNED"
NO_WEIGHTS = "no public runnable weights"
MAX_PIXELS = 1 << 25  # larger pictures are not compared


@dataclass(frozen=True)
class Sources:
    """Where weights are that the package does not ship.

    Attributes:
        models: ``--runs`` of ``python -m benchmarks.train_baselines``.
        unfinetuned: weights of ours before fine-tuning; default: what the environment variable
            ``COMPRESSAI_VQ_UNFINETUNED`` names, or ``runs/unfinetuned.safetensors``.
    """

    models: Path = ROOT / "runs" / "baselines"
    unfinetuned: Path | None = None

    def unfinetuned_weights(self) -> Path:
        """The file to use; it may not exist."""
        named = self.unfinetuned or os.environ.get(UNFINETUNED_VARIABLE)
        return Path(named) if named else ROOT / "runs" / "unfinetuned.safetensors"


@dataclass(frozen=True)
class Entry:
    """A codec of the comparison.

    Attributes:
        label: for people.
        make: makes it, or raises CodecError with the reason why not.
    """

    label: str
    make: Callable[[Sources], StillPictureCodec]


class OurCodec(StillPictureCodec):
    """:class:`compressai_vq.file_codec.FileCodec` with what a comparison wants to know."""

    label = "Ours"
    extension = ".cvq"

    prior: str | None = None
    """The index prior's fingerprint, 64 hexadecimal digits, where it codes."""

    def __init__(
        self,
        weights: LadderWeights,
        description: str,
        prior: PriorWeights | None = None,
        refinement: Refinement | None = None,
    ) -> None:
        coding = FREQUENCIES if prior is None else PRIOR
        self._codec = FileCodec(weights, prior=prior, coding=coding, refinement=refinement)
        if prior is not None:
            self.prior = prior.fingerprint.hex()
            description += f" {self.prior[:16]}"
        self.qualities = weights.qualities
        self.description = f"complete .cvq files, format {VERSION}; {description}"
        self.fingerprint = weights.fingerprint.hex()

    def compress(self, picture: Tensor, quality: int) -> bytes:
        """A picture, uint8 (3, H, W), to a ``.cvq`` file; ``quality`` 1 to 9."""
        return self._codec.compress(picture, quality)

    def decompress(self, data: bytes) -> Tensor:
        """A ``.cvq`` file to the picture, uint8 (3, H, W)."""
        return self._codec.decompress(data)


def make_codec(key: str, sources: Sources | None = None) -> StillPictureCodec:
    """A codec by its key.

    Raises:
        CodecError: for an unknown key, and when the codec cannot be had here.
    """
    if key not in CODECS:
        raise CodecError(f"no codec {key!r}; there are {', '.join(CODECS)}")
    entry = CODECS[key]
    codec = entry.make(sources or Sources())
    codec.label = entry.label
    return codec


def fingerprint(codec: StillPictureCodec) -> str:
    """Of the weights, where there are some, else of the settings: 64 hexadecimal digits."""
    own = getattr(codec, "fingerprint", None)
    return own or hashlib.sha256(codec.description.encode()).hexdigest()


def prior_of(codec: StillPictureCodec) -> dict[str, str]:
    """``{"prior": fingerprint}`` of a codec that codes by an index prior, else nothing."""
    prior = getattr(codec, "prior", None)
    return {} if prior is None else {"prior": prior}


def uniform(weights: LadderWeights) -> LadderWeights:
    """The same weights with all frequencies equal: log2(K) bits for each index."""
    tensors = {
        name: torch.zeros_like(value) if name.startswith("log2_frequencies.") else value
        for name, value in weights.tensors.items()
    }
    # A fingerprint of its own: neither can decode the other's files.
    changed = hashlib.sha256(weights.fingerprint + b"uniform").digest()
    return dataclasses.replace(
        weights, tensors=tensors, calibration="uniform", fingerprint=changed, decodes=b""
    )


def _ours(sources: Sources) -> StillPictureCodec:
    return OurCodec(pretrained_weights(OURS), "learned frequencies")


def _by_prior(sources: Sources) -> StillPictureCodec:
    weights = pretrained_weights(OURS)
    return OurCodec(weights, "index prior", packaged_prior_of(weights))


def packaged_prior_of(weights: LadderWeights) -> PriorWeights:
    """The index prior that the package has of its weights.

    Raises:
        CodecError: when it has none.
    """
    path = packaged_prior(weights)
    if path is None:
        raise CodecError("the package has no index prior of its weights")
    return PriorWeights.load(path)


def _refined(sources: Sources) -> StillPictureCodec:
    weights = pretrained_weights(OURS)
    description = f"indices refined in {STEPS} steps, index prior"
    return OurCodec(weights, description, packaged_prior_of(weights), Refinement(STEPS))


def _unfinetuned(sources: Sources) -> StillPictureCodec:
    path = sources.unfinetuned_weights()
    if not path.is_file():
        raise CodecError(
            f"no weights at {path}: export those before fine-tuning there, or name them with "
            f"--unfinetuned or {UNFINETUNED_VARIABLE}"
        )
    description = "codebooks clustered, nothing fine-tuned"
    return OurCodec(LadderWeights.load(path), description)


def _uniform(sources: Sources) -> StillPictureCodec:
    description = "all indices coded as equally frequent, as in the paper"
    return OurCodec(uniform(pretrained_weights(OURS)), description)


def _vvc(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.vvc import VVC

    return VVC()


def _hevc(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.hevc import HEVC

    return HEVC()


def _avif(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.avif import AVIF

    return AVIF()


def _jpegxl(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.jpegxl import JPEGXL

    return JPEGXL()


def _bpg(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.bpg import BPG

    return BPG()


def _vtm(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.vtm import VTM

    return VTM()


def _cheng2020_anchor(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.learned import from_zoo

    return from_zoo("cheng2020-anchor", [1, 2, 3])


def _cheng2020_lowrate(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.learned import retrained

    return retrained("cheng2020-anchor", sources.models / "cheng2020")


def _hific_lowrate(sources: Sources) -> StillPictureCodec:
    from plugins.still_codecs.learned import retrained

    return retrained("hific", sources.models / "hific")


def _without_weights(sources: Sources) -> StillPictureCodec:
    raise CodecError(NO_WEIGHTS)


CODECS: dict[str, Entry] = {
    OURS: Entry("Ours", _ours),
    BY_PRIOR: Entry("Ours, by the index prior", _by_prior),
    REFINED: Entry("Ours, refined, by the index prior", _refined),
    f"{OURS}-unfinetuned": Entry("Ours, without fine-tuning", _unfinetuned),
    f"{OURS}-uniform": Entry("Ours, uniform frequencies", _uniform),
    "vvc": Entry("VVC (libvvenc)", _vvc),
    "hevc": Entry("HEVC intra (x265, 4:4:4), as in BPG", _hevc),
    "avif": Entry("AVIF", _avif),
    "jpegxl": Entry("JPEG XL", _jpegxl),
    "bpg": Entry("BPG", _bpg),
    "vtm": Entry("VVC (VTM)", _vtm),
    "cheng2020-lowrate": Entry("Cheng2020, retrained at low rates", _cheng2020_lowrate),
    "hific-lowrate": Entry("HiFiC, retrained small at a low rate", _hific_lowrate),
    "cheng2020-anchor": Entry("Cheng2020 (CompressAI's weights)", _cheng2020_anchor),
    "fcc": Entry("FCC", _without_weights),
    "savd": Entry("SAVD", _without_weights),
}
"""In the order of tables: ours first."""
