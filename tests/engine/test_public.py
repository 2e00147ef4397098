"""The names that scripts use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.runs import compare, lifecycle, read, spec

ROOT = Path(__file__).resolve().parents[2]


def test_names_are_those_of_their_modules() -> None:
    assert (engine.run, engine.find) == (lifecycle.run, lifecycle.find)
    assert (engine.read, engine.compare, engine.RunSpec) == (read.table, compare.compare, spec.RunSpec)
    assert set(engine.__all__) <= set(dir(engine))
    assert sorted(engine._HOMES) == sorted(engine.__all__)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'engine' has no attribute 'nothing'"):
        engine.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from engine import nothing  # noqa: F401


def test_importing_the_package_imports_nothing_and_using_it_no_torch() -> None:
    code = """
import sys
import engine
assert not {name for name in sys.modules if name.startswith("engine.")}
engine.run, engine.find, engine.compare, engine.read, engine.RunSpec()
assert not {"torch", "transformers", "streamlit", "plotly"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
