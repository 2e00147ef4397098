"""The doors of the house: who may import whom, what nobody may use, what never gets into the repository.

Imports are read from the syntax tree, those inside functions too; what a process loads is asked of a real one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("engine", "cache", "pages", "tests", "tools", "benchmarks", "app")
MEGABYTE = 1024 * 1024

SHUT_ROOMS = ("attribution", "evidence", "inspection", "training")  # what pages never ask anything of, but for the bins


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def sources(*places: str) -> list[Path]:
    """The Python files of folders, and files by name, relative to the root."""
    found = [file for place in places for file in [ROOT / place, *(ROOT / place).rglob("*.py")] if file.is_file()]
    assert found
    return found


def imported(path: Path, nested: bool = True) -> set[str]:
    """Dotted names that a file imports; `from a import b` gives a.b. Those for types alone don't count."""
    names: set[str] = set()
    for node in _statements(tree(path).body, nested):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _statements(body: list[ast.stmt], nested: bool) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef) and not nested:
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []), nested)
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body, nested)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def breaches(paths: list[Path], *packages: str) -> list[str]:
    """Which of the files import which of the packages."""
    return [f"{name_of(p)}: {n}" for p in paths for n in sorted(imported(p)) if any(within(n, k) for k in packages)]


def test_no_streamlit_behind_the_pages() -> None:
    assert breaches(sources("engine", "cache"), "streamlit", "plotly", "pages", "app") == []


def test_the_cache_knows_nothing_of_ours() -> None:
    assert breaches(sources("cache"), *(name for name in OURS if name != "cache")) == []


def test_only_runs_and_exchange_open_the_cache() -> None:
    paths = sources("engine", "pages", "app.py", "tools")
    others = [path for path in paths if not name_of(path).startswith(("engine/runs/", "engine/exchange/"))]
    assert breaches(others, "cache", "duckdb") == []


def test_figures_need_neither_torch_nor_streamlit() -> None:
    assert breaches(sources("pages/figures"), "torch", "transformers", "transformer_lens", "streamlit") == []
    assert breaches(sources("pages/figures"), "engine.runs.jobs", "cache", "pages.shared") == []


def test_pages_come_in_by_their_doors() -> None:
    assert breaches(sources("pages", "app.py"), "torch", "transformers", "transformer_lens", "safetensors") == []
    for path in sources("pages", "app.py"):
        for name in sorted(imported(path)):
            if within(name, "engine"):
                shut = name.split(".")[1] in SHUT_ROOMS and not name.startswith("engine.inspection.bins")
                assert not shut, f"{name_of(path)} imports {name}"


def test_shipped_code_needs_no_test() -> None:
    assert breaches(sources("engine", "cache", "pages", "app.py"), "tests", "tools", "benchmarks", "pytest") == []


def test_neither_engine_nor_pages_load_torch_when_imported() -> None:
    wanted = {
        "engine",
        "engine.runs.lifecycle",
        "engine.runs.read",
        "engine.runs.jobs",
        "engine.__main__",
        "engine.circuits.comparison",
        "engine.exchange.export",
        "cache",
    }
    for path in sources("pages", "app.py"):
        top = {name for name in imported(path, nested=False) if name.split(".")[0] in OURS}
        wanted |= {name if module_exists(name) else name.rpartition(".")[0] for name in top}
        if path.parent.name in ("shared", "panels", "figures") and path.stem != "__init__":
            wanted.add(name_of(path).removesuffix(".py").replace("/", "."))
    code = f"import importlib, sys\nfor name in {sorted(wanted)!r}: importlib.import_module(name)\n"
    code += "print(*sorted({'torch', 'transformers', 'transformer_lens'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, ""), said.stderr


def module_exists(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("path", sources(*(p for p in OURS if p != "app"), "app.py"), ids=name_of)
def test_nobody_uses_what_runs_foreign_code(path: Path) -> None:
    """No pickle reader, no code from the hub, no eval, no shell, and none of Streamlit's dropped names."""
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    assert not {name for name in imported(path) if name.split(".")[0] in banned}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "eval", "exec", "os.system", "os.popen"), called
            refused = {"trust_remote_code", "allow_pickle", "use_container_width", "shell"}
            assert not refused & {keyword.arg for keyword in node.keywords}, called
        assert not (isinstance(node, ast.Attribute) and ast.unparse(node).endswith("components.v1"))


def test_every_pin_is_exact_and_every_import_is_pinned() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [re.fullmatch(r"([a-z0-9-]+)==([0-9.]+)", line) for line in lines if line and not line.startswith("#")]
    assert None not in pins
    pinned = {pin[1].replace("-", "_") for pin in pins if pin}
    known = {*sys.stdlib_module_names, *OURS, *pinned, "pynvml"}  # the module of nvidia-ml-py
    for path in sources("engine", "cache", "pages", "app.py"):
        assert {name.split(".")[0] for name in imported(path)} <= known, name_of(path)


def test_nothing_heavy_is_in_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    sizes = {name: (ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file()}
    assert {name: size for name, size in sizes.items() if size > 20 * MEGABYTE} == {}
    assert not [name for name in sizes if name.endswith((".pt", ".pkl", ".bin", ".duckdb", ".duckdb.wal"))]
    for model in ("arm", "mdm"):
        assert sum(s for n, s in sizes.items() if n.startswith(f"assets/models/embedded/{model}/")) <= 15 * MEGABYTE
    assert sum(s for n, s in sizes.items() if n.startswith("assets/models/embedded/steps/")) <= 30 * MEGABYTE


def test_the_readme_names_every_module() -> None:
    files = (ROOT / "README.md").read_text().partition("## Files")[2]
    named = {line.split()[0] for line in files.splitlines() if re.match(r"\S+\.(py|md) ", line)}
    there = {
        name_of(p) for p in sources("app.py", "pages", "engine", "cache", "tools", "benchmarks") if p.stem != "__init__"
    }
    assert named - {"engine/METHOD.md"} == there


def test_what_the_readme_points_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert "assets/screenshot.png" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []


OVERLAP_IS_NO_SHARE = re.compile(
    r"ceiling|shares? kept|kept share|agree more|as high as an overlap|the best to expect|has no circuit for it|"
    r"keeps? [^.\n]{0,40}of (the|its) circuit|circuit [^.\n]{0,20}(survived|the MDM keeps)|"
    r"with itself on other prompts",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "path", [*sources("pages", "engine", "app.py"), ROOT / "README.md", ROOT / "engine" / "METHOD.md"], ids=name_of
)
def test_no_text_calls_an_overlap_a_share_or_a_split_half_a_bound(path: Path) -> None:
    """Overlap is a Jaccard index, and halves of the prompts bound nothing (METHOD, "Circuits and comparison")."""
    text = re.sub(r'"\s*\n\s*f?"|\s+', " ", path.read_text())  # texts as they are read, over line ends
    assert not OVERLAP_IS_NO_SHARE.search(text)
