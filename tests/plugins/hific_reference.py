"""HiFiC as the reimplementation computes it, restated on a state dict of its names.

Plain functions of torch, sharing nothing with ``plugins.hific``, to compare that with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def shapes(widths: list[int], latents: int, blocks: int, hyper: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of ``model_state_dict``, channel norm, without the discriminator."""
    table: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, *shape: int, transposed: bool = False) -> None:
        table[f"{name}.weight"] = shape
        table[f"{name}.bias"] = (shape[1] if transposed else shape[0],)

    def norm(name: str, channels: int) -> None:
        table[f"{name}.gamma"] = table[f"{name}.beta"] = (1, channels, 1, 1)

    convolution("Encoder.conv_block1.1", widths[0], 3, 7, 7)
    norm("Encoder.conv_block1.2", widths[0])
    for n in range(1, 5):
        convolution(f"Encoder.conv_block{n + 1}.1", widths[n], widths[n - 1], 3, 3)
        norm(f"Encoder.conv_block{n + 1}.2", widths[n])
    convolution("Encoder.conv_block_out.1", latents, widths[4], 3, 3)
    norm("Generator.conv_block_init.0", latents)
    convolution("Generator.conv_block_init.2", widths[4], latents, 3, 3)
    norm("Generator.conv_block_init.3", widths[4])
    for n in range(blocks):
        for part in (1, 2):
            convolution(f"Generator.resblock_{n}.conv{part}", widths[4], widths[4], 3, 3)
            norm(f"Generator.resblock_{n}.norm{part}", widths[4])
    for n in range(1, 5):
        name = f"Generator.upconv_block{n}"
        convolution(f"{name}.0", widths[5 - n], widths[4 - n], 3, 3, transposed=True)
        norm(f"{name}.1", widths[4 - n])
    convolution("Generator.conv_block_out.1", 3, widths[0], 7, 7)
    convolution("Hyperprior.analysis_net.conv1", hyper, latents, 3, 3)
    convolution("Hyperprior.analysis_net.conv2", hyper, hyper, 5, 5)
    convolution("Hyperprior.analysis_net.conv3", hyper, hyper, 5, 5)
    for net in ("synthesis_mu", "synthesis_std"):
        convolution(f"Hyperprior.{net}.conv1", hyper, hyper, 5, 5, transposed=True)
        convolution(f"Hyperprior.{net}.conv2", hyper, hyper, 5, 5, transposed=True)
        convolution(f"Hyperprior.{net}.conv3", hyper, latents, 3, 3, transposed=True)
    sizes = (1, 3, 3, 3, 1)
    for k in range(4):
        name = "Hyperprior.hyperlatent_likelihood."
        table[f"{name}H_{k}"] = (hyper, sizes[k + 1], sizes[k])
        table[f"{name}a_{k}"] = table[f"{name}b_{k}"] = (hyper, sizes[k + 1], 1)
    return table


def random_state(seed: int, **sizes: object) -> State:
    """Random values of these shapes, such that latents spread over some integers."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(**sizes).items():  # type: ignore[arg-type]
        value = torch.randn(shape, generator=generator)
        fan_in = value[0].numel() if value.dim() == 4 and "gamma" not in name else 1
        state[name] = value * (2 / fan_in) ** 0.5 if fan_in > 1 else 0.3 * value
        if name.endswith("gamma"):
            state[name] = state[name] + 1
    state["Encoder.conv_block_out.1.weight"] *= 4
    state["Hyperprior.analysis_net.conv3.weight"] *= 3
    # Scales that fit: coders treat what is far from its mean in ways of their own.
    state["Hyperprior.synthesis_std.conv3.bias"] += 4
    return state


def channel_norm(s: State, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1, keepdim=True) / (x.shape[1] - 1)
    return centred / (variance + 1e-3).sqrt() * s[f"{name}.gamma"] + s[f"{name}.beta"]


def conv(s: State, name: str, x: Tensor, pad: tuple[int, ...] = (), stride: int = 1) -> Tensor:
    if pad:
        x = F.pad(x, pad, mode="reflect")
    return F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], stride)


def encode(s: State, x: Tensor) -> Tensor:
    for n in range(1, 6):
        name = f"Encoder.conv_block{n}"
        # left, right, top, bottom
        pad, stride = ((3, 3, 3, 3), 1) if n == 1 else ((0, 1, 1, 0), 2)
        x = F.relu(channel_norm(s, f"{name}.2", conv(s, f"{name}.1", x, pad, stride)))
    return conv(s, "Encoder.conv_block_out.1", x, (1, 1, 1, 1))


def generate(s: State, y: Tensor, blocks: int) -> Tensor:
    ones = (1, 1, 1, 1)
    y = channel_norm(s, "Generator.conv_block_init.0", y)
    y = conv(s, "Generator.conv_block_init.2", y, ones)
    head = x = channel_norm(s, "Generator.conv_block_init.3", y)
    for n in range(blocks):
        name = f"Generator.resblock_{n}"
        inner = channel_norm(s, f"{name}.norm1", conv(s, f"{name}.conv1", x, ones))
        inner = conv(s, f"{name}.conv2", F.relu(inner), ones)
        x = x + channel_norm(s, f"{name}.norm2", inner)
    x = x + head
    for n in range(1, 5):
        name = f"Generator.upconv_block{n}"
        weight, bias = s[f"{name}.0.weight"], s[f"{name}.0.bias"]
        x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
        x = F.relu(channel_norm(s, f"{name}.1", x))
    return conv(s, "Generator.conv_block_out.1", x, (3, 3, 3, 3))


def hyper_encode(s: State, y: Tensor) -> Tensor:
    name, two = "Hyperprior.analysis_net", (2, 2, 2, 2)
    z = F.conv2d(y, s[f"{name}.conv1.weight"], s[f"{name}.conv1.bias"], padding=1)
    z = conv(s, f"{name}.conv2", F.relu(z), two, 2)
    return conv(s, f"{name}.conv3", F.relu(z), two, 2)


def hyper_decode(s: State, net: str, z: Tensor) -> Tensor:
    name = f"Hyperprior.{net}"
    for n in (1, 2):
        weight, bias = s[f"{name}.conv{n}.weight"], s[f"{name}.conv{n}.bias"]
        z = F.relu(F.conv_transpose2d(z, weight, bias, 2, 2, 1))
    weight, bias = s[f"{name}.conv3.weight"], s[f"{name}.conv3.bias"]
    return F.conv_transpose2d(z, weight, bias, 1, 1)


def hyper_likelihood(s: State, z: Tensor) -> Tensor:
    """The factorised density, integrated over unit intervals around z (N, M, h, w)."""
    name = "Hyperprior.hyperlatent_likelihood."

    def logits(v: Tensor) -> Tensor:
        for k in range(4):
            v = F.softplus(s[f"{name}H_{k}"]) @ v + s[f"{name}b_{k}"]
            v = v + torch.tanh(s[f"{name}a_{k}"]) * torch.tanh(v)
        return v

    values = z.transpose(0, 1).reshape(z.shape[1], 1, -1).double()
    s = {k: v.double() for k, v in s.items()}
    mass = torch.sigmoid(logits(values + 0.5)) - torch.sigmoid(logits(values - 0.5))
    mass = mass.clamp(min=1e-9)
    return mass.reshape(z.shape[1], z.shape[0], *z.shape[2:]).transpose(0, 1)


def reconstruct(s: State, x: Tensor, blocks: int, signed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Picture, likelihoods of y and of z, of pictures with sides that are multiples of 64."""
    y = encode(s, 2 * x - 1 if signed else x)
    z = torch.floor(hyper_encode(s, y) + 0.5)
    means = hyper_decode(s, "synthesis_mu", z)
    scales = hyper_decode(s, "synthesis_std", z).clamp(min=0.11)
    y_hat = torch.floor(y - means + 0.5) + means
    normal = torch.distributions.Normal(means.double(), scales.double())
    mass = normal.cdf(y_hat.double() + 0.5) - normal.cdf(y_hat.double() - 0.5)
    x_hat = generate(s, y_hat, blocks)
    return (
        (torch.tanh(x_hat) + 1) / 2 if signed else x_hat,
        mass.clamp(min=1e-9),
        hyper_likelihood(s, z),
    )
