"""The number format and memory layout in which networks run fastest on a device."""

from __future__ import annotations

from typing import Literal

import torch

from .codec import VQGANCodec
from .errors import CodecError
from .networks import winograd
from .networks.convolution import wants_default_layout
from .networks.memory_layout import channels_last
from .precision_names import PRECISIONS


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX-512 BF16 or AMX)."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in probes)


def prefers_bf16(device: str | torch.device) -> bool:
    """Whether networks run faster in bf16 than in fp32 on a device: not on most CPUs.

    Of NVIDIA's GPUs those before Ampere only emulate it.
    """
    return _multiplies_bf16(torch.device(device).type)


def _multiplies_bf16(kind: str) -> bool:
    if kind == "cpu":
        return has_fast_bf16()
    # Lightning's accelerators, "gpu" among them, are not all names of torch's devices.
    if kind in ("cuda", "gpu") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return True


def for_training(accelerator: str) -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name for the number format of training: bf16 where the device is fast at it.

    CPUs without it compute in bf16 all the same, far slower than in fp32.
    """
    return "bf16-mixed" if _multiplies_bf16(accelerator) else "32-true"


def autocast(device: str | torch.device, enabled: bool = True) -> torch.autocast:
    """A region that computes in bf16 where the device is fast at it, else in what it is given.

    Args:
        device: where the region computes.
        enabled: False for a region that needs more bits than bf16 has.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=enabled and prefers_bf16(device))


def for_inference(
    codec: VQGANCodec, device: str | torch.device = "cpu", precision: str = "auto"
) -> VQGANCodec:
    """Prepare a codec for inference, in place; its parameters are frozen.

    Codebook and coder stay in fp32: which index a latent gets, and what it costs, does not
    hang on the networks' format more than it must.

    Args:
        codec: the codec.
        device: where it shall run.
        precision: ``"fp32"``, ``"bf16"`` or ``"auto"``: bf16 where the device is fast at it.
            Networks with a method ``use_bf16`` (taming's) keep what needs it in fp32.

    Weights are laid out channels-last, but for networks whose convolutions are faster by
    another algorithm on this CPU, in the default layout (:mod:`.networks.winograd`).

    Raises:
        CodecError: for another precision.
    """
    if precision not in PRECISIONS:
        raise CodecError(f"unknown precision {precision}; known: {', '.join(PRECISIONS)}")
    codec = codec.to(device).eval().requires_grad_(False)
    if precision == "auto":
        precision = "bf16" if prefers_bf16(device) else "fp32"
    for network in (codec.encoder, codec.decoder):
        if precision == "bf16":
            partly = getattr(network, "use_bf16", None)
            if partly is not None:
                partly()
            else:
                network.to(torch.bfloat16)
        if not (winograd.preferred() and wants_default_layout(network)):
            channels_last(network)
    return codec
