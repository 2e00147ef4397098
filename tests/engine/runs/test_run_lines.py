"""A run in a line: what it is, whether its model can do the task, where it comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.runs import lifecycle
from engine.runs.records import Accuracy, Run, short_key
from engine.runs.run_lines import describe, described, settings_of, unsolved
from engine.runs.spec import RunSpec
from tests.fakes import REMARK, remarked_compute


@pytest.fixture
def run(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4), compute=remarked_compute)


def test_a_line_says_what_a_run_is(run: Run) -> None:
    line = describe(run)
    assert line.startswith(f"{short_key(run.key)}  embedded / mdm / ioi  n=4 seed=0  accuracy ")
    assert line.endswith("  shifted") and "imported" not in line
    assert describe(replace(run, accuracy=None)).endswith("accuracy not measured yet  shifted")
    assert describe(replace(run, imported="2026-01-01")).endswith("  imported")


def test_a_circuit_from_elsewhere_names_its_file(run: Run) -> None:
    spec = replace(run.spec, method="imported", source="0" * 20)
    line = describe(replace(run, spec=spec, imported="2026-01-01", meta=replace(run.meta, file="a\x1b[2J.json")))
    assert line.endswith("  from the file 'a\\x1b[2J.json'")


def test_remarks_are_below_the_line(run: Run) -> None:
    assert list(described(run, "MDM: ", "  new")) == [
        f"MDM: {describe(run)}  new",
        f"  ! {REMARK}",
        "  ! And another.",
    ]


def test_a_model_that_cannot_do_the_task_is_marked(run: Run) -> None:
    assert unsolved(run) == "" and "CANNOT DO THIS TASK" in unsolved(replace(run, accuracy=Accuracy(0.1, 200)))
    gone = replace(run, spec=replace(run.spec, task="own-gone"), accuracy=Accuracy(0.1, 200))
    assert unsolved(gone) == ""


def test_settings_are_those_that_the_method_uses() -> None:
    assert settings_of(RunSpec()) == "eap-ig with 5 points, logit_diff, n = 64, seed 0, float32"
    spec = RunSpec(method="eap", n=4, template=2)
    assert settings_of(spec) == "eap, logit_diff, n = 4, seed 0, float32, template 2"
