"""A VQGAN image codec for CompressAI.

Importing this package costs next to nothing, for it happens at every start of Python, from
``compressai_vq.pth``: it imports nothing but the hook that makes CompressAI list our models (see
:mod:`compressai_vq.plugins.autoload`). The names below are imported when first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .codec import VQGANCodec
    from .errors import CodecError
    from .zoo import register

__version__ = "0.1.0"
__all__ = ["CodecError", "VQGANCodec", "__version__", "register"]

_LAZY = {"CodecError": ".errors", "VQGANCodec": ".codec", "register": ".zoo"}


def __getattr__(name: str) -> "Any":
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def _map_plugins_of_a_clone() -> None:
    """Make ``compressai_vq.plugins`` importable where only the build could have mapped it."""
    import sys
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    folder = Path(__file__).resolve().parent.parent / "plugins"
    # In site-packages, a "plugins" beside us would be somebody else's.
    if not (folder / "autoload" / "compressai_vq.pth").is_file():
        return
    name = f"{__name__}.plugins"
    spec = spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is not None and spec.loader is not None:
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
        globals()["plugins"] = module


def _start_hook() -> None:
    try:
        try:
            from .plugins.autoload import install
        except ModuleNotFoundError:
            _map_plugins_of_a_clone()
            from .plugins.autoload import install
        install()
    except ModuleNotFoundError:
        # Without the hook everything works but CompressAI's own command lines.
        pass
    except Exception as error:
        import warnings

        message = f"compressai-vq's hook did not start: {error!r}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


_start_hook()
