"""Imports go one way: every rule of tests/import_rules.py holds, and each is broken on purpose to see it named.

What a process really loads is asked of a real one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.import_rules import RULES, imports, offences
from tests.sources import OURS, ROOT, existing, name_of, sources

ALL = sources(*existing(*(name for name in OURS if name != "app"), "app.py"))

BROKEN = [
    ("imports are absolute", "engine/runs/spec.py", "from . import records"),
    ("rooms of the engine import only what is below them", "engine/circuits/graph.py", "from engine.runs import spec"),
    (
        "rooms of the engine import only what is below them",
        "engine/models/pair.py",
        "from engine.tasks.base import Task",
    ),
    ("rooms of the engine import only what is below them", "engine/evidence/audit.py", "import engine.inspection.lens"),
    ("rooms of the engine import only what is below them", "engine/inspection/lens.py", "import engine.evidence.audit"),
    ("rooms of the engine import only what is below them", "engine/files/reading.py", "from engine.models import hub"),
    ("rooms of the engine import only what is below them", "engine/errors.py", "from engine.circuits import graph"),
    ("rooms of the engine import only what is below them", "engine/training/train.py", "import engine.runs.compute"),
    ("rooms of the engine import only what is below them", "engine/runs/compute.py", "from engine import find"),
    ("only commands imports training", "engine/runs/compute.py", "from engine.training.train import train"),
    ("circuits are arrays: numpy and the standard library only", "engine/circuits/edges.py", "import pyarrow as pa"),
    ("only runs, sweeps and exchange import cache", "engine/models/pairs.py", "from cache.keys import key_of"),
    ("only runs, sweeps and exchange import cache", "pages/runs.py", "def page():\n    import cache.store"),
    ("only cache imports duckdb", "engine/exchange/bundle.py", "import duckdb"),
    ("cache imports nothing of ours", "cache/store.py", "from engine.errors import UserError"),
    ("engine and cache know no pages", "engine/runs/jobs.py", "import streamlit as st"),
    ("engine and cache know no pages", "cache/store.py", "import plotly.graph_objects as go"),
    (
        "pages import neither attribution, evidence nor inspection (but bins), nor training",
        "pages/panels/inspector.py",
        "from engine.inspection.lens import TOP",
    ),
    ("pages need no torch", "pages/circuits.py", "def page():\n    if True:\n        import torch.nn"),
    ("pages are imported by nobody but the app", "pages/panels/inspector.py", "from pages.circuits import page"),
    ("shared imports no panels", "pages/shared/state.py", "from pages.panels import inspector"),
    (
        "figures and components import neither panels nor shared",
        "pages/figures/heat.py",
        "from pages.shared import state",
    ),
    ("figures import no streamlit", "pages/figures/heat.py", "try:\n    pass\nexcept OSError:\n    import streamlit"),
    ("figures ask no queue", "pages/figures/heat.py", "from engine.runs.jobs import JobQueue"),
    (
        "no __init__ imports anything of ours or heavy eagerly",
        "engine/__init__.py",
        "from engine.runs.spec import RunSpec",
    ),
    ("shipped code needs no test", "engine/runs/compute.py", "from tests.fakes import fake_compute"),
    ("benchmarks, tools and examples import nothing of tests", "benchmarks/large.py", "from tests import fakes"),
]

ALLOWED = [
    ("engine/exchange/bundle.py", "from cache import bundle"),
    ("engine/commands.py", "from engine.training.train import train"),
    ("engine/training/train.py", "from engine.models.model import load"),
    ("engine/circuits/graph.py", "import numpy as np\nfrom engine.schema.tables import TABLES"),
    (
        "engine/__init__.py",
        "from typing import Any\ndef __getattr__(name: str) -> Any:\n    from engine.runs import spec",
    ),
    ("pages/panels/inspector.py", "from engine.inspection.bins import EDGES\nfrom pages.shared import state"),
    ("pages/circuits.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
    ("app.py", "import streamlit as st\nfrom pages.shared import hosts"),
]


def test_every_import_keeps_the_rules() -> None:
    broken = [text for path in ALL for text in offences(name_of(path), path.read_text(encoding="utf-8"))]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize(("rule", "path", "source"), BROKEN)
def test_an_import_that_breaks_a_rule_is_named(rule: str, path: str, source: str) -> None:
    lines = source.splitlines()
    expected = f"{path}:{len(lines)} imports {imports(source)[-1].name}: {rule}"
    assert expected in offences(path, source)


def test_every_rule_is_broken_by_a_case() -> None:
    assert {rule.sentence for rule in RULES} == {rule for rule, _, _ in BROKEN}


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_what_the_design_allows_is_allowed(path: str, source: str) -> None:
    assert offences(path, source) == []


def test_modules_named_in_strings_are_there() -> None:
    """A worker process is told what to compute as "module:function"; renaming a module must not leave such a text."""
    named = [
        (name_of(path), module, function)
        for path in sources(*existing("engine", "pages", "app.py", "tools", "benchmarks", "examples"))
        for module, function in re.findall(r"[\"']((?:engine|cache|pages)(?:\.\w+)+):(\w+)[\"']", path.read_text())
    ]
    assert named
    for where, module, function in named:
        file = ROOT / (module.replace(".", "/") + ".py")
        assert file.is_file(), f"{where} names {module}"
        assert re.search(rf"^(def|class) {function}\b", file.read_text(), re.MULTILINE), (
            f"{where} names {module}:{function}"
        )


def test_neither_engine_nor_pages_load_torch_when_imported() -> None:
    modules = {
        "engine",
        "engine.runs.lifecycle",
        "engine.runs.read",
        "engine.runs.jobs",
        "engine.__main__",
        "engine.circuits.comparison",
        "engine.exchange.export",
    }
    modules |= {"cache", *(_module(path) for path in sources("cache", "pages/shared", "pages/panels", "pages/figures"))}
    for path in sources("pages", "app.py"):
        eager = {
            i.name for i in imports(path.read_text()) if i.eager and not i.types_only and i.name.split(".")[0] in OURS
        }
        modules |= {name if find_spec_of(name) else name.rpartition(".")[0] for name in eager}
    code = f"import importlib, sys\nfor name in {sorted(modules)!r}: importlib.import_module(name)\n"
    code += "print(*sorted({'torch', 'transformers', 'transformer_lens'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout.strip()) == (0, ""), process.stderr


def find_spec_of(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, so that the last part is a name within
        return False


def _module(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
