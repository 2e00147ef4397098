"""What the repository may hold: no foreign code, exact pins, small files, short modules, a test for every module."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.import_rules import imports
from tests.sources import OURS, ROOT, existing, name_of, sources, tree

MEGABYTE = 1024 * 1024
LONGEST_MODULE = 300  # lines, of the engine
LONGEST_FUNCTION = 60  # lines, outside training and benchmarks
MOST_JAVASCRIPT = 1850  # lines, of all files together
OUTSIDE = re.compile(r"""(?:https?|wss?):(?!//www\.w3\.org/)|["'`]//|\bcdn\b|unpkg|jsdelivr""", re.IGNORECASE)

ALL = sources(*existing(*(name for name in OURS if name != "app"), "app.py"))
ENGINE = sources("engine")
BROWSER = [path for end in ("js", "css", "html") for path in sorted((ROOT / "pages").rglob(f"*.{end}"))]


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_nobody_uses_what_runs_foreign_code(path: Path) -> None:
    """No pickle reader, no code from the hub, no eval, no shell, and none of Streamlit's dropped names."""
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    assert not {each.name for each in imports(path.read_text()) if each.name.split(".")[0] in banned}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "eval", "exec", "os.system", "os.popen"), called
            refused = {"trust_remote_code", "allow_pickle", "use_container_width", "shell"}
            assert not refused & {keyword.arg for keyword in node.keywords}, called
        assert not (isinstance(node, ast.Attribute) and ast.unparse(node).endswith("components.v1"))


def test_every_pin_is_exact_and_every_import_is_pinned() -> None:
    files = ("requirements.txt", "requirements-smollm2.txt")  # the second: imported where a GGUF file is read
    pinned = {name.replace("-", "_") for file in files for name in pins(file)}
    known = {*sys.stdlib_module_names, *OURS, *pinned, *(IMPORTED_AS[name] for name in pinned & IMPORTED_AS.keys())}
    for path in sources("engine", "cache", "pages", "app.py"):
        used = {each.name.split(".")[0] for each in imports(path.read_text()) if not each.types_only}
        extra = pins(EXTRA[name_of(path)]).keys() if name_of(path) in EXTRA else set()
        assert used <= known | extra, name_of(path)


EXTRA = {"engine/sweeps/ray_cluster.py": "requirements-cluster.txt"}  # module -> the only requirements that it adds
IMPORTED_AS = {"nvidia_ml_py": "pynvml"}  # the distribution's name -> its module's, where they differ


def pins(file: str) -> dict[str, str]:
    """Name -> version of a requirements file whose every line is an exact pin."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith(("#", "-r "))]
    matches = [re.fullmatch(r"([a-z0-9-]+)==([0-9.]+)(?: *[;#].*)?", line) for line in lines]
    assert None not in matches, [line for line, match in zip(lines, matches, strict=True) if match is None]
    return {match[1]: match[2] for match in matches if match}


def test_the_locked_file_holds_every_pin_with_hashes() -> None:
    """requirements.lock is made by tools/lock.py; a pin that was changed without it is named here."""
    text = (ROOT / "requirements.lock").read_text()
    hashes = r"((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)*)"
    entries = re.findall(rf"^([a-z0-9-]+)==(\S+)[^\n]*\n{hashes}", text, re.MULTILINE)
    locked = {name: version for name, version, _ in entries}
    for file in ("requirements.txt", "requirements-cluster.txt", "requirements-dev.txt"):
        for name, version in pins(file).items():
            assert locked.get(name) == version, f"{name}=={version} of {file}: run tools/lock.py"
    assert [name for name, _, rest in entries if not rest] == []
    assert "://" not in text, "the lock names no registry"


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
    for model in ("arm", "mdm"):
        assert 0 < sum(s for n, s in sizes.items() if n.startswith(f"assets/models/smollm2/{model}/")) <= 12 * MEGABYTE
    assert sum(s for n, s in sizes.items() if n.startswith("assets/models/smollm2/")) <= 40 * MEGABYTE


def test_no_engine_module_is_long() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in ENGINE}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_function_is_long() -> None:
    """The training script reads as one numbered sequence, and so do benchmarks."""
    paths = [p for p in sources("engine", "cache", "pages", "tools", "app.py") if "training" not in p.parts]
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}: {_length(node)} lines"
        for path in paths
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _length(node) > LONGEST_FUNCTION
    ]
    assert not long, "\n" + "\n".join(long)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the def to the end of the body."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_linter_from_npm_is_pinned() -> None:
    asked = json.loads((ROOT / "package.json").read_text())
    assert "dependencies" not in asked, "the app needs nothing from npm"
    assert [v for v in asked["devDependencies"].values() if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", v)] == []


def test_the_javascript_is_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in BROWSER if path.suffix == ".js"}
    assert sum(lengths.values()) <= MOST_JAVASCRIPT, lengths


def test_what_the_browser_gets_names_no_outside_address() -> None:
    """XML namespaces look like addresses, but nothing is asked of them."""
    outside = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in BROWSER
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if OUTSIDE.search(line)
    ]
    assert not outside, "\n" + "\n".join(outside)


@pytest.mark.parametrize("text", ["https://a.org/x.js", '"//a.org/x.js"', "from cdn", "http://www.w3.org.a.org/"])
def test_an_outside_address_is_recognised(text: str) -> None:
    assert OUTSIDE.search(text)
    assert not OUTSIDE.search('const NAMESPACE = "http://www.w3.org/2000/svg"; // what it is')


def test_every_engine_module_has_a_test_file_of_its_name() -> None:
    missing = []
    for path in ENGINE:
        if path.stem == "__init__":
            continue
        relative = path.relative_to(ROOT / "engine")
        test = ROOT / "tests" / "engine" / relative.with_name(f"test_{path.stem.strip('_')}.py")
        if not (test.is_file() and re.search(r"^(async )?def test_", test.read_text(), re.MULTILINE)):
            missing.append(f"{name_of(path)} wants {name_of(test)}")
    assert not missing, "\n" + "\n".join(missing)
