"""Builds and installs the package for real, offline, in throw-away virtual environments.

Such an environment gets the dependencies from the one that runs the tests, by a path line;
``.pth`` files over there are not processed, so our own hook over there plays no part.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.environment import environment_python

pytestmark = pytest.mark.whole

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    *("compressai_vq", "plugins", "setup.cfg", "setup.py", "pyproject.toml", "LICENSE"),
    *("MANIFEST.in", "constraints.txt", "CHANGELOG.md"),
)
STARTUP_FILES = {"compressai_vq.pth", "compressai_vq.start"}
NAMES = ("mao2024-vqgan", "mao2024-vqgan-lite")


def run(python: Path | str, *arguments: str, cwd: Path) -> str:
    """Standard output of a command that must succeed and say nothing on standard error."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COMPRESSAI"))}
    result = subprocess.run(
        [str(python), *arguments], cwd=cwd, env=variables, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def pip(python: Path, *arguments: str, cwd: Path) -> str:
    """Run this environment's pip for another environment."""
    options = ("--python", str(python), "--disable-pip-version-check", "--no-input", "-q")
    return run(sys.executable, "-m", "pip", *options, *arguments, cwd=cwd)


INSTALL = ("install", "--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, for builds leave files beside the sources."""
    folder = tmp_path_factory.mktemp("sources") / "clone"
    folder.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, folder)
    (folder / "README.md").write_text("# compressai-vq\n")
    # What must never be installed as packages of its own.
    for name in ("tests", "benchmarks"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        (folder / name / "test_one.py").touch()
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = ("wheel", "--no-index", "--no-deps", "--no-build-isolation", "-q", "-w", str(folder))
    run(sys.executable, "-m", "pip", *command, str(sources), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of an empty virtual environment that sees this one's packages."""
    folder = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=tmp_path)
    line = sysconfig.get_path("purelib") + "\n"
    (site_packages(folder) / "aaa-dependencies.pth").write_text(line)
    return environment_python(folder)


def site_packages(environment: Path) -> Path:
    paths = {"base": str(environment), "platbase": str(environment)}
    return Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))


def listing(python: Path) -> set[str]:
    """Every file of the environment, but for compiled caches of what we did not install."""
    folder = python.parents[1]
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def hooks_at_start(python: Path, cwd: Path) -> list[str]:
    """Modules of ours whose finders wait for an import; none of them stays loaded itself."""
    code = (
        "import sys; print(*sorted(n for n in sys.modules if n.startswith('compressai')))\n"
        "print(*(n for n in (type(f).__module__ for f in sys.meta_path) if 'compressai' in n))"
    )
    loaded, hooks = run(python, "-c", code, cwd=cwd).splitlines()
    assert loaded == ""
    return hooks.split()


def test_the_source_distribution_holds_what_an_install_needs_and_no_part_of_the_tests(
    sources: Path, tmp_path: Path
) -> None:
    run(sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path), cwd=sources)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"constraints.txt", "pyproject.toml", "README.md", "compressai_vq/codec.py"} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_wheel_holds_the_package_and_nothing_at_top_level_but_the_hook(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        record = archive.read(next(n for n in names if n.endswith("/RECORD"))).decode()
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt")))
    top = {name.split("/")[0] for name in names}
    assert top == {"compressai_vq", "compressai_vq-0.1.0.dist-info", *STARTUP_FILES}
    assert all(f"\n{name}," in "\n" + record for name in STARTUP_FILES)
    assert b"compressai-vq = compressai_vq.cli.__main__:main" in entry_points

    here = {
        str(path.relative_to(ROOT)).replace(os.sep, "/")
        for path in (ROOT / "compressai_vq").rglob("*")
        if path.suffix in (".py", ".toml", ".json", ".safetensors", ".typed", ".md", ".csv")
    }
    assert here <= set(names)
    assert "compressai_vq/plugins/autoload/__init__.py" in names


def test_source_distribution_builds_the_same_wheel(
    sources: Path, wheel: Path, tmp_path: Path
) -> None:
    build = "import sys; from setuptools import build_meta as b; print(b.{}(sys.argv[1]))"
    script = tmp_path / "out"
    script.mkdir()
    run(sys.executable, "-c", build.format("build_sdist"), str(script), cwd=sources)
    (archive,) = script.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        # Not every Python 3.11 knows filters: Debian 12's 3.11.2 does not.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    run(sys.executable, "-c", build.format("build_wheel"), str(script), cwd=unpacked)
    (rebuilt,) = script.glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(rebuilt) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


# What a user of CompressAI sees; in one Python, for importing it takes seconds.
COMPRESSAI = f"""
import runpy, sys
from compressai.zoo import image_models, models
from compressai.zoo.image import model_architectures
from compressai.registry import MODELS
for name in {NAMES}:
    print(*(name in d for d in (image_models, models, model_architectures, MODELS)))
sys.argv[1:] = ["pretrained", "--help"]
runpy.run_module("compressai.utils.eval_model", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_install_and_uninstall(
    editable: bool, sources: Path, wheel: Path, environment: Path, tmp_path: Path
) -> None:
    before = listing(environment)
    pip(
        environment, *INSTALL, *(("-e", str(sources)) if editable else (str(wheel),)), cwd=tmp_path
    )
    folder = site_packages(environment.parents[1])
    assert all((folder / name).is_file() for name in STARTUP_FILES)
    assert not (folder / "plugins").exists()
    assert hooks_at_start(environment, tmp_path) == ["compressai_vq.plugins.autoload"]
    code = (
        "import importlib.util as u\n"
        "print(*(u.find_spec(n) is None for n in ('plugins', 'tests', 'benchmarks')))\n"
        "import compressai_vq.plugins.autoload as a; print(a.__file__)"
    )
    absent, hook = run(environment, "-c", code, cwd=tmp_path).splitlines()
    assert absent == "True True True"
    assert Path(hook).is_relative_to(sources if editable else folder)

    shown = run(environment, "-W", "ignore::FutureWarning", "-c", COMPRESSAI, cwd=tmp_path)
    first, second, *usage = shown.splitlines()
    assert [first, second] == ["True True True True"] * 2
    assert all(any(name in line for line in usage) for name in NAMES)

    pip(environment, "uninstall", "-y", "compressai-vq", cwd=tmp_path)
    left = listing(environment) - before
    assert not {name for name in left if "compressai" in name}, left
    assert hooks_at_start(environment, tmp_path) == []
    if editable:  # the zoo takes seconds to import
        return
    code = "from compressai.zoo import image_models as m; print([n for n in m if 'mao' in n])"
    assert run(environment, "-c", code, cwd=tmp_path).strip() == "[]"


@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_other_editable_modes_carry_the_hook(
    mode: str, sources: Path, environment: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(sources, clone)
    option = ("--config-settings", f"editable_mode={mode}")
    pip(environment, *INSTALL, *option, "-e", str(clone), cwd=tmp_path)
    assert hooks_at_start(environment, tmp_path) == ["compressai_vq.plugins.autoload"]
    pip(environment, "uninstall", "-y", "compressai-vq", cwd=tmp_path)
    assert hooks_at_start(environment, tmp_path) == []
