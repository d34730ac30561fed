"""Whether what is computed now is recorded, rather than only computed.

Compilers, exporters and counters of operations know torch's own operations alone: for them,
shorter ways by other libraries would be errors, constants or nothing at all.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode


def recorded() -> bool:
    """Whether a compiler, a tracer, an exporter or a dispatch mode is looking on."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or _get_current_dispatch_mode() is not None
    )
