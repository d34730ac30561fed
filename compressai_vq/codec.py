"""The codec: image to index map to bytes, and back, on CompressAI's contract."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

import torch
import torch.nn as nn
from compressai.models import CompressionModel
from torch import Tensor

from .codebook import Codebook
from .codings import FREQUENCIES, PRIOR, check_coding
from .errors import CodecError
from .index_coder import IndexCoder
from .networks.memory_layout import like_weights, number_format
from .pixel_range import check_images, check_unit_range, eight_bit, network_range, unit_range
from .prior.coder import PriorCoder
from .prior.neighbour_bits import neighbour_bits
from .prior.network import PriorNetwork
from .rates import LADDER, STRIDE
from .tiles import Region


class VQGANCodec(CompressionModel):
    """A VQGAN as an image codec (Mao et al., 2024, arXiv 2307.08265).

    ::

              ┌───────┐ latent ┌────────┐ indices ┌───────┐
        x ──►─┤encoder├───►────┤nearest ├────►────┤ index │
              └───────┘        │codeword│         │ coder ├─►─ strings
              ┌───────┐        ├────────┤         │(rANS) │       │
    x_hat ─◄──┤decoder├───◄────┤ lookup ├────◄────┤       ├─◄─────┘
              └───────┘        └────────┘ indices └───────┘

    Images are (N, 3, H, W) in [0, 1], of any size: the right and bottom are padded to
    multiples of 16 by repeating the edge.

    Indices are coded with learned frequencies, or, after :meth:`use_prior`, with fewer bits
    by a prior.

    Args:
        encoder: image in [-1, 1] and a rate to latent (N, D, H/16, W/16).
        decoder: latent and a rate to image, about [-1, 1].
        codebook_size: K, the number of codewords.
        latent_channels: D, the dimension of a codeword.
    """

    max_pixels: int
    """Of each architecture.  Larger images are refused where files are read and written."""

    whole_positions: int | None = None
    """Index maps of more positions go through the networks in tiles; None: none do."""

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, codebook_size: int, latent_channels: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.codebook = Codebook(codebook_size, latent_channels)
        self.index_coder = IndexCoder(codebook_size)
        # Which of the shared networks' nine rates this is follows from the codebook alone:
        # K = 8 is the first, 2048 the ninth.
        self.rate = max(bisect.bisect_right(LADDER, codebook_size) - 1, 0)
        self.prior: PriorNetwork | None = None
        self.coding = FREQUENCIES

    @classmethod
    def sized_for(cls, state_dict: dict[str, Tensor]) -> Self:
        """A model of the sizes that a state dict's tensors have, without their values."""
        raise NotImplementedError

    @classmethod
    def from_state_dict(cls, state_dict: dict[str, Tensor]) -> Self:
        """A model of the state dict's sizes, with its weights."""
        codec = cls.sized_for(state_dict)
        codec.load_state_dict(state_dict)
        return codec

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch's; the coder's tables take the sizes that the saved ones have.

        The index prior is no part of it and stays as it is. Where the codewords become others,
        ``coding = "frequencies"`` may take fewer bytes.

        Raises:
            RuntimeError: as torch's, and when the coder's tables are not of this many codewords.
        """
        return nn.Module.load_state_dict(self, state_dict, strict=strict, assign=assign)

    # -- image <-> indices ---------------------------------------------------------------

    def latent(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W), in [0, 1] or uint8, to latents (N, D, ceil(H/16), ceil(W/16)).

        In one piece, with gradients where they are on, and in the networks' number format.

        Raises:
            CodecError: when it is no batch of images.
        """
        check_images(x)
        x = network_range(x, number_format(self.encoder))
        return self.encoder(like_weights(x, self.encoder), self.rate)

    def image(self, codewords: Tensor, corner: tuple[int, int] = (0, 0)) -> Tensor:
        """Codewords (N, D, h, w) to images (N, 3, 16 h, 16 w), about [0, 1], not clipped.

        In one piece, with gradients where they are on. ``corner`` is where a part of a map
        begins, in positions; decoders with statistics over space take whole maps alone.
        """
        place = {"corner": corner} if corner != (0, 0) else {}
        return unit_range(self._decoded(codewords, **place)).contiguous()

    def _decoded(self, codewords: Tensor, **place: Any) -> Tensor:
        """About [-1, 1], not clipped."""
        return self.decoder(like_weights(codewords, self.decoder), self.rate, **place)

    def _latent_tiles(self, x: Tensor, shape: tuple[int, int]) -> Iterator[tuple[Region, Tensor]]:
        """What :meth:`latent` gives, in parts and with bounded memory."""
        raise NotImplementedError

    def _image_tiles(self, codewords: Tensor) -> Iterator[tuple[Region, Tensor]]:
        """What the decoder gives, about [-1, 1], in parts and with bounded memory."""
        raise NotImplementedError

    def _in_tiles(self, shape: tuple[int, int]) -> bool:
        return self.whole_positions is not None and shape[0] * shape[1] > self.whole_positions

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Images to indices.

        Args:
            x: (N, 3, H, W) in [0, 1], or uint8 in [0, 255]: 8-bit pixels of large images
                become floats tile by tile.

        Returns:
            int64 (N, ceil(H/16), ceil(W/16)).

        Raises:
            CodecError: when it is no batch of images, or one of floats far from [0, 1].
        """
        check_images(x)
        check_unit_range(x)
        shape = (-(-x.shape[-2] // STRIDE), -(-x.shape[-1] // STRIDE))
        if not self._in_tiles(shape):
            return self.codebook.quantize(self.latent(x))
        indices = torch.empty((len(x), *shape), dtype=torch.int64, device=x.device)
        for region, latent in self._latent_tiles(x, shape):
            indices[(..., *region.slices())] = self.codebook.quantize(latent)
        return indices

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """Indices (N, h, w) to images (N, 3, 16 h, 16 w) in [0, 1]."""
        n, height, width = indices.shape
        if not self._in_tiles((height, width)):
            return self.image(self.codebook.lookup(indices)).clamp_(0, 1)
        images: Tensor | None = None
        for region, x in self._image_tiles(self.codebook.lookup(indices)):
            part = unit_range(x).clamp_(0, 1)
            if images is None:  # in the number format that it has in one piece
                images = part.new_empty((n, 3, STRIDE * height, STRIDE * width))
            images[(..., *region.slices(scale=STRIDE))] = part
        assert images is not None
        return images

    @torch.no_grad()
    def paint(self, indices: Tensor, height: int, width: int) -> Tensor:
        """An index map to its picture, with 8-bit pixels as the only thing of its size.

        Args:
            indices: (h, w).
            height: H of the picture, at most 16 h.
            width: W, at most 16 w.

        Returns:
            uint8 (3, H, W) on the CPU; of what was decoded in tiles in the memory layout of image
            files, (H, W, 3).
        """
        return self.paint_latents(self.codewords_of(indices), height, width)

    def codewords_of(self, indices: Tensor) -> Tensor:
        """An index map (h, w), on any device, to its codewords (D, h, w), without gradients."""
        weight = self.codebook.weight
        return self.codebook.lookup(indices[None].to(weight.device))[0].detach()

    @torch.no_grad()
    def paint_latents(self, latents: Tensor, height: int, width: int) -> Tensor:
        """As :meth:`paint`, of latents (D, h, w), which need not be codewords."""
        if not self._in_tiles((latents.shape[1], latents.shape[2])):
            return eight_bit(self._decoded(latents[None])[0]).cpu()[:, :height, :width]
        picture = torch.empty((height, width, 3), dtype=torch.uint8).permute(2, 0, 1)
        for region, x in self._image_tiles(latents[None]):
            room = picture[(..., *region.slices(scale=STRIDE))]
            room.copy_(eight_bit(x[0])[:, : room.shape[1], : room.shape[2]])
        return picture

    # -- indices <-> bytes ---------------------------------------------------------------

    def use_prior(self, prior: PriorNetwork, coding: str = PRIOR) -> Self:
        """Code index maps by a prior, which must have been trained on maps of this codec.

        It is no part of the state dict, and training does not change it.

        Args:
            prior: the network.
            coding: ``"frequencies"`` for a prior that is only there to read with.

        Raises:
            CodecError: when the prior does not have this codec's rate and codewords.
        """
        check_coding(coding)
        if not self.takes_prior(prior):
            raise CodecError(
                f"the index prior has no quality {self.rate + 1} "
                f"of {self.index_coder.size} codewords: use the frequencies instead"
            )
        self.prior, self.coding = prior, coding
        return self

    def takes_prior(self, prior: PriorNetwork) -> bool:
        """Whether a prior has this codec's rate and codewords."""
        return prior.sizes.get(self.rate) == self.index_coder.size

    def write(self, indices: Tensor, coding: str | None = None) -> list[bytes]:
        """Index maps (N, h, w) to N byte strings.

        Args:
            indices: integers in [0, K).
            coding: one of ``CODINGS``; by default the codec's own.

        Raises:
            ValueError: for empty maps and for indices that are not in [0, K).
            CodecError: for what is no batch of integer maps, another coding, and when there is no
                prior to code with.
        """
        if indices.ndim != 3 or indices.is_floating_point():
            found = f"{indices.dtype} {tuple(indices.shape)}"
            raise CodecError(f"index maps must be integers (N, h, w): these are {found}")
        if self._asked(coding) == FREQUENCIES:
            return self.index_coder.compress(indices)
        coder = self._prior_coder()
        return [coder.encode(indices_of_one, self.rate) for indices_of_one in indices]

    def read(
        self, strings: list[bytes], shape: tuple[int, int], coding: str | None = None
    ) -> Tensor:
        """What :meth:`write` gave, with the same coding, to index maps, int64 (N, h, w).

        Raises:
            CodecError: when a string is not one that :meth:`write` gives for this shape.
        """
        # Of any picture's map each position has at least one pixel.
        if not strings or len(shape) != 2 or min(shape) < 1 or math.prod(shape) > self.max_pixels:
            raise CodecError(f"no strings, or an index map of {'x'.join(map(str, shape))}")
        shape = (shape[0], shape[1])
        device = self.codebook.weight.device
        if self._asked(coding) == FREQUENCIES:
            return self.index_coder.decompress(strings, shape).to(device)
        coder = self._prior_coder()
        maps = [coder.decode(string, *shape, self.rate) for string in strings]
        return torch.stack(maps).to(device)

    def expected_bits(self, indices: Tensor, coding: str | None = None) -> Tensor:
        """About what every codeword would cost at every position of an index map (h, w).

        By the frequencies, or by the prior, which looks at the indices around the position.

        Args:
            indices: integers in [0, K).
            coding: as for :meth:`write`.

        Returns:
            Bits, fp32 (h, w, K), on the codec's device.

        Raises:
            CodecError: when there is no prior to code with.
        """
        if self._asked(coding) == FREQUENCIES:
            everything = torch.arange(self.index_coder.size, device=indices.device)
            return -self.index_coder(everything).log2().expand(*indices.shape, -1)
        return neighbour_bits(self._prior_coder().network, indices, self.rate)

    def _asked(self, coding: str | None) -> str:
        check_coding(coding or self.coding)
        return coding or self.coding

    def _prior_coder(self) -> PriorCoder:
        if self.prior is None:
            raise CodecError("this codec has no index prior to code with")
        # Not moved along with the modules: casting them must not reach it.
        if self.prior.device != self.codebook.weight.device:
            self.prior = self.prior.to(self.codebook.weight.device)
        return PriorCoder(self.prior)

    def _likelihoods(self, indices: Tensor) -> Tensor:
        if self.training or self.coding == FREQUENCIES or not len(indices):
            return self.index_coder(indices)
        coder = self._prior_coder()
        maps = [coder.likelihoods(indices_of_one, self.rate) for indices_of_one in indices]
        return torch.stack(maps).to(indices.device)

    # -- CompressAI's contract -----------------------------------------------------------

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Reconstruct with straight-through gradients.

        Args:
            x: (N, 3, H, W) in [0, 1].

        Returns:
            ``x_hat`` (N, 3, H, W), not clipped, and ``likelihoods``, whose ``indices``
            (N, ceil(H/16), ceil(W/16)) are the probabilities that the indices are coded with;
            in training always the frequencies', which are what is trained.

        Raises:
            CodecError: when it is no batch of images.
        """
        codewords, indices = self.codebook(self.latent(x))
        x_hat = self.image(codewords)[..., : x.shape[-2], : x.shape[-1]]
        return {"x_hat": x_hat, "likelihoods": {"indices": self._likelihoods(indices)}}

    def compress(self, x: Tensor) -> dict[str, Any]:
        """Images (N, 3, H, W) in [0, 1] to N byte strings and the shape of an index map.

        Returns:
            ``strings``, a list of one list of N bytes objects, and ``shape``, (h, w).

        Raises:
            CodecError: as :meth:`encode`.
        """
        indices = self.encode(x)
        shape = (indices.shape[1], indices.shape[2])
        return {"strings": [self.write(indices)], "shape": shape}

    def decompress(self, strings: list[list[bytes]], shape: tuple[int, int]) -> dict[str, Any]:
        """What :meth:`compress` gave, to ``x_hat`` (N, 3, 16 h, 16 w) in [0, 1].

        Raises:
            CodecError: when a string is damaged or was written with other frequencies
                or another prior, and when ``strings`` is not a list of one list.
        """
        if len(strings) != 1 or isinstance(strings[0], bytes):
            raise CodecError("strings must be a list of one list of bytes objects")
        (maps,) = strings
        return {"x_hat": self.decode(self.read(maps, shape))}

    def update(self, scale_table: Any = None, force: bool = False, **_: Any) -> bool:
        """Rebuild the coder's tables; returns whether anything was done."""
        return self.index_coder.update(force=force)

    def aux_loss(self) -> Tensor:
        """Bits per index that the frequencies cost for the indices seen lately."""
        return self.index_coder.loss()
