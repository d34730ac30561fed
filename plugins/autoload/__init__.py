"""Registers our models with CompressAI as soon as, and only when, its zoo is imported.

CompressAI looks for no plugins, so ``python -m compressai.utils.eval_model`` could not know
ours. :func:`start` runs at every start of Python (``compressai_vq.pth``, or from Python 3.15
``compressai_vq.start``), where all it does is to put an object on ``sys.meta_path``. Hence no
import but ``sys`` here, not even ``__future__``, which is one more file to read.

When something imports ``compressai.zoo``, that object lets the other finders find it, and
calls :func:`compressai_vq.zoo.register` once the module has run.

- ``COMPRESSAI_VQ_AUTOLOAD=0`` in the environment switches it off.
- A failure to register is a warning: CompressAI works on without our models.
- The finder stays for the life of the process. ``importlib.reload(compressai.zoo)`` makes new
  dictionaries, which need our entries again.
- Our own modules import CompressAI, so its zoo may run while one of them is half imported and
  before ``register`` can work. They are therefore watched too, and registration waits until
  the outermost one is complete.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

SWITCH = "COMPRESSAI_VQ_AUTOLOAD"
_ZOO = "compressai.zoo"
_OWN_MODULES = "compressai_vq."


def start() -> None:
    """:func:`install`, then forget this package: whoever imports it looks for it as ever.

    At that time ``sys.path`` is not complete, and the copy there that comes first, as a clone
    that one works in does, may be another than this.
    """
    install()
    for name in list(sys.modules):
        if f"{name}.".startswith(_OWN_MODULES):
            del sys.modules[name]


def install() -> None:
    """Register when CompressAI's zoo is imported, or now if it has been.

    Calling it again does nothing, nor does calling another copy's; it never raises.
    """
    try:
        # Python has imported os by now; this is a look-up.
        import os

        if os.environ.get(SWITCH) == "0":
            return
        if any(type(finder).__module__ == __name__ for finder in sys.meta_path):
            return
        sys.meta_path.insert(0, _finder)
        if sys.modules.get(_ZOO) is not None:
            _finder.zoo_was_there()
    except Exception as error:
        _warn(error)


class _Finder:
    """Finds nothing itself: wraps what the finders after it find for the names it watches."""

    def __init__(self) -> None:
        self.zoo_is_new = False
        self.watches_all = False
        self.running: list[str] = []

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        # Registering here, on the way, would import modules of which one may be this very one:
        # the import system would then load it a second time.
        if name != _ZOO and not name.startswith(_OWN_MODULES) and not self.watches_all:
            return None
        spec = self._found_by_others(name, path, target)
        # Already wrapped if a finder after this one has asked everyone on its own account.
        if spec is None or isinstance(spec.loader, _Loader):
            return spec
        if hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
        return spec

    def _found_by_others(
        self, name: str, path: "Sequence[str] | None", target: "ModuleType | None"
    ) -> "ModuleSpec | None":
        finders = list(sys.meta_path)
        # Those before this one have been asked already. Not to ask them again also rules out
        # an endless exchange with another hook that delegates as this one does.
        after = finders[finders.index(self) + 1 :] if self in finders else []
        for finder in after:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if find_spec is not None else None
            if spec is not None:
                return spec
        return None

    def zoo_was_there(self) -> None:
        """The zoo was imported, or its import had begun, before this finder was installed."""
        self.zoo_is_new = True
        self.register_if_possible()
        # Nothing announces the end of an import that had begun; the end of any other import
        # is then a chance to look.
        self.watches_all = self.zoo_is_new

    def zoo_has_run(self) -> None:
        """The zoo's code is complete, though its import may not have returned yet."""
        self.zoo_is_new = True
        if not self.running:
            self._register()

    def register_if_possible(self) -> None:
        """Register unless it is done, or something that it takes is half imported."""
        zoo = sys.modules.get(_ZOO)
        if zoo is None or not self.zoo_is_new or self.running:
            return
        if not getattr(getattr(zoo, "__spec__", None), "_initializing", False):
            self._register()

    def _register(self) -> None:
        self.zoo_is_new = False
        try:
            from compressai_vq.zoo import register

            register()
        except Exception as error:
            if self.running:
                # Another thread has begun to import one of ours and waits for CompressAI,
                # which this thread is importing. It will come here when it has finished.
                self.zoo_is_new = True
            else:
                _warn(error)
        self.watches_all = self.watches_all and self.zoo_is_new


class _Loader:
    """Another loader, and a word to the finder when the module has run."""

    def __init__(self, loader: "Any", finder: _Finder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> "Any":
        # get_source, get_data, is_package, path...: for inspect, runpy, importlib.resources.
        if name.startswith("_loader"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __reduce__(self) -> "Any":
        from operator import getitem  # no function of ours: this module may be another by then

        return getitem, ((self._loader,), 0)

    def create_module(self, spec: "ModuleSpec") -> "Any":
        create = getattr(self._loader, "create_module", None)
        return create(spec) if create is not None else None

    def exec_module(self, module: "ModuleType") -> None:
        name = module.__name__
        # A module that has been imported shows no trace of this class.
        module.__loader__ = self._loader
        spec = module.__spec__
        if spec is not None and spec.loader is self:
            spec.loader = self._loader

        finder = self._finder
        if name == _ZOO:
            self._loader.exec_module(module)
            # The import system does this a moment later; register() may rely on it.
            parent = sys.modules.get("compressai")
            if parent is not None:
                parent.zoo = module  # type: ignore[attr-defined]
            finder.zoo_has_run()
            return
        finder.running.append(name)
        try:
            self._loader.exec_module(module)
        finally:
            finder.running.remove(name)
            finder.register_if_possible()


def _warn(error: Exception) -> None:
    import warnings

    warnings.warn(
        f"compressai-vq could not add its models to CompressAI: {type(error).__name__}: {error}"
        f" (set {SWITCH}=0 to switch this off)",
        RuntimeWarning,
        stacklevel=2,
    )


_finder = _Finder()
