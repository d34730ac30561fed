"""The start-up hook, in Pythons of its own with stand-ins for CompressAI and for our zoo.

The interpreter runs without its site-packages (``-S``), so that the hook of an installed copy
plays no part; the stand-ins' folder is then added the way ``site`` adds site-packages, which
executes the ``.pth`` file in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HOST_ZOO = """
from .image import architectures
image_models = {"host-model": None}
models = dict(image_models)
"""

OUR_ZOO = """
from .codec import Codec
calls = []
def register():
    import compressai.zoo
    calls.append(compressai.zoo)
    compressai.zoo.image_models["ours"] = Codec
    compressai.zoo.image.architectures["ours"] = Codec
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages folder with the hook, a small compressai and a small zoo of ours."""
    folder = tmp_path / "site-packages"
    ours = folder / "compressai_vq"
    shutil.copytree(ROOT / "plugins", ours / "plugins")
    shutil.copy(ROOT / "compressai_vq" / "__init__.py", ours)
    shutil.copy(ROOT / "plugins" / "autoload" / "compressai_vq.pth", folder)
    (ours / "zoo.py").write_text(OUR_ZOO)
    (ours / "codec.py").write_text(
        "import compressai.models\nclass Codec: pass\nVQGANCodec = Codec"
    )
    (ours / "errors.py").write_text("class CodecError(ValueError): pass")
    host = folder / "compressai"
    (host / "zoo").mkdir(parents=True)
    (host / "__init__.py").write_text("from compressai import models, zoo")
    (host / "models.py").write_text("")
    (host / "zoo" / "__init__.py").write_text(HOST_ZOO)
    (host / "zoo" / "image.py").write_text("architectures = {}")
    return folder


def python(
    site: Path, code: str, *, options: tuple[str, ...] = (), times: int = 1, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that has processed the folder as site-packages so many times."""
    start = f"import site, sys\nfor _ in range({times}): site.addsitedir({str(site)!r})\n"
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COMPRESSAI"))}
    return subprocess.run(
        [sys.executable, "-S", *options, "-c", start + code],
        env=variables | environment,
        cwd=site.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )


def output(site: Path, code: str, **options: object) -> str:
    """What the code prints, having printed no warning and no traceback."""
    result = python(site, code, **options)  # type: ignore[arg-type]
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


REPORT = """
import compressai_vq.zoo
print(*compressai.zoo.image_models, *compressai.zoo.image.architectures)
print(len(compressai_vq.zoo.calls))
"""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "statement",
    [
        "import compressai.zoo",
        "import compressai",
        "from compressai.zoo.image import architectures; import compressai",
        "import importlib; compressai = importlib.import_module('compressai')",
    ],
)
def test_registers_once_when_the_zoo_is_imported(site: Path, statement: str, times: int) -> None:
    printed = output(site, statement + REPORT, times=times)
    assert printed.splitlines() == ["host-model ours ours", "1"]


@pytest.mark.parametrize(
    "statement",
    [
        "import compressai_vq.zoo",
        "import compressai_vq.codec",
        "from compressai_vq import VQGANCodec",
        "from compressai_vq import register",
    ],
)
def test_registers_when_our_modules_import_compressai_first(site: Path, statement: str) -> None:
    printed = output(site, statement + "\nimport compressai.zoo" + REPORT)
    assert printed.splitlines() == ["host-model ours ours", "1"]


def test_registers_although_our_module_fails_after_importing_compressai(site: Path) -> None:
    (site / "compressai_vq" / "extra.py").write_text("import compressai, no_such_module")
    code = "try:\n    import compressai_vq.extra\nexcept ModuleNotFoundError: print('missing')"
    assert output(site, code + "\nimport compressai" + REPORT).splitlines() == [
        "missing",
        "host-model ours ours",
        "1",
    ]


def test_registers_at_once_when_the_zoo_is_there_already(site: Path) -> None:
    (site / "compressai_vq.pth").unlink()
    code = "import compressai\nprint(*compressai.zoo.image_models)\nimport compressai_vq" + REPORT
    assert output(site, code).splitlines() == ["host-model", "host-model ours ours", "1"]


def test_registers_after_an_import_of_the_zoo_that_had_begun(site: Path) -> None:
    (site / "compressai_vq.pth").unlink()
    zoo = site / "compressai" / "zoo" / "__init__.py"
    zoo.write_text("import compressai_vq\n" + HOST_ZOO)
    assert output(site, "import compressai" + REPORT).splitlines() == ["host-model ours ours", "1"]


def test_registers_again_when_the_zoo_is_reloaded(site: Path) -> None:
    code = "import importlib, compressai\nimportlib.reload(compressai.zoo)" + REPORT
    assert output(site, code).splitlines() == ["host-model ours ours", "2"]


def test_registers_when_an_import_of_the_zoo_succeeds_at_the_second_try(site: Path) -> None:
    zoo = site / "compressai" / "zoo" / "__init__.py"
    zoo.write_text("import sys\nif not hasattr(sys, 'again'): sys.again = 1 / 0\n" + HOST_ZOO)
    code = (
        "try:\n    import compressai\nexcept ZeroDivisionError: sys.again = True\n"
        "import compressai" + REPORT
    )
    assert output(site, code).splitlines() == ["host-model ours ours", "1"]


def test_switch_turns_it_off(site: Path) -> None:
    code = "import compressai; print(*compressai.zoo.models, 'compressai_vq.zoo' in sys.modules)"
    assert output(site, code, COMPRESSAI_VQ_AUTOLOAD="0") == "host-model False"
    # Registering by hand is not the hook's business.
    code = "import compressai_vq; compressai_vq.register(); import compressai" + REPORT
    assert output(site, code, COMPRESSAI_VQ_AUTOLOAD="0").startswith("host-model ours ours")


@pytest.mark.parametrize(
    ("zoo", "reason"),
    [
        ("def register(): raise RuntimeError('no weights')", "RuntimeError: no weights"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def register(:", "SyntaxError"),
        (None, "ModuleNotFoundError: No module named 'compressai_vq.zoo'"),
    ],
)
def test_a_failure_is_one_warning(site: Path, zoo: str | None, reason: str) -> None:
    if zoo is None:
        (site / "compressai_vq" / "zoo.py").unlink()
    else:
        (site / "compressai_vq" / "zoo.py").write_text(zoo)
    result = python(site, "import compressai; print(*compressai.zoo.models)")
    assert (result.returncode, result.stdout.strip()) == (0, "host-model")
    assert "Traceback" not in result.stderr
    assert result.stderr.count("RuntimeWarning: compressai-vq could not add") == 1
    assert reason in result.stderr


@pytest.mark.parametrize("remains", ["nothing", "package", "broken package"])
def test_a_start_file_without_its_target_is_no_error(site: Path, remains: str) -> None:
    if remains == "nothing":
        shutil.rmtree(site / "compressai_vq")
    elif remains == "package":
        shutil.rmtree(site / "compressai_vq" / "plugins")
    else:
        (site / "compressai_vq" / "plugins" / "autoload" / "__init__.py").write_text("1 / 0")
    result = python(site, "import compressai; print(*compressai.zoo.models)")
    assert (result.returncode, result.stdout.strip()) == (0, "host-model")
    assert "Traceback" not in result.stderr
    assert ("ZeroDivisionError" in result.stderr) == (remains == "broken package")


def test_looking_for_the_zoo_neither_imports_nor_uses_up_the_hook(site: Path) -> None:
    (site / "compressai" / "__init__.py").write_text("")
    code = """
import importlib.util, inspect, pickle
spec = importlib.util.find_spec("compressai.zoo")
print(sorted(name for name in sys.modules if "zoo" in name))
print("host-model" in spec.loader.get_source("compressai.zoo"), spec.loader.is_package(spec.name))
print(type(pickle.loads(pickle.dumps(spec)).loader).__name__)
import compressai.zoo
print(type(compressai.zoo.__loader__).__name__, type(compressai.zoo.__spec__.loader).__name__)
print("host-model" in inspect.getsource(compressai.zoo))
"""
    assert output(site, code + REPORT).splitlines() == [
        "[]",
        "True True",
        "SourceFileLoader",
        "SourceFileLoader SourceFileLoader",
        "True",
        "host-model ours ours",
        "1",
    ]


def test_other_hooks_on_the_same_module_work_too(site: Path) -> None:
    code = """
class Other:
    # Delegates by asking everyone again, as import hooks in use do.
    busy = False
    def find_spec(self, name, path=None, target=None):
        if name != "compressai.zoo" or self.busy:
            return None
        import importlib.util
        self.busy = True
        spec = importlib.util.find_spec(name)
        self.busy = False
        print("seen")
        return spec
PLACE
import compressai
"""
    for place in ("sys.meta_path.insert(0, Other())", "sys.meta_path.insert(1, Other())"):
        printed = output(site, code.replace("PLACE", place) + REPORT)
        assert printed.splitlines() == ["seen", "host-model ours ours", "1"]


def test_lazy_imports_of_the_zoo_register_when_it_is_used(site: Path) -> None:
    (site / "compressai" / "__init__.py").write_text("")
    code = """
import importlib.util
spec = importlib.util.find_spec("compressai.zoo")
spec.loader = importlib.util.LazyLoader(spec.loader)
zoo = importlib.util.module_from_spec(spec)
sys.modules["compressai.zoo"] = zoo
spec.loader.exec_module(zoo)
print("compressai_vq.zoo" in sys.modules)
print(*zoo.models, *zoo.image_models)
"""
    assert output(site, code).splitlines() == ["False", "host-model host-model ours"]


def test_threads_that_import_at_the_same_time(site: Path) -> None:
    code = """
import importlib, threading
names = ["compressai", "compressai_vq.codec", "compressai_vq.zoo", "compressai.zoo"] * 4
threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
import compressai
"""
    for _ in range(5):
        printed = output(site, code + REPORT)
        assert printed.splitlines() == ["host-model ours ours", "1"]


def test_unrelated_programs_see_nothing_of_it(site: Path) -> None:
    code = (
        "print(*sorted(n for n in sys.modules if n.startswith(('compressai', 'torch', 'numpy'))))"
    )
    assert output(site, code) == ""
    code = "before = set(sys.modules)\nimport compressai_vq.plugins.autoload as a; a.install()"
    assert output(site, code + "\nprint(*sorted(set(sys.modules) - before))").split() == [
        "compressai_vq",
        "compressai_vq.plugins",
        "compressai_vq.plugins.autoload",
    ]


def test_the_hook_imports_nothing_at_start(site: Path) -> None:
    bare_site = site.parent / "bare"
    bare_site.mkdir()
    (bare_site / "a.pth").write_text("import sys\n")  # reading one takes modules, too
    bare = output(bare_site, "print(*sys.modules)").split()
    hooked = output(site, "print(*sys.modules)").split()
    assert {name for name in hooked if not name.startswith("compressai_vq")} <= set(bare)


def test_lazy_names_of_the_package(site: Path) -> None:
    code = """
import compressai_vq
names = {"CodecError", "VQGANCodec", "register"}
print(compressai_vq.__version__, names <= set(dir(compressai_vq)))
print(compressai_vq.CodecError.__name__, "compressai" in sys.modules)
try:
    compressai_vq.nothing
except AttributeError as error:
    print(error)
"""
    assert output(site, code).splitlines() == [
        "0.1.0 True",
        "CodecError False",
        "module 'compressai_vq' has no attribute 'nothing'",
    ]


def test_works_in_a_clone_that_is_not_installed(site: Path) -> None:
    clone = site.parent / "clone"
    clone.mkdir()
    ours = site / "compressai_vq"
    shutil.move(ours / "plugins", clone / "plugins")
    shutil.move(ours, clone / "compressai_vq")
    (site / "compressai_vq.pth").unlink()
    code = f"sys.path.insert(0, {str(clone)!r})\nimport compressai_vq, compressai"
    assert output(site, code + REPORT).splitlines() == ["host-model ours ours", "1"]


def test_a_second_look_at_the_folder_imports_nothing(site: Path) -> None:
    """As in environments whose lib64 is a link to lib: both are looked through at each start."""
    shown = python(site, "", options=("-X", "importtime"), times=2).stderr
    assert len([line for line in shown.splitlines() if line.endswith("| compressai_vq")]) == 1


@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_clone_that_comes_first_on_the_path_is_the_one(site: Path, switch: str) -> None:
    """With the package installed, too: what one works on is what one means."""
    clone = site.parent / "clone"
    shutil.copytree(site / "compressai_vq", clone / "compressai_vq")
    package = clone / "compressai_vq" / "__init__.py"
    package.write_text(package.read_text().replace("0.1.0", "9.9.9"))
    code = f"sys.path.insert(0, {str(clone)!r})\nimport compressai_vq, compressai.zoo\n"
    code += "print(compressai_vq.__version__, compressai_vq.plugins.__file__)\n"
    code += "print(len([f for f in sys.meta_path if 'compressai_vq' in type(f).__module__]))"
    version, plugins, finders = output(site, code, COMPRESSAI_VQ_AUTOLOAD=switch).split()
    assert (version, Path(plugins).is_relative_to(clone), finders) == ("9.9.9", True, switch)
    if switch == "1":
        assert output(site, code + REPORT).splitlines()[2:] == ["host-model ours ours", "1"]


def test_another_projects_plugins_folder_is_left_alone(site: Path) -> None:
    shutil.rmtree(site / "compressai_vq" / "plugins")
    other = site / "plugins" / "autoload"
    other.mkdir(parents=True)
    (site / "plugins" / "__init__.py").write_text("print('somebody else')")
    (other / "__init__.py").write_text("def install(): print('somebody else')")
    assert output(site, "import compressai_vq; print('fine')") == "fine"


def test_start_file_names_the_same_hook() -> None:
    lines = (ROOT / "plugins" / "autoload" / "compressai_vq.start").read_text().splitlines()
    assert lines == ["compressai_vq.plugins.autoload:start"]
    pth = (ROOT / "plugins" / "autoload" / "compressai_vq.pth").read_text(encoding="ascii")
    assert pth.count("\n") == 1 and pth.startswith("import ")
