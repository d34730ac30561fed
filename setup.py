"""Build steps that setup.cfg cannot express: the start-up files beside the package.

``compressai_vq.pth`` and ``compressai_vq.start`` have to lie directly in site-packages, in
ordinary and in editable installs, and be listed in the wheel's RECORD so that uninstalling
removes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

STARTUP_FILES = ("compressai_vq.pth", "compressai_vq.start")
STARTUP_FOLDER = Path("plugins", "autoload")


class BuildWithStartupFiles(build_py):
    """Copies the start-up files to the root of what is installed."""

    def run(self) -> None:
        super().run()
        # An editable install takes the modules from the source tree and ignores what is
        # copied here; EditableWithStartupFiles adds them there.
        if not self.editable_mode:
            for name in STARTUP_FILES:
                self.copy_file(
                    str(STARTUP_FOLDER / name),
                    str(Path(self.build_lib, name)),
                    preserve_mode=False,
                )

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = list(super().get_outputs(include_bytecode))
        if not self.editable_mode:
            outputs += [str(Path(self.build_lib, name)) for name in STARTUP_FILES]
        return outputs

    def get_source_files(self) -> list[str]:
        # What a source distribution must carry for this build to work from it.
        return [*super().get_source_files(), *(str(STARTUP_FOLDER / n) for n in STARTUP_FILES)]


class StrategyWithStartupFiles:
    """One of setuptools' ways to make an editable wheel, with the start-up files added."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def __enter__(self) -> StrategyWithStartupFiles:
        self._strategy.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        return self._strategy.__exit__(*exc_info)

    def __call__(self, wheel: Any, files: list[str], mapping: dict[str, str]) -> None:
        self._strategy(wheel, files, mapping)
        for name in STARTUP_FILES:
            wheel.writestr(name, (STARTUP_FOLDER / name).read_bytes())


class EditableWithStartupFiles(editable_wheel):
    """Adds the start-up files to an editable install, whichever strategy it uses."""

    def _select_strategy(self, *args: Any, **kwargs: Any) -> Any:
        return StrategyWithStartupFiles(super()._select_strategy(*args, **kwargs))


setup(
    packages=[
        *find_packages(include=["compressai_vq", "compressai_vq.*"]),
        *(f"compressai_vq.{name}" for name in find_packages(include=["plugins", "plugins.*"])),
    ],
    cmdclass={"build_py": BuildWithStartupFiles, "editable_wheel": EditableWithStartupFiles},
)
