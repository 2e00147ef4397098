"""The table of claims: complete whatever is stored, and every verdict from the numbers that it shows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from engine.circuits.intervals import Estimate
from engine.circuits.verdicts import FAILS, HOLDS, UNKNOWN, at_floor, beyond
from engine.errors import UserError
from engine.runs import claim_numbers, evidence, lifecycle, read, stability
from engine.runs import claims as module
from engine.runs.claim_numbers import TaskNumbers
from engine.runs.claims import Claim, Transfer, claims
from engine.runs.solvable import Ability
from engine.runs.spec import RunSpec
from engine.tasks.registry import TASKS
from tests.fakes import tiny_compute

QUESTION = RunSpec(n=16)
K = 9
PAIRS = {"Qwen2.5-7B / Dream-Base-7B", "LLaMA-2-7B / DiffuLLaMA-7B"}


def by_name(rows: list[Claim]) -> dict[str, Claim]:
    named = {row.name: row for row in rows}
    assert len(named) == len(rows)
    return named


def stored(*tasks: str, models: tuple[str, ...] = ("arm", "mdm", "control")) -> None:
    for task in tasks:
        for model in models:
            lifecycle.run(replace(QUESTION, task=task, model=model), compute=tiny_compute)


@pytest.mark.usefixtures("workspace")
def test_of_an_empty_cache_every_claim_is_there_and_says_what_is_missing() -> None:
    rows = by_name(claims(QUESTION, K))
    assert len(rows) == 30
    for row in rows.values():
        assert row.verdict == UNKNOWN and row.reason.startswith("Not computed yet: ARM on ")
        assert math.isnan(row.number.value) and row.missing and row.address["pair"] == "embedded"
    local = rows["local ioi countdown"]
    assert local.published["Qwen2.5-7B / Dream-Base-7B"] == "0.193 - 0.008 = 0.185" and set(local.published) == PAIRS
    assert len(local.missing) == 4
    assert rows["abandons countdown"].published["LLaMA-2-7B / DiffuLLaMA-7B"] == "0.032"
    assert rows["early countdown"].published == {"Qwen2.5-7B / Dream-Base-7B": "more than 2"}
    with pytest.raises(UserError, match="no pair called"):
        claims(replace(QUESTION, pair="nobody"), K)


@pytest.mark.usefixtures("workspace")
def test_a_task_alone_is_judged_where_a_claim_needs_no_other() -> None:
    stored("countdown", models=("arm", "mdm"))
    rows = by_name(claims(QUESTION, K))
    assert [spec.task for spec in rows["local ioi countdown"].missing] == ["ioi", "ioi"]
    assert rows["post-training countdown"].reason == "Not computed yet: the step-0 control."
    judged = {name for name, row in rows.items() if not math.isnan(row.number.value)}
    names = ("differs", "abandons", "early", "effective-number", "gini", "lens", "neurons")
    assert judged == {f"{name} countdown" for name in names}
    for name in judged - {"neurons countdown"}:
        assert rows[name].number.low <= rows[name].number.value <= rows[name].number.high


@pytest.mark.usefixtures("workspace")
def test_verdicts_are_those_of_the_rules_on_the_numbers_shown() -> None:
    stored(*TASKS)
    rows = by_name(claims(QUESTION, K))
    local = rows["local ioi countdown"]
    runs = {task: [lifecycle.find(replace(QUESTION, task=task, model=m)) for m in ("arm", "mdm")] for task in TASKS}
    values = [read.overlap(*(run.key for run in runs[task]), K) for task in ("ioi", "countdown")]
    assert local.number.value == pytest.approx(values[0] - values[1])
    assert f"{values[0]:.3f} and {values[1]:.3f}" in local.reference and "step-0 control" in local.reference
    sides = {"local": (0, "above"), "differs": (0, "below"), "post-training": (0, "below"), "early": (1, "above"),
             "effective-number": (0, "above"), "gini": (0, "below"), "lens": (0, "above")}  # fmt: skip
    checked = 0
    for name, row in rows.items():
        kind = name.split()[0]
        if kind in sides:
            ruling = beyond(row.number, *sides[kind])
            assert row.verdict == ruling.verdict and row.reason.startswith(ruling.reason)
            checked += 1
    assert checked == 2 + 2 * 3 + 3 * 4
    floor = stability.controls(replace(QUESTION, task="sudoku"), K).permuted_edges
    abandons = rows["abandons sudoku"]
    assert abandons.verdict == at_floor(abandons.number, floor.high).verdict
    assert f"mean {floor.mean:.3f}" in abandons.reference


@pytest.mark.usefixtures("workspace")
def test_beside_the_control_it_is_said_whether_it_can_do_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    stored("ioi", "countdown", models=("arm", "mdm"))
    unmeasured, unable = "whether the control can do {} is not measured", "the control cannot do {}"
    titles = [TASKS[task].title for task in ("ioi", "countdown")]
    assert not any("the control" in row.reference for row in claims(QUESTION, K))
    specs = [replace(QUESTION, task=task, model="control") for task in ("ioi", "countdown")]
    evidence.compute_circuits(specs, compute=tiny_compute)
    rows = by_name(claims(QUESTION, K))
    compared = ("post-training", "early", "effective-number", "gini", "neurons")
    for row in rows.values():
        kind, *tasks = row.name.split()
        expected = (kind in compared and tasks[0] in ("ioi", "countdown")) or row.name == "local ioi countdown"
        assert ("is not measured" in row.reference) == expected, row.name
    assert unmeasured.format(titles[1]) in rows["post-training countdown"].reference
    assert rows["post-training countdown"].verdict == beyond(rows["post-training countdown"].number, 0, "below").verdict
    assert unmeasured.format(" or ".join(titles)) in rows["local ioi countdown"].reference

    def weak(task: Any, measured: Any) -> Ability:
        return Ability(False, "It solves none.") if task.name == "ioi" else Ability(True)

    stored("ioi", "countdown")
    assert not any("the control can" in row.reference for row in claims(QUESTION, K))
    monkeypatch.setattr(claim_numbers, "can_do", weak)
    assert unable.format(titles[0]) in by_name(claims(QUESTION, K))["local ioi countdown"].reference


@pytest.mark.usefixtures("workspace")
def test_transfer_is_judged_where_it_is_given() -> None:
    stored("ioi", models=("arm", "mdm"))
    strong, weak = Estimate(0.9, 0.85, 0.95), Estimate(0.2, 0.15, 0.25)
    given = Transfer(50, strong, strong, strong, weak, 0.1, 0.05)
    rows = by_name(claims(QUESTION, K, {"ioi": given}))
    row = rows["transfer ioi"]
    assert (row.verdict, row.number, row.page) == (HOLDS, strong, "evidence")
    assert "K = 50" in row.reference and "0.20" in row.reference
    other = by_name(claims(QUESTION, K, {"ioi": replace(given, arm_in_mdm=weak)}))["transfer ioi"]
    assert other.verdict == FAILS
    assert by_name(claims(QUESTION, K))["transfer ioi"].reason == (
        "Not computed yet: the faithfulness of both models' circuits at a common size."
    )
    assert rows["transfer sudoku"].missing


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("asked", [{"template": 2}, {"task": "countdown", "denoising_steps": 2}])
def test_claims_are_about_usual_prompts_and_steps_whatever_is_asked(asked: dict[str, Any]) -> None:
    stored("ioi", "countdown", models=("arm", "mdm"))
    rows = claims(replace(QUESTION, **asked), K)
    assert str(rows) == str(claims(QUESTION, K))
    assert {spec.task for row in rows for spec in row.missing} == {"greater_than", "sudoku"}


@pytest.mark.usefixtures("workspace")
def test_each_number_names_the_limit_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(*TASKS)
    ranked, scored = "only the strongest are ranked anew", "only the strongest are scored anew"
    monkeypatch.setattr(TaskNumbers, "limit", ranked)
    monkeypatch.setattr(TaskNumbers, "limit_of_scores", scored)
    named = {row.name.split()[0]: (ranked in row.reference, scored in row.reference) for row in claims(QUESTION, K)}
    anew, held = ("local", "differs", "abandons", "post-training"), ("early", "effective-number", "gini")
    assert named == {
        **dict.fromkeys(anew, (True, False)),
        **dict.fromkeys(held, (False, True)),
        **dict.fromkeys(("lens", "neurons", "transfer"), (False, False)),
    }


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("n", [1, 4])
def test_of_few_prompts_nothing_can_be_told(n: int) -> None:
    for model in ("arm", "mdm"):
        lifecycle.run(replace(QUESTION, task="countdown", model=model, n=n), compute=tiny_compute)
    rows = by_name(claims(replace(QUESTION, n=n), K))
    for name in ("differs", "abandons", "early", "effective-number"):
        row = rows[f"{name} countdown"]
        assert row.verdict == UNKNOWN and ("interval" in row.reason or "halves" in row.reason)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Estimate(2.5, 2.1, 3.0), "It lies above the published 2 too."),
        (Estimate(1.5, 1.1, 1.9), "It lies below the published 2."),
        (Estimate(2.0, 1.8, 2.2), "It holds the published 2."),
        (Estimate(2.0, None, None), ""),
    ],
)
def test_an_interval_is_set_against_what_is_published(number: Estimate, expected: str) -> None:
    assert module._against(number, 2.0) == expected
