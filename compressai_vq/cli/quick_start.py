"""A command's start: without what it will not use, and with what makes torch fast.

``import compressai`` imports the tools of its point-cloud models as well (torch-geometric, and
with it torch's compiler), torchvision's, pandas and scipy.stats.  That takes longer than
importing torch, and longer than a picture takes.  :func:`import_compressai` leaves them out;
it is for our own command line alone, a library must not do so to its users: without :func:`begin`
it does nothing.  Garbage is not collected meanwhile, and what has been imported is never looked
through for it.

:func:`set_environment`, a part of it, has torch take its larger tensors in pages of 2 MiB, where
the kernel gives them on request: the networks' activations are fresh memory at every step, and
page faults of 4 KiB cost up to as much as the arithmetic between convolutions.  And it tells
OpenMP's threads how long to wait for more at full speed before they sleep.  Not at all is best
where Winograd's filtering (:mod:`compressai_vq.networks.winograd`) needs the cores for threads of
its own.  On CPUs with AVX-512, which do without it, each of torch's operations would wake them
anew: they wait as long as there are pauses between operations, but not for ever, because a
folder's other jobs need the cores.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_STOOD_IN_FOR = ("torch_geometric", "torchvision")
_WHEN_USED = ("pandas", "requests", "scipy.stats")
_CPU = Path("/proc/cpuinfo")
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
"""Without all of them torch's routines for it are not used."""
_SPINS = "50000"
"""Looks for more work before an OpenMP thread sleeps; of 10000, it often slept too early."""


_begun = False


def begin() -> None:
    """Make the process a command's own, before torch is imported."""
    global _begun
    _begun = True
    set_environment()


def set_environment() -> None:
    """To be called before torch is imported; what the environment says already is kept."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        if _has_avx512():
            os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def _has_avx512() -> bool:
    """Whether the system says so, without torch; False where it does not tell."""
    try:
        with _CPU.open(encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return set(flags.split()) >= _AVX512


def import_compressai() -> None:
    """Import CompressAI with stand-ins for modules that none of its image codecs needs.

    Others are loaded when first used.  Stand-ins are gone afterwards: whoever imports the
    modules later gets the true ones.  CompressAI's registry of transforms stays without
    theirs.  Does nothing without :func:`begin`, and where CompressAI or one of them is already
    imported.
    """
    if not _begun or any(name in sys.modules for name in ("compressai", *_STOOD_IN_FOR)):
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    # Hundreds of thousands of objects are made that stay: no collection needs to look at them,
    # now or later.
    gc.disable()
    try:
        import compressai  # noqa: F401
    except (ImportError, AttributeError, TypeError):
        # A version of CompressAI that needs more of them: what is half there goes, and it will
        # be imported as it is.
        _forget("compressai")
    finally:
        gc.freeze()
        gc.enable()
        sys.meta_path.remove(finder)
        _forget(*_STOOD_IN_FOR)


def _forget(*packages: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
        del sys.modules[name]


class _StandIn:
    """Serves as a base class, and as a decorator that does nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def __call__(self, decorated: Any) -> Any:
        return decorated


class _StandInLoader(importlib.abc.Loader):
    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []
        module.__getattr__ = _attribute  # type: ignore[method-assign]


def _attribute(name: str) -> type[_StandIn]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _StandIn


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in _STOOD_IN_FOR:
            return importlib.machinery.ModuleSpec(name, _StandInLoader(), is_package=True)
        if name not in _WHEN_USED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
