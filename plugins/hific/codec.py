"""HiFiC on CompressAI's contract: picture to two byte strings, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from compressai.entropy_models import GaussianConditional
from compressai.models import CompressionModel
from compressai.ops import quantize_ste
from torch import Tensor

from compressai_vq.errors import CodecError
from compressai_vq.pixel_range import check_images, check_unit_range

from .hyperprior import HYPER_CHANNELS, HyperDensity, Hyperprior
from .networks import LATENT_CHANNELS, RESIDUAL_BLOCKS, WIDTHS, HiFiCEncoder, HiFiCGenerator

_STRIDE = 16  # pixels a latent
_HYPER_STRIDE = 4  # latents a hyper-latent
_LEAST_LIKELIHOOD = 1e-9  # CompressAI's bound
_FEWEST_BYTES = 4  # the coder's state
_LEAST_LATENTS = 8  # a side: the hyperprior's reflection needs 3 after its first halving


class Coded(NamedTuple):
    """What becomes of a latent on its way."""

    y_hat: Tensor
    """Rounded relative to the mean, with straight-through gradients (N, C, h, w)."""
    likelihoods: dict[str, Tensor]
    """``y`` and ``z``: of noisy values in training, else of rounded ones; float32."""


class HiFiC(CompressionModel):
    """High-fidelity generative image compression (Mentzer et al., 2020, arXiv 2006.09965).

    ::

              ┌───────┐ y      ┌──┐ z ┌─┐ z_hat ┌───────┐ mean, scale
        x ──►─┤encoder├─►──┬─►─┤HA├─►─┤Q├──►────┤HS, HS ├──►──┐
              └───────┘    │   └──┘   └─┘       └───────┘     │
              ┌─────────┐  └────►─────────────────────────► ┌─┴─┐
    x_hat ─◄──┤generator├──────◄───────────────────── y_hat ┤ Q │
              └─────────┘                                   └───┘

    Pictures are (N, 3, H, W) in [0, 1], of any size.

    Args:
        latent_channels: C of y; 220 as published.
        widths: channels of the networks at five sizes; see :data:`.networks.WIDTHS`.
        blocks: residual blocks of the generator; 9 as published.
        hyper_channels: channels of z; 320 in the published checkpoints.
        norm: ``"channel"``, as published, or ``"instance"``.
        signed: whether the networks see and paint pixels in [-1, 1], the latter through a
            tanh, instead of [0, 1].
    """

    def __init__(
        self,
        latent_channels: int = LATENT_CHANNELS,
        widths: Sequence[int] = WIDTHS,
        blocks: int = RESIDUAL_BLOCKS,
        hyper_channels: int = HYPER_CHANNELS,
        norm: str = "channel",
        signed: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = HiFiCEncoder(latent_channels, widths, norm)
        self.generator = HiFiCGenerator(latent_channels, widths, blocks, norm)
        self.hyperprior = Hyperprior(latent_channels, hyper_channels)
        self.entropy_bottleneck = HyperDensity(hyper_channels)
        self.gaussian_conditional = GaussianConditional(None)
        self.register_buffer("signed", torch.tensor(signed))
        self.signed: Tensor

    @classmethod
    def sized_for(cls, state_dict: dict[str, Tensor]) -> Self:
        """A model of the sizes that a state dict's tensors have, without their values.

        Raises:
            CodecError: when the state dict is not one of this class.
        """
        try:
            blocks = {m[1] for k in state_dict if (m := re.match(r"generator\.resblock_(\d+)", k))}
            return cls(
                len(state_dict["encoder.conv_block_out.1.weight"]),
                [len(state_dict[f"encoder.conv_block{n}.1.weight"]) for n in range(1, 6)],
                len(blocks),
                len(state_dict["hyperprior.analysis_net.conv1.weight"]),
                "channel" if "encoder.conv_block1.2.gamma" in state_dict else "instance",
            )
        except KeyError as error:
            if "Encoder.conv_block1.1.weight" in state_dict:
                raise CodecError(
                    "a checkpoint of the reimplementation must be imported first: "
                    "python -m compressai_vq.plugins.hific CHECKPOINT.pt -o OURS.pth"
                ) from error
            raise CodecError(f"not weights of hific: {error.args[0]} is missing") from error

    @classmethod
    def from_state_dict(cls, state_dict: dict[str, Tensor]) -> Self:
        """A model of the state dict's sizes, with its weights.

        Raises:
            CodecError: when the state dict is not one of this class.
        """
        codec = cls.sized_for(state_dict)
        codec.load_state_dict(state_dict)
        return codec

    # -- pictures <-> latents ------------------------------------------------------------

    def analyze(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1] to latents (N, C, h, w).

        The picture is padded at the right and bottom to multiples of 16 and at least 32, then
        the latent to multiples of 4 and at least 8, by reflection where there is enough to
        reflect, else by repeating the edge. 8-bit pictures are taken, too.

        Raises:
            CodecError: when it is no batch of pictures.
        """
        check_images(x)
        if not x.is_floating_point():
            x = x.to(self.entropy_bottleneck.quantiles) / 255
        x = _pad(x, _STRIDE, 2 * _STRIDE)
        y = self.encoder(2 * x - 1 if self.signed else x)
        return _pad(y, _HYPER_STRIDE, _LEAST_LATENTS)

    def synthesize(self, y_hat: Tensor) -> Tensor:
        """Quantised latents (N, C, h, w) to pictures (N, 3, 16 h, 16 w), not clipped."""
        x_hat = self.generator(y_hat)
        return (torch.tanh(x_hat) + 1) / 2 if self.signed else x_hat

    def code(self, y: Tensor) -> Coded:
        """Latents as the generator receives them, and their probabilities."""
        z_hat, z_likelihoods = self.entropy_bottleneck(self.hyperprior.analysis_net(y))
        means = self.hyperprior.synthesis_mu(z_hat)
        scales = self.hyperprior.synthesis_std(z_hat)
        # Half precision has no numbers for what is improbable.
        _, y_likelihoods = self.gaussian_conditional(y.float(), scales.float(), means.float())
        y_hat = quantize_ste(y - means) + means
        z_likelihoods = z_likelihoods.float().clamp_min(_LEAST_LIKELIHOOD)
        return Coded(y_hat, {"y": y_likelihoods, "z": z_likelihoods})

    # -- CompressAI's contract -----------------------------------------------------------

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Reconstruct.

        Returns:
            ``x_hat`` (N, 3, H, W), not clipped, and ``likelihoods`` of ``y`` and ``z``.
        """
        y_hat, likelihoods = self.code(self.analyze(x))
        x_hat = self.synthesize(y_hat)[..., : x.shape[-2], : x.shape[-1]]
        return {"x_hat": x_hat, "likelihoods": likelihoods}

    @torch.no_grad()
    def compress(self, x: Tensor) -> dict[str, Any]:
        """Pictures (N, 3, H, W) in [0, 1] to ``strings`` [y's N, z's N] and z's ``shape``.

        Raises:
            CodecError: when it is no batch of pictures, or one of floats far from [0, 1].
        """
        check_images(x)
        check_unit_range(x)
        y = self.analyze(x)
        z = self.hyperprior.analysis_net(y)
        shape = (z.shape[2], z.shape[3])
        z_strings = self.entropy_bottleneck.compress(z)
        means, indexes = self._conditions(z_strings, shape)
        y_strings = self.gaussian_conditional.compress(y, indexes, means=means)
        return {"strings": [y_strings, z_strings], "shape": shape}

    @torch.no_grad()
    def decompress(self, strings: list[list[bytes]], shape: tuple[int, int]) -> dict[str, Any]:
        """What :meth:`compress` gave, to ``x_hat`` (N, 3, 64 h, 64 w) in [0, 1].

        Raises:
            CodecError: when there are not two lists of as many strings, of 4 bytes or more.
        """
        if len(strings) != 2 or len(strings[0]) != len(strings[1]) or not strings[0]:
            raise CodecError("expected two lists of as many strings: of latents, hyper-latents")
        # Of fewer the coder would read what lies behind them.
        if min(len(string) for of_one in strings for string in of_one) < _FEWEST_BYTES:
            raise CodecError("a string of latents or hyper-latents is damaged: it is too short")
        means, indexes = self._conditions(strings[1], shape)
        y_hat = self.gaussian_conditional.decompress(strings[0], indexes, means=means)
        return {"x_hat": self.synthesize(y_hat).clamp_(0, 1)}

    def _conditions(self, z_strings: list[bytes], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Both sides take these from the strings, not from what was encoded."""
        z_hat = self.entropy_bottleneck.decompress(z_strings, shape)
        scales = self.hyperprior.synthesis_std(z_hat)
        return self.hyperprior.synthesis_mu(z_hat), self.gaussian_conditional.build_indexes(scales)


def _pad(x: Tensor, multiple: int, least: int) -> Tensor:
    height, width = x.shape[-2:]
    bottom = max(least, -(-height // multiple) * multiple) - height
    right = max(least, -(-width // multiple) * multiple) - width
    if not bottom and not right:
        return x
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(x, (0, right, 0, bottom), mode=mode)
