"""Products of bytes: the sums that integers have, however large, or another way is taken."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compressai_vq.prior import byte_products
from compressai_vq.prior.byte_products import ByteProducts

from .machines import multiplies_bytes
from .made_up import hashed

CPU = torch.device("cpu")
BYTES, ALL = (0, 255), (-(1 << 24), 1 << 24)

needs_instructions = pytest.mark.skipif(
    not multiplies_bytes, reason="this CPU has no instructions for products of bytes"
)


def wanted(weight: Tensor, bias: Tensor, shift: Tensor, x: Tensor) -> Tensor:
    kernel = weight if weight.dim() == 4 else weight[..., None, None]
    margin = kernel.shape[-1] // 2
    y = torch.conv2d(x.permute(0, 3, 1, 2).double(), kernel.double(), padding=margin)
    return (y.permute(0, 2, 3, 1).long() + bias) >> shift


def powers(shift: Tensor) -> Tensor:
    return torch.tensor([2.0**-n for n in shift.tolist()])


@needs_instructions
@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 57),
    out=st.integers(1, 40),
    side=st.sampled_from([1, 3]),
    shift=st.integers(0, 23),
    seed=st.integers(0, 1000),
    extreme=st.booleans(),
)
def test_are_exact(
    shape: tuple[int, int, int],
    channels: int,
    out: int,
    side: int,
    shift: int,
    seed: int,
    extreme: bool,
) -> None:
    weight = hashed(out * channels * side**2, seed, 127).view(out, channels, side, side)
    x = hashed(torch.Size(shape).numel() * channels, seed + 1, 127).view(*shape, -1) + 128
    if extreme:  # as large as factors get, with signs that agree
        weight, x = 127 * weight.sign(), 255 * (x > 128).long()
        weight[0] = 127
    bias, shifts = hashed(out, seed + 2, 1 << 16), (shift + hashed(out, seed + 3, 2)).clamp(0, 23)
    weight = weight[..., 0, 0] if side == 1 else weight
    packed = ByteProducts(weight.to(torch.int8), bias.int(), powers(shifts))
    sums = wanted(weight, bias, shifts, x)
    for bounds in (BYTES, ALL):
        found = packed.results(x.to(torch.uint8), *bounds)
        assert torch.equal(found.long(), sums.clamp(*bounds))


@needs_instructions
@pytest.mark.parametrize("shift", [14, 15, 23])
@pytest.mark.parametrize("bias", [0, (1 << 22) - 1, 1 << 22, -(1 << 22)])
def test_floors_are_bytes_where_float32_holds_them(shift: int, bias: int) -> None:
    """Sums around each whole number that a byte can be."""
    weight = torch.tensor([[127] * 100, [-127] * 100, [1] * 100, [64] * 100])
    biases, shifts = torch.full((4,), bias), torch.full((4,), shift)
    packed = ByteProducts(weight.to(torch.int8), biases.int(), powers(shifts))
    x = hashed(2000 * 100, shift, 127).view(1, 1, 2000, 100) + 128
    found = packed.results(x.to(torch.uint8), *BYTES)
    assert torch.equal(found.long(), wanted(weight, biases, shifts, x).clamp(*BYTES))
    assert (found.dtype == torch.uint8) == (shift == 14 and abs(bias) < 1 << 22)


@needs_instructions
@pytest.mark.parametrize("again", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
@pytest.mark.parametrize("side", [1, 3])
def test_can_be_copied_and_pickled(
    again: Callable[[ByteProducts], ByteProducts], side: int
) -> None:
    weight = hashed(5 * 7 * side**2, 1, 127).view(5, 7, side, side).to(torch.int8)
    weight = weight[..., 0, 0] if side == 1 else weight
    made = ByteProducts(weight, torch.arange(5).int(), powers(torch.arange(5)))
    x = (hashed(4 * 6 * 7, 2, 127).view(1, 4, 6, 7) + 128).to(torch.uint8)
    assert torch.equal(again(made).results(x, *ALL), made.results(x, *ALL))


class TestAvailable:
    @pytest.fixture(autouse=True)
    def tried_anew(self) -> Iterator[None]:
        for asked in (byte_products._has_instructions, byte_products._trial):
            asked.cache_clear()
        yield
        for asked in (byte_products._has_instructions, byte_products._trial):
            asked.cache_clear()

    @pytest.fixture
    def with_vnni(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)

    def has(self, avx512: bool, avx2: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
        capable = {"avx_vnni": avx2, "avx2": True}
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: avx512, raising=False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capable, raising=False)
        monkeypatch.setattr(byte_products, "_trial", lambda: True)
        return byte_products.available(CPU)

    def test_on_no_other_device(self) -> None:
        assert not byte_products.available(torch.device("cuda"))

    @pytest.mark.parametrize(("avx512", "avx2"), [(True, False), (False, True), (False, False)])
    def test_with_either_form_of_the_instructions(
        self, avx512: bool, avx2: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.has(avx512, avx2, monkeypatch) == (avx512 or avx2)

    @needs_instructions
    @pytest.mark.parametrize(
        ("routines", "exact", "instructions"),
        [
            ("AVX2", False, "avx2"),
            ("AVX2_VNNI", True, "avx_vnni"),
            ("AVX512_CORE", False, "avx512_bw"),
            ("AVX512_CORE_VNNI", True, "avx512_vnni"),
        ],
    )
    def test_the_trial_tells_routines_apart(
        self, routines: str, exact: bool, instructions: str
    ) -> None:
        """OneDNN is asked for those of other CPUs; that is for a process to do when it starts."""
        if not torch.cpu.get_capabilities().get(instructions):
            pytest.skip(f"this CPU has no {instructions}")
        code = "from compressai_vq.prior import byte_products as b; print(b._trial())"
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": routines}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(exact)

    @pytest.mark.filterwarnings("ignore:TF32 acceleration")
    @pytest.mark.usefixtures("with_vnni")
    def test_not_without_onednn(self) -> None:
        with torch.backends.mkldnn.flags(enabled=False):
            assert not byte_products.available(CPU)

    @pytest.mark.usefixtures("with_vnni")
    def test_not_where_torch_has_no_such_operations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(byte_products, "_OPERATIONS", SimpleNamespace())
        assert not byte_products.available(CPU)

    @pytest.mark.usefixtures("with_vnni")
    def test_not_where_pairs_of_products_are_added_in_16_bits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As by vpmaddubsw, which CPUs without VNNI have."""

        def saturated(self: ByteProducts, x: Tensor, bias: Tensor, kind: torch.dtype) -> Tensor:
            weight, _, scale = self._parts
            kernel = weight if weight.dim() == 4 else weight[..., None, None]
            sums = torch.zeros(())
            for first in range(0, x.shape[-1], 2):
                pair = slice(first, first + 2)
                y = torch.conv2d(
                    x[..., pair].permute(0, 3, 1, 2).float(),
                    kernel[:, pair].float(),
                    padding=kernel.shape[-1] // 2,
                )
                sums = sums + y.clamp(-(1 << 15), (1 << 15) - 1)
            y = sums.permute(0, 2, 3, 1) * scale + bias
            return y if kind == torch.float32 else y.round().clamp(*BYTES).to(torch.uint8)

        monkeypatch.setattr(ByteProducts, "_products", saturated)
        assert not byte_products.available(CPU)
