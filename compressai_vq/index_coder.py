"""Index maps to bytes and back: learned frequencies on CompressAI's rANS coder.

::

    indices (h, w) --digits--> [high ..., low ...] --rANS--> bytes
                                  |          |
                              one CDF   one CDF for each high digit

Up to K = 2048 an index is one digit.  Above, where 16-bit frequencies grow coarse, it is
split into two of about equal size, and the low digit's frequencies depend on the high one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from compressai.entropy_models import EntropyModel
from torch import Tensor

from .errors import CodecError
from .frequencies import PRECISION, cumulative, integer_weights, quantized_frequencies
from .rans_limits import FEWEST_SYMBOLS, with_room

ONE_LEVEL_LIMIT = 2048
TABLES = ("_quantized_cdf", "_cdf_length", "_offset")

_FILLER = [0, (1 << PRECISION) - 1, 1 << PRECISION, 1 << PRECISION]  # symbol 0 is as good as free


class IndexCoder(EntropyModel):
    """Static entropy model of codeword indices.

    Its one parameter is the frequencies' logarithm.  It is named ``quantiles`` because
    CompressAI's trainers hand the parameters of that name to their auxiliary optimizer, and
    fitting the frequencies is what :meth:`loss` asks of it.

    Args:
        size: K, the number of codewords, at least 2.
    """

    usage: Tensor
    _quantized_cdf: Tensor
    _cdf_length: Tensor
    _offset: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 2:
            raise ValueError(f"a codebook needs at least 2 codewords, not {size}")
        self.size = size
        bits = math.ceil(math.log2(size))
        self.low_bits = 0 if size <= ONE_LEVEL_LIMIT else bits // 2
        self.quantiles = nn.Parameter(torch.zeros(size))
        self.register_buffer("usage", torch.full((size,), 1.0 / size))

    # -- frequencies ---------------------------------------------------------------------

    def set_counts(self, counts: Tensor) -> None:
        """Take frequencies from counts (K,) of a calibration set; half is added to every count."""
        share = (counts.double() + 0.5) / (counts.double() + 0.5).sum()
        with torch.no_grad():
            self.quantiles.copy_(share.log2())
            self.usage.copy_(share)
        self.update(force=True)

    def loss(self) -> Tensor:
        """Bits per index if the indices seen lately were coded with these frequencies."""
        # A copy: seeing more indices, before the backward pass, must not change this.
        return -(self.usage.clone() * self._log2_probabilities()).sum()

    def update(self, force: bool = False) -> bool:
        """Rebuild the CDFs from the frequencies; returns whether anything was done."""
        if self._quantized_cdf.numel() and not force:
            return False
        weights = integer_weights(self.quantiles.detach().float().cpu().numpy())
        if self.low_bits:
            weights = np.append(weights, np.zeros(-self.size % (1 << self.low_bits), np.int64))
            groups = weights.reshape(-1, 1 << self.low_bits)
            tables = [groups.sum(1), *groups]
        else:
            tables = [weights]
        cdfs = [cumulative(quantized_frequencies(table)) for table in tables]
        longest = max(map(len, cdfs))
        padded = [cdf + [0] * (longest - len(cdf)) for cdf in cdfs]
        device = self._quantized_cdf.device
        self._quantized_cdf = torch.tensor(padded, dtype=torch.int32, device=device)
        lengths = [len(cdf) for cdf in cdfs]
        self._cdf_length = torch.tensor(lengths, dtype=torch.int32, device=device)
        self._offset = torch.zeros(len(cdfs), dtype=torch.int32, device=device)
        return True

    def _log2_probabilities(self) -> Tensor:
        logits = self.quantiles.float() * math.log(2)
        return torch.log_softmax(logits, 0) / math.log(2)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each index in the streams as they are written, fp32 (K,)."""
        frequencies = self._quantized_cdf[:, 1:-1] - self._quantized_cdf[:, :-2]
        shares = frequencies.double() / (1 << PRECISION)
        if not self.low_bits:
            return shares[0].float()
        groups = self._cdf_length[0] - 2
        both = shares[0, :groups, None] * shares[1:, : 1 << self.low_bits]
        return both.flatten()[: self.size].float()

    # -- EntropyModel --------------------------------------------------------------------

    def forward(self, indices: Tensor) -> Tensor:
        """Likelihood of each index.

        In evaluation, once :meth:`update` was called, these are the very probabilities that
        :meth:`compress` codes with; in training they follow the frequencies' gradient, and
        the indices are remembered for :meth:`loss`.

        Args:
            indices: int64, any shape, in [0, K).

        Returns:
            fp32 of the same shape, in (0, 1].
        """
        if self.training and indices.numel():
            with torch.no_grad():
                seen = torch.bincount(indices.flatten(), minlength=self.size).float()
                self.usage.lerp_((seen / seen.sum()).to(self.usage), 0.05)
        if self.training or not self._quantized_cdf.numel():
            probabilities = self._log2_probabilities().exp2()
        else:
            probabilities = self.probabilities
        return self.likelihood_lower_bound(probabilities[indices])

    def compress(self, indices: Tensor) -> list[bytes]:
        """Index maps (N, h, w) to N byte strings of a multiple of 4 bytes each.

        Raises:
            ValueError: for empty maps and for indices that are not in [0, K).
        """
        self._check_cdf_size()
        # On either the coder would end the process.
        if not indices.numel():
            raise ValueError("an index map cannot be empty")
        if indices.min() < 0 or indices.max() >= self.size:
            raise ValueError(f"indices must be between 0 and {self.size - 1}")
        tables = self._tables()
        return [self._encode(m.flatten().tolist(), tables) for m in indices.cpu()]

    def decompress(self, strings: list[bytes], shape: tuple[int, int]) -> Tensor:
        """Byte strings to index maps, int64 (N, h, w).

        Raises:
            CodecError: when a string is not one that :meth:`compress` writes for this shape.
        """
        self._check_cdf_size()
        count = shape[0] * shape[1]
        for string in strings:
            self._check_length(string, count)
        tables = self._tables()
        maps = [self._decode(string, count, tables) for string in strings]
        indices = torch.from_numpy(np.array(maps, np.int64))
        return indices.to(self._quantized_cdf.device).view(-1, *shape)

    def fewest_bytes(self, count: int) -> int:
        """No stream of so many indices is shorter: what the likeliest ones take.

        Raises:
            ValueError: before :meth:`update` was called.
        """
        self._check_cdf_size()
        likeliest = (self._quantized_cdf[:, 1:] - self._quantized_cdf[:, :-1]).amax(1).tolist()
        bits = PRECISION - math.log2(likeliest[0])
        if self.low_bits:
            bits += PRECISION - math.log2(max(likeliest[1:]))
        # The coder's divisions round down, by less than 2 ** -15 of its state.
        return int(count * max(bits - 2**-12, 0) / 8)

    def _tables(self) -> tuple[list[list[int]], list[int], list[int]]:
        """What the coder takes, with the filler's CDF as the last."""
        return (
            [*self._quantized_cdf.tolist(), _FILLER],
            [*self._cdf_length.tolist(), len(_FILLER)],
            [*self._offset.tolist(), 0],
        )

    def _encode(self, indices: list[int], tables: tuple[Any, ...]) -> bytes:
        symbols, contexts = indices, [0] * len(indices)
        if self.low_bits:
            symbols = [i >> self.low_bits for i in indices]
            contexts += [high + 1 for high in symbols]
            symbols += [i & ((1 << self.low_bits) - 1) for i in indices]
        missing = max(FEWEST_SYMBOLS - len(symbols), 0)
        symbols = symbols + [0] * missing
        contexts += [len(tables[0]) - 1] * missing
        return self.entropy_coder.encode_with_indexes(symbols, contexts, *tables)

    def _check_length(self, string: bytes, count: int) -> None:
        if len(string) < 8 or len(string) % 4:
            raise CodecError(f"index stream of {len(string)} bytes is damaged")
        if len(string) < self.fewest_bytes(count):
            raise CodecError(f"index stream of {len(string)} bytes is too short for {count}")

    def _decode(self, string: bytes, count: int, tables: tuple[Any, ...]) -> list[int]:
        from compressai import ans

        decoder = ans.RansDecoder()
        decoder.set_stream(with_room(string, (2 if self.low_bits else 1) * count))
        indices = decoder.decode_stream([0] * count, *tables)
        if self.low_bits:
            low = decoder.decode_stream([h + 1 for h in indices], *tables)
            indices = [h << self.low_bits | rest for h, rest in zip(indices, low, strict=True)]
        # Decoding never fails by itself; but only the stream that was written comes out of
        # encoding its own result again.
        if max(indices) >= self.size or self._encode(indices, tables) != string:
            raise CodecError(
                "index stream is damaged, or was written with other frequencies or by a prior"
            )
        return indices

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # Tables are rebuilt from the frequencies: these keep their precision when a model is
        # cast, or files written before would not decode after.
        exact = self.quantiles.data
        super()._apply(fn, recurse)
        if self.quantiles.dtype != exact.dtype:
            self.quantiles.data = exact.to(self.quantiles.device)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The CDFs' shapes follow from the frequencies: take those of the saved ones, but of no
        # others, by which the coder would end the process.
        saved = {name: state_dict.get(prefix + name) for name in TABLES}
        if self._could_be_tables(*saved.values()):
            for name, table in saved.items():
                if table is not None:
                    setattr(self, name, getattr(self, name).new_empty(table.shape))
        else:
            messages: list[str] = args[-1]
            messages.append(
                f"{prefix}{TABLES[0]} and its like are no tables of {self.size} indices"
            )
            mine = {prefix + name: getattr(self, name) for name in TABLES}
            state_dict = {**state_dict, **mine}
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _could_be_tables(
        self, cdfs: Tensor | None, lengths: Tensor | None, offsets: Tensor | None
    ) -> bool:
        """Whether they are such as :meth:`update` makes, all empty, or left out."""
        if cdfs is None or lengths is None or offsets is None:
            return cdfs is lengths is offsets
        if any(table.is_meta for table in (cdfs, lengths, offsets)):
            return True
        if not any(table.numel() for table in (cdfs, lengths, offsets)):
            return True
        low = 1 << self.low_bits
        groups = -(-self.size // low)  # all indices, where they are one digit
        symbols = [groups, *([low] * groups if self.low_bits else [])]
        rows = len(symbols)
        if lengths.tolist() != [2 + n for n in symbols] or offsets.tolist() != [0] * rows:
            return False
        return cdfs.shape == (rows, 2 + max(symbols)) and all(
            cdf[[0, n, n + 1]].tolist() == [0, 1 << PRECISION, 1 << PRECISION]
            and bool(cdf[: n + 1].diff().gt(0).all())
            for cdf, n in zip(cdfs, symbols, strict=True)
        )
