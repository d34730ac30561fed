"""The command line's own process starts without what it will not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compressai_vq.cli import quick_start
from compressai_vq.cli.__main__ import main
from compressai_vq.file_codec import FileCodec

from ..fixtures import photograph

pytestmark = pytest.mark.whole

_PROBE = """
import gc, json, sys
from compressai_vq.cli import quick_start
torch_was_there = "torch" in sys.modules
quick_start.begin()
quick_start.import_compressai()
from compressai_vq.cli.__main__ import parser
parser("compress")
import torch
from compressai_vq.file_codec import FileCodec
from compressai_vq.pretrained import pretrained_weights
from compressai_vq.prior.prior_weights import PriorWeights, packaged_prior
weights = pretrained_weights("mao2024-vqgan-lite")
codec = FileCodec(weights, prior=PriorWeights.load(packaged_prior(weights)))
codec.decompress(codec.compress(torch.zeros(3, 64, 64, dtype=torch.uint8), 1))
names = ("compressai.models", "torch_geometric", "torchvision", "torch._dynamo", "sklearn")
loaded = {name: name in sys.modules for name in names}
finders = [type(finder).__module__ for finder in sys.meta_path]
import os
import scipy.stats
import torchvision
print(json.dumps({
    "loaded": loaded,
    "finders": finders,
    "quantile": float(scipy.stats.norm.ppf(0.5)),
    "torchvision": hasattr(torchvision, "models") and bool(torchvision.__version__),
    "huge": os.environ["THP_MEM_ALLOC_ENABLE"],
    "wait": os.environ["OMP_WAIT_POLICY"],
    "spins": os.environ.get("GOMP_SPINCOUNT"),
    "capability": torch.backends.cpu.get_cpu_capability(),
    "torch_was_there": torch_was_there,
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
}))
"""


def _probe(**environment: str) -> dict[str, object]:
    set_here = ("THP_MEM_ALLOC_ENABLE", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    inherited = {k: v for k, v in os.environ.items() if k not in set_here}
    result = subprocess.run(
        [sys.executable, "-c", _PROBE],
        capture_output=True,
        text=True,
        check=True,
        env={**inherited, **environment},
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_a_commands_process_leaves_out_what_it_does_not_use() -> None:
    seen = _probe(THP_MEM_ALLOC_ENABLE="0")
    loaded = seen["loaded"]
    assert isinstance(loaded, dict)
    assert loaded.pop("compressai.models")
    assert not any(loaded.values()), loaded
    finders = seen["finders"]
    assert isinstance(finders, list)
    assert "compressai_vq.cli.quick_start" not in finders
    # Whoever wants them afterwards gets the true modules.
    assert seen["quantile"] == 0.0
    assert seen["torchvision"]
    assert seen["huge"] == "0", "what the environment says is kept"
    assert seen["wait"] == "passive"
    # Where Winograd's filtering is not used, as networks/winograd.py asks torch.
    assert (seen["spins"] is not None) == (seen["capability"] == "AVX512")
    assert seen["collects"]
    assert isinstance(seen["frozen"], int) and seen["frozen"] > 100_000, "all that torch made"
    assert not seen["torch_was_there"], "its OpenMP reads the environment once"


@pytest.mark.parametrize(
    ("cpu", "environment", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512bw avx512dq avx512vl\n", {}, ("passive", True)),
        ("flags\t\t: fpu avx2 avx512f\n", {}, ("passive", False)),
        ("flags\t\t: fpu avx2\n", {}, ("passive", False)),
        ("Features\t: fp asimd\n", {}, ("passive", False)),
        (None, {}, ("passive", False)),
        (
            "flags\t\t: avx512f avx512bw avx512dq avx512vl\n",
            {"OMP_WAIT_POLICY": "active"},
            ("active", False),
        ),
    ],
)
def test_threads_wait_for_more_where_no_others_need_the_cores(
    cpu: str | None,
    environment: dict[str, str],
    expected: tuple[str, bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = tmp_path / "cpuinfo"
    if cpu is not None:
        told.write_text(f"model name\t: a CPU\n{cpu}")
    found = dict(environment)
    monkeypatch.setattr(quick_start, "_CPU", told)
    monkeypatch.setattr(os, "environ", found)
    quick_start.set_environment()
    assert (found["OMP_WAIT_POLICY"], "GOMP_SPINCOUNT" in found) == expected


_COMMAND = """
import sys
from compressai_vq.cli.__main__ import main
try:
    code = main()
except SystemExit as end:
    code = end.code
print([code, *(name for name in ("torch", "compressai", "scipy") if name in sys.modules)])
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("train --help", 0),
        ("compress a.png", 2),
        ("compress a.png -o a.cvq", 2),
        ("compress a.cvq -o b -q 10", 2),
        ("eval nowhere", 2),
        ("info a.cvq", 0),
        ("info a.cvq b.cvq", 2),
    ],
)
def test_what_needs_no_network_imports_none(
    arguments: str, code: int, codec: FileCodec, tmp_path: Path
) -> None:
    (tmp_path / "a.cvq").write_bytes(codec.compress(photograph(48, 64), 3))
    result = subprocess.run(
        [sys.executable, "-c", _COMMAND, *arguments.split()],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert result.stdout.splitlines()[-1] == f"[{code}]", result.stderr


def test_a_library_s_user_gets_all_of_compressai(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a process of its own, a command leaves nothing out."""
    assert main(["info", "nowhere.cvq"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere.cvq")
    for name in ("compressai", "torch_geometric", "torchvision"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    quick_start.import_compressai()
    assert "compressai" not in sys.modules, "it is left to whoever needs it"
