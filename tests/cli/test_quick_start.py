"""The command line's own process starts without what it will not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_PROBE = """
import gc, json, sys
from compressai_vq.cli import quick_start
torch_was_there = "torch" in sys.modules
quick_start.set_environment()
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
    "torch_was_there": torch_was_there,
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
}))
"""


def _probe(**environment: str) -> dict[str, object]:
    set_here = ("THP_MEM_ALLOC_ENABLE", "OMP_WAIT_POLICY")
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
    assert seen["collects"]
    assert isinstance(seen["frozen"], int) and seen["frozen"] > 100_000, "all that torch made"
    assert not seen["torch_was_there"], "its OpenMP reads the environment once"
