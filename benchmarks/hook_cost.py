"""What the start-up hook costs a Python that does nothing: ``python -m benchmarks.hook_cost``.

Two measurements in one throw-away environment that holds the installed package and no
dependency:

- wall time of ``python -c pass`` with and without ``compressai_vq.pth``, in pairs run one
  right after the other in alternating order; the median of the pairs' differences. Other
  load on the machine shifts both halves of a pair alike.
- the time that ``-X importtime`` gives to our modules, which says the same without the noise
  of starting a process, and leaves out reading the ``.pth`` file.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from benchmarks.environment import ROOT, environment_python
from compressai_vq.argument_parser import ArgumentParser

RESULTS = ROOT / "benchmarks" / "results" / "hook_cost.json"
HOOK = "compressai_vq.pth"
TARGET_MS = 1.0
BARE = ("-c", "pass")


def measure(pairs: int) -> dict[str, object]:
    """Install into a temporary environment, measure, and describe the machine."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python, packages = _environment(folder)
        hook = packages / HOOK
        parked = folder / HOOK

        def start(hooked: bool) -> float:
            if hooked != hook.exists():
                source, target = (parked, hook) if hooked else (hook, parked)
                source.rename(target)
            return _milliseconds(python, folder)

        for hooked in (True, False):  # fills caches, and compiles nothing while measuring
            start(hooked)
        times: dict[bool, list[float]] = {True: [], False: []}
        order = random.Random(0)
        for _ in range(pairs):
            first = order.random() < 0.5
            for hooked in (first, not first):
                times[hooked].append(start(hooked))

        start(True)
        imports = [_import_time(python, folder) for _ in range(max(5, pairs // 10))]

    differences = [a - b for a, b in zip(times[True], times[False], strict=True)]
    low, _, high = statistics.quantiles(differences, n=4)
    cost = statistics.median(differences)
    return {
        "what": "python -c pass with and without the start-up hook, wheel install",
        "pairs": pairs,
        "without_ms": round(statistics.median(times[False]), 3),
        "with_ms": round(statistics.median(times[True]), 3),
        "cost_ms": round(cost, 3),
        "cost_standard_error_ms": round(_error_of_median(differences), 3),
        "cost_quartiles_ms": [round(low, 3), round(high, 3)],
        "import_time_ms": round(statistics.median(imports), 3),
        "target_ms": TARGET_MS,
        "within_target": cost < TARGET_MS,
        "machine": _machine(),
    }


def _environment(folder: Path) -> tuple[Path, Path]:
    """A virtual environment with an unpacked and compiled wheel of this clone."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment_python(environment)
    wheels = folder / "wheels"
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(wheels), str(_sources(folder))], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    shown = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    packages = Path(shown.stdout.strip())
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # As pip does when it installs.
    subprocess.run([str(python), "-m", "compileall", "-q", str(packages)], check=True)
    return python, packages


def _sources(folder: Path) -> Path:
    """A copy of what is packaged, because building leaves files beside the sources."""
    clone = folder / "clone"
    for name in ("compressai_vq", "plugins"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, clone / name, ignore=skip)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    (clone / "README.md").touch()
    return clone


def _variables() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COMPRESSAI"))}


def _milliseconds(python: Path, folder: Path) -> float:
    command, variables = [str(python), *BARE], _variables()
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, env=variables, check=True)
    return 1000 * (time.perf_counter() - begin)


def _import_time(python: Path, folder: Path) -> float:
    """Milliseconds inside our modules, their own imports included."""
    command = [str(python), "-X", "importtime", *BARE]
    result = subprocess.run(
        command, cwd=folder, env=_variables(), check=True, capture_output=True, text=True
    )
    rows = [line.removeprefix("import time:").split("|") for line in result.stderr.splitlines()]
    ours = [row for row in rows if len(row) == 3 and row[2].strip() == "compressai_vq"]
    if len(ours) != 1:
        raise SystemExit("the hook did not run, or not once")
    return int(ours[0][1]) / 1000


def _error_of_median(values: list[float]) -> float:
    """Standard error of the median, by resampling with a fixed seed."""
    draw = random.Random(0)
    medians = [statistics.median(draw.choices(values, k=len(values))) for _ in range(200)]
    return statistics.stdev(medians)


def _machine() -> dict[str, object]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": None if load is None else round(load, 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the result as JSON, and print it; 1 if the hook is over its target."""
    parser = ArgumentParser(prog="python -m benchmarks.hook_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    results = measure(options.pairs)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2) + "\n"
    options.output.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0 if results["within_target"] else 1


if __name__ == "__main__":
    sys.exit(main())
