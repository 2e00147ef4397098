"""The import rules of the design as one pure function: a path and its source in, the imports that break a rule out.

Inside the engine, rooms are ordered by floors; a module imports from lower floors and from its own room. `files` and
`schema`, `errors` and `settings` are leaves: every module may import them, and they import only each other.
Benchmarks, tools and examples are programs on top of all rooms: they may import any of them, but nothing of tests.
docs/architecture.md shows the same rules as a picture.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

LEAVES = ("errors", "settings", "files", "schema")
FLOORS = {
    name: floor
    for floor, names in enumerate(
        [
            ("circuits",),
            ("models",),
            ("tasks",),
            ("attribution",),
            ("evidence", "inspection"),
            ("runs",),
            ("sweeps",),
            ("exchange",),
            ("doctor", "terminal"),
            ("flag_values",),
            ("flags", "commands"),
            ("evidence_commands", "sweep_commands"),
            ("__main__", "__init__"),
        ]
    )
    for name in names
}
TRAINING_READS = ("circuits", "models", "tasks")
OF_PAGES = ("shared", "panels", "figures", "components")  # the folders of pages; all other modules there are pages
OFF_LIMITS = ("attribution", "evidence", "inspection", "training")  # for pages, but for the bins of histograms
HEAVY = ("torch", "transformers", "transformer_lens", "safetensors")
NUMPY_ONLY = ("numpy", "engine")


@dataclass(frozen=True)
class Import:
    """One imported name: `from a import b` gives a.b."""

    line: int
    name: str
    types_only: bool  # under `if TYPE_CHECKING`
    eager: bool  # when the module is imported, not inside a function


@dataclass(frozen=True)
class Rule:
    sentence: str
    applies: Callable[[str], bool]  # to a path
    broken: Callable[[str, Import], bool]  # by the import, in the file at the path


def imports(source: str) -> list[Import]:
    return list(_imports(ast.parse(source).body, types_only=False, eager=True))


def _imports(body: list[ast.stmt], types_only: bool, eager: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, types_only, eager)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = "." * node.level + (node.module or "")
                yield Import(node.lineno, f"{module}.{alias.name}", types_only, eager)
        for_types = types_only or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        at_import = eager and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        inner = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
        inner += [part.body for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]]
        for statements in inner:
            yield from _imports(statements, for_types, at_import)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _in(*folders: str) -> Callable[[str], bool]:
    """Whether a path is one of these files or in one of these folders."""
    return lambda path: any(path == folder or path.startswith(folder + "/") for folder in folders)


def _room(path_or_name: str) -> str:
    """engine/runs/spec.py, engine.runs.spec -> runs; engine/doctor.py -> doctor."""
    parts = path_or_name.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _goes_up(path: str, imported: Import) -> bool:
    here, there = _room(path), _room(imported.name)
    if not within(imported.name, "engine") or there in (here, *LEAVES):
        return False
    if here == "training":
        return there not in TRAINING_READS
    if there == "training":
        return here in LEAVES  # else a rule of its own
    if there not in FLOORS:  # a name of engine/__init__.py, the public API: for users, not for the engine
        return here != "__init__"
    return FLOORS.get(here, -1) <= FLOORS[there]


def _of_pages(*kinds: str) -> Callable[[str], bool]:
    """Whether a path or a dotted name belongs to these folders of pages; "page": to none of them."""

    def belongs(path_or_name: str) -> bool:
        parts = path_or_name.removesuffix(".py").replace("/", ".").split(".")
        if parts[0] != "pages" or len(parts) < 2:
            return False
        return (parts[1] if parts[1] in OF_PAGES else "page") in kinds

    return belongs


def _is_init(path: str) -> bool:
    return PurePosixPath(path).name == "__init__.py"


def _forbids(*packages: str) -> Callable[[str, Import], bool]:
    return lambda _path, imported: within(imported.name, *packages)


def _forbids_at_run_time(*packages: str) -> Callable[[str, Import], bool]:
    return lambda _path, imported: within(imported.name, *packages) and not imported.types_only


APP = _in("pages", "app.py")
SHIPPED = _in("engine", "cache", "pages", "app.py")

RULES = (
    Rule("imports are absolute", lambda _path: True, lambda _path, imported: imported.name.startswith(".")),
    Rule("rooms of the engine import only what is below them", _in("engine"), _goes_up),
    Rule(
        "only commands imports training",
        lambda path: SHIPPED(path) and path != "engine/commands.py" and not path.startswith("engine/training/"),
        _forbids("engine.training"),
    ),
    Rule(
        "circuits are arrays: numpy and the standard library only",
        _in("engine/circuits"),
        lambda _path, imported: imported.name.split(".")[0] not in (*NUMPY_ONLY, *sys.stdlib_module_names),
    ),
    Rule(
        "only runs, sweeps and exchange import cache",
        lambda path: SHIPPED(path) and not _in("cache", "engine/runs", "engine/sweeps", "engine/exchange")(path),
        _forbids("cache"),
    ),
    Rule("only cache imports duckdb", lambda path: SHIPPED(path) and not _in("cache")(path), _forbids("duckdb")),
    Rule(
        "cache imports nothing of ours",
        _in("cache"),
        _forbids("engine", "pages", "app", "tests", "tools", "benchmarks", "examples"),
    ),
    Rule(
        "engine and cache know no pages",
        _in("engine", "cache"),
        _forbids("streamlit", "plotly", "pages", "app"),
    ),
    Rule(
        "pages import neither attribution, evidence nor inspection (but bins), nor training",
        APP,
        lambda _path, imported: (
            within(imported.name, *(f"engine.{room}" for room in OFF_LIMITS))
            and not within(imported.name, "engine.inspection.bins")
        ),
    ),
    Rule("pages need no torch", APP, _forbids_at_run_time(*HEAVY)),
    Rule(
        "pages are imported by nobody but the app",
        _of_pages("page", *OF_PAGES),
        lambda _path, imported: _of_pages("page")(imported.name),
    ),
    Rule(
        "shared imports no panels",
        _of_pages("shared"),
        lambda _path, imported: _of_pages("panels")(imported.name),
    ),
    Rule(
        "figures and components import neither panels nor shared",
        _of_pages("figures", "components"),
        lambda _path, imported: _of_pages("panels", "shared")(imported.name),
    ),
    Rule("figures import no streamlit", _of_pages("figures"), _forbids("streamlit")),
    Rule("figures ask no queue", _of_pages("figures"), _forbids("engine.runs.jobs")),
    Rule(
        "no __init__ imports anything of ours or heavy eagerly",
        lambda path: _is_init(path) and SHIPPED(path),
        lambda _path, imported: (
            imported.eager
            and not imported.types_only
            and imported.name.split(".")[0] not in (*sys.stdlib_module_names, "__future__")
        ),
    ),
    Rule("shipped code needs no test", SHIPPED, _forbids("tests", "tools", "benchmarks", "examples", "pytest")),
    Rule(
        "benchmarks, tools and examples import nothing of tests",
        _in("benchmarks", "tools", "examples"),
        _forbids("tests", "pytest"),
    ),
)


def offences(path: str, source: str) -> list[str]:
    """The imports of a file (its path from the root, with slashes) that break a rule: file, line, import, rule."""
    rules = [rule for rule in RULES if rule.applies(path)]
    return [
        f"{path}:{imported.line} imports {imported.name}: {rule.sentence}"
        for imported in imports(source)
        for rule in rules
        if rule.broken(path, imported)
    ]
