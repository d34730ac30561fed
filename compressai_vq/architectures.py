"""The two architectures by name, as CompressAI's tools build them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from torch import Tensor

from .architecture_names import ARCHITECTURE_NAMES
from .codec import VQGANCodec
from .errors import CodecError
from .networks import lite_tiled
from .networks.grain import grain_channels
from .networks.lite import LiteDecoder, LiteEncoder
from .networks.memory_layout import number_format
from .networks.taming import WIDTH, TamingDecoder, TamingEncoder
from .pixel_range import network_range
from .rates import STRIDE
from .tiles import Region


class Mao2024VQGAN(VQGANCodec):
    """Taming's f16 encoder and decoder with one codebook.

    Args:
        codebook_size: K.
        latent_channels: D; 256 in the published models.
        width: channels of the networks at full size; 128 in the published models.
    """

    # Its attention and the statistics of its group norms are over the whole image: tiles would
    # give another picture.
    max_pixels = 1 << 22

    def __init__(self, codebook_size: int, latent_channels: int = 256, width: int = WIDTH) -> None:
        encoder = TamingEncoder(latent_channels, width)
        decoder = TamingDecoder(latent_channels, width)
        super().__init__(encoder, decoder, codebook_size, latent_channels)

    @classmethod
    def sized_for(cls, state_dict: dict[str, Tensor]) -> Self:
        """A model of the sizes that a state dict's tensors have, without their values.

        Raises:
            CodecError: when the state dict is not one of this class.
        """
        size, channels = tensor_of(state_dict, "codebook.weight").shape
        return cls(size, channels, width=len(tensor_of(state_dict, "encoder.net.conv_in.weight")))


class Mao2024VQGANLite(VQGANCodec):
    """Our convolutional pair for CPUs; one pair serves all nine rates.

    Args:
        codebook_size: K.
        latent_channels: D.
        grain_channels: of the noise that the decoder paints grain from; 0 for none.
    """

    max_pixels = 1 << 27
    whole_positions = lite_tiled.WHOLE

    encoder: LiteEncoder
    decoder: LiteDecoder

    def __init__(
        self, codebook_size: int, latent_channels: int = 8, grain_channels: int = 0
    ) -> None:
        encoder = LiteEncoder(latent_channels)
        decoder = LiteDecoder(latent_channels, grain_channels=grain_channels)
        super().__init__(encoder, decoder, codebook_size, latent_channels)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As :meth:`VQGANCodec.load_state_dict`; the decoder has grain afterwards if the saved one
        had, for which ``strict`` must be left on.
        """
        if strict and "decoder.stem.weight" in state_dict and not grain_channels(state_dict):
            self.decoder.grain = None
        return super().load_state_dict(state_dict, strict, assign)

    def _latent_tiles(self, x: Tensor, shape: tuple[int, int]) -> Iterator[tuple[Region, Tensor]]:
        def part(region: Region) -> Tensor:
            # Rows and columns that the padding adds are cut off by the slices, and added anew.
            pixels = x[(..., *region.slices(scale=STRIDE))]
            return network_range(pixels, number_format(self.encoder))

        return lite_tiled.latents(self.encoder, part, *shape, self.rate)

    def _image_tiles(self, codewords: Tensor) -> Iterator[tuple[Region, Tensor]]:
        def part(region: Region) -> Tensor:
            return codewords[(..., *region.slices())]

        height, width = codewords.shape[2:]
        return lite_tiled.images(self.decoder, part, height, width, self.rate)

    @classmethod
    def sized_for(cls, state_dict: dict[str, Tensor]) -> Self:
        """A model of the sizes that a state dict's tensors have, without their values.

        Raises:
            CodecError: when the state dict is not one of this class.
        """
        tensor_of(state_dict, "encoder.stem.weight")
        size, channels = tensor_of(state_dict, "codebook.weight").shape
        return cls(size, channels, grain_channels(state_dict))


def tensor_of(state_dict: dict[str, Tensor], name: str) -> Tensor:
    """A tensor by its name; CodecError, which says what may be the matter, without it."""
    if name in state_dict:
        return state_dict[name]
    why = ""
    if f"module.{name}" in state_dict:
        why = ": DataParallel saved it; python -m compressai.utils.update_model mends its names"
    raise CodecError(f"not weights of this architecture, which have {name}{why}")


ARCHITECTURES: dict[str, type[VQGANCodec]] = dict(
    zip(ARCHITECTURE_NAMES, (Mao2024VQGAN, Mao2024VQGANLite), strict=True)
)
"""Zoo name to class."""
