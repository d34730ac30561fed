"""The paper's transformer, kept as a reproduction: it restores lost indices, one after another.

::

    index map, [MASK] where lost --window before the gap--> mingpt --> distribution --> guess
         ^                                                                              |
         +----------------------- known for the gaps that follow -----------------------+

Mao et al. (2024, section 2.3) train the second stage of VQGAN (Esser et al., 2021: taming's
``mingpt``, a causal transformer with learned positions) on maps in which M = ceil(r N) of N
indices are a [MASK] token.  Gaps are then guessed in raster order, each from a window of
the map that is centred on it, of which the transformer is fed what comes before the gap.  So
what is known behind a gap is not used; the index prior of this package does use it.

The paper leaves open, and here it is decided:

- the window is 16 x 16, that of VQGAN's sliding window, and like that one it is moved, not
  cut, at the map's edges, where the gap is off its centre; maps smaller than it are filled up
  with [MASK] on the right and below;
- r is uniform in (0, 1] and which positions are masked is random;
- its tables start from the codewords (see ``training/raster_transformer.py``);
- the input is not shifted against the output as in VQGAN: a gap is fed as [MASK] itself, and
  its own place in the output gives its distribution; the loss is over masked positions;
- the likeliest index is taken (VQGAN samples), and is fed as if known for the gaps that follow.

Guesses come from floating point: other machines may make others.  Nothing is coded by them.
"""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from taming.modules.transformer.mingpt import GPT
from torch import Tensor

from ..codec import VQGANCodec
from ..errors import CodecError
from ..ladder_weights import LadderWeights
from ..precision import has_fast_bf16
from ..tensor_file import read_tensors, write_tensors

FORMAT = 1
_METADATA = "compressai_vq_raster_transformer"
_MASKS = ".attn.mask"  # buffers that follow from the window, and are not stored
WINDOWS_AT_ONCE = 64
"""Keeps attention matrices within some ten MB."""
_MOST_PAIRS = 1 << 26
"""Positions times positions, in all layers: so many numbers have taming's masks, of which a file
holds none."""


def new_gpt(size: int, window: int, layers: int, heads: int, width: int) -> GPT:
    """taming's transformer with random parameters; token ``size`` is [MASK].

    Args:
        size: K, number of codewords.
        window: side of the window in indices.
        layers: number of blocks.
        heads: of attention; they share ``width`` evenly.
        width: channels.
    """
    return GPT(size + 1, window * window, n_layer=layers, n_head=heads, n_embd=width)


def logits_at(gpt: GPT, tokens: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """``gpt(tokens)`` where it is asked for; the rest of its head is not computed.

    Args:
        gpt: the transformer.
        tokens: windows in raster order, int64 (N, T) in [0, K], T at most the window's N.
        rows: windows that are asked about, int64 (P,).
        places: positions in them, int64 (P,).

    Returns:
        (P, K): [MASK] is no answer.
    """
    x = gpt.drop(gpt.tok_emb(tokens) + gpt.pos_emb[:, : tokens.shape[1]])
    x = gpt.ln_f(gpt.blocks(x)[rows, places])
    return gpt.head(x)[:, :-1]


def wavefronts(lost: np.ndarray, window: int) -> list[Tensor]:
    """Gaps in an order that is as good as raster order, as groups to be guessed at once.

    No gap of a group is in the part of a window that another one of it is guessed from.

    Args:
        lost: bool (h, w).
        window: side of the window in indices.

    Returns:
        Groups, each int64 (G, 2): rows and columns.
    """
    height, width = lost.shape
    gaps = np.argwhere(lost)
    levels = np.zeros(lost.shape, np.int64)
    for row, column in gaps:
        top, left = _start(row, height, window), _start(column, width, window)
        above = levels[top:row, left : left + window].max(initial=0)
        beside = levels[row, left:column].max(initial=0)
        levels[row, column] = max(above, beside) + 1
    found = levels[lost]
    gaps = gaps[np.argsort(found, kind="stable")]
    sizes = np.bincount(found)[1:].tolist()
    return list(torch.from_numpy(gaps).split(sizes)) if sizes else []


def _start(place: int, length: int, window: int) -> int:
    return max(0, min(place - window // 2, length - window))


@dataclass(frozen=True)
class RasterTransformer:
    """A trained transformer and the index maps that it belongs to.

    Args:
        gpt: taming's transformer, fp32; its last token is [MASK].
        quality: of the maps, from 1.
        codec: fingerprint of the codec's weights, 32 bytes.
        fingerprint: SHA-256 of the file; empty before the weights are saved.
    """

    gpt: GPT
    quality: int
    codec: bytes
    fingerprint: bytes = b""

    @property
    def size(self) -> int:
        """K, number of codewords."""
        return self.gpt.config.vocab_size - 1

    @property
    def window(self) -> int:
        """Side of the window in indices."""
        return math.isqrt(self.gpt.get_block_size())

    @classmethod
    def load(cls, path: Path) -> RasterTransformer:
        """Read a file; nothing in it is executed.

        Raises:
            CodecError: when it is missing or is no such file.
        """
        facts, tensors, fingerprint = read_tensors(path, _METADATA, "the transformer")
        if facts.get("format") != FORMAT:
            raise CodecError(f"{path} holds no raster transformer of format {FORMAT}")
        try:
            gpt = _gpt(tensors, facts)
            quality, codec = int(facts["quality"]), bytes.fromhex(facts["codec"])
        except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CodecError(f"{path} lacks a part of the transformer: {reason}") from error
        return cls(gpt, quality, codec, fingerprint)

    def save(self, path: Path) -> bytes:
        """Write the file, in fp16; returns its fingerprint.

        Raises:
            CodecError: when it cannot be written.
        """
        facts = {
            "format": FORMAT,
            "codec": self.codec.hex(),
            "quality": self.quality,
            "heads": self.gpt.config.n_head,
        }
        tensors = {
            name: value.detach().half().cpu()
            for name, value in self.gpt.state_dict().items()
            if not name.endswith(_MASKS)
        }
        return write_tensors(path, _METADATA, facts, tensors)

    def check_fits(self, weights: LadderWeights, quality: int) -> None:
        """Make sure that it was trained on the index maps of these weights and this quality.

        Raises:
            CodecError: when it was not.
        """
        if weights.image_fingerprint != self.codec:
            raise CodecError(
                f"this transformer belongs to weights {self.codec.hex()[:16]}, "
                f"not to {weights.image_fingerprint.hex()[:16]}: train one for these"
            )
        if quality != self.quality:
            raise CodecError(
                f"this transformer belongs to quality {self.quality}, not {quality}: "
                f"use it with -q {self.quality}"
            )

    def fill(self, indices: Tensor, lost: Tensor, codec: VQGANCodec) -> tuple[Tensor, Tensor]:
        """A fill as ``transport.fills`` has them; see :meth:`restore`.

        Raises:
            CodecError: when the codec has another number of codewords.
        """
        if codec.index_coder.size != self.size:
            raise CodecError(
                f"this transformer knows {self.size} codewords, not {codec.index_coder.size}: "
                f"use it with -q {self.quality}"
            )
        restored, confidence = self.restore(indices, lost)
        return codec.codewords_of(restored), confidence

    @torch.no_grad()
    def restore(self, indices: Tensor, lost: Tensor) -> tuple[Tensor, Tensor]:
        """Guess every gap, in raster order, from the window before it.

        Args:
            indices: int64 (h, w) in [0, K); values at lost positions are not looked at.
            lost: where an index is a gap, bool (h, w).

        Returns:
            The whole map, and the probability that each guess had, fp32 (h, w), 1 where
            nothing was lost.
        """
        indices, lost = indices.cpu(), lost.cpu()
        (height, width), window = lost.shape, self.window
        known = indices.masked_fill(lost, self.size)
        missing = (0, max(0, window - width), 0, max(0, window - height))
        known = F.pad(known, missing, value=self.size)
        confidence = torch.ones(lost.shape)
        last = torch.tensor(known.shape) - window
        side = torch.arange(window)
        for group in wavefronts(lost.numpy(), window):
            for gaps in group.split(WINDOWS_AT_ONCE):
                starts = (gaps - window // 2).clamp(min=0).minimum(last)
                rows, columns = (starts[:, :, None] + side).unbind(1)
                windows = known[rows[:, :, None], columns[:, None, :]].flatten(1)
                inside = gaps - starts
                places = inside[:, 0] * window + inside[:, 1]
                tokens = windows[:, : int(places.max()) + 1]
                logits = logits_at(self._fast, tokens, torch.arange(len(gaps)), places)
                best, guesses = torch.softmax(logits.float(), 1).max(1)
                known[gaps[:, 0], gaps[:, 1]] = guesses
                confidence[gaps[:, 0], gaps[:, 1]] = best
        return known[:height, :width], confidence

    @functools.cached_property
    def _fast(self) -> GPT:
        """A copy on the CPU, in the format that it is fast at."""
        gpt = copy.deepcopy(self.gpt).cpu().eval()
        return gpt.bfloat16() if has_fast_bf16() else gpt.float()


def _gpt(tensors: dict[str, Tensor], facts: dict[str, Any]) -> GPT:
    """The transformer of a file's contents; sizes are those of its tensors."""
    tokens, width = tensors["tok_emb.weight"].shape
    positions = tensors["pos_emb"].shape[1]
    window = math.isqrt(positions)
    if window * window != positions or tokens < 3:
        raise ValueError(f"{positions} positions of {tokens} tokens are no window")
    layers = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    if layers * positions**2 > _MOST_PAIRS:
        raise ValueError(f"{layers} layers of {positions} positions are too large")
    heads = int(facts["heads"])
    if heads < 1 or width % heads:
        raise ValueError(f"{heads} heads cannot share {width} channels")
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ValueError("values that are not finite")
    gpt = new_gpt(tokens - 1, window, layers, heads, width)
    masks = {name: value for name, value in gpt.state_dict().items() if name.endswith(_MASKS)}
    gpt.load_state_dict({name: value.float() for name, value in tensors.items()} | masks)
    return gpt.eval()
