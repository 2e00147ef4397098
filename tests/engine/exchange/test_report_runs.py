"""A report is of runs with the same settings, and of those with most evidence where there are several."""

from __future__ import annotations

import pytest

from engine.errors import UserError
from engine.exchange.report_runs import SETTINGS, command_for, questions, task_title
from engine.flags import parser
from engine.runs import evidence
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute
from tests.stored_evidence import question, store


def test_a_command_asks_for_the_settings_of_the_runs() -> None:
    spec = RunSpec(
        pair="p", task="countdown", n=8, seed=3, method="clean-corrupted", points=7, metric="kl", order="random",
        denoising_steps=2, dtype="bfloat16",
    )  # fmt: skip
    given = parser().parse_args(command_for(spec, "audit").split()[3:])
    fields = {name: getattr(given, name) for name in (*SETTINGS, "pair", "task")}
    assert RunSpec(**fields) == spec and given.only == ["audit"]
    assert command_for(RunSpec(), "audit") == "python -m engine evidence --pair embedded --task ioi --only audit"


@pytest.mark.usefixtures("workspace")
def test_tasks_are_in_order_and_models_belong_together() -> None:
    store("countdown", "ioi", kinds=())
    store("sudoku", kinds=(), seed=3, control=False)
    asked = questions("embedded", None, {"seed": 0})
    assert [each.task for each in asked] == ["ioi", "countdown"] and asked[0].title == "Indirect object identification"
    for each in asked:
        assert each.control and {run.spec.task for run in (each.arm.run, each.mdm.run, each.control)} == {each.task}
        assert [name for name, _ in each.models] == ["ARM", "MDM"]
        assert (each.arm.run.spec.model, each.mdm.run.spec.model) == ("arm", "mdm")
    (other,) = questions("embedded", ["sudoku"], {"seed": 3})
    assert other.control is None and other.arm.by_kind == {}


@pytest.mark.usefixtures("workspace")
def test_evidence_counts_before_the_number_of_examples() -> None:
    store(kinds=(), n=6)
    store(kinds=(), n=4)
    assert question().mdm.run.spec.n == 6
    evidence.compute([RunSpec(n=4)], ["audit"], compute=tiny_compute)
    assert question().mdm.run.spec.n == 4 and set(question().mdm.by_kind) == {"audit"}
    assert question(n=6).mdm.run.spec.n == 6


@pytest.mark.usefixtures("workspace")
def test_the_arm_of_fewer_denoising_steps_is_the_arm() -> None:
    store("countdown", kinds=(), control=False)
    store("countdown", kinds=(), control=False, denoising_steps=2)
    few = question(denoising_steps=2)
    assert few.mdm.run.spec.denoising_steps == 2 and few.arm.run.key == question(denoising_steps=0).arm.run.key


@pytest.mark.usefixtures("workspace")
def test_what_is_not_stored_is_refused() -> None:
    with pytest.raises(UserError, match="No circuits of both models of the pair 'embedded' with these settings"):
        questions("embedded", None, {})
    store(kinds=(), control=False)
    with pytest.raises(UserError, match=r"on 'sudoku' with these settings.*--task sudoku"):
        questions("embedded", ["ioi", "sudoku"], {})
    with pytest.raises(UserError, match="with these settings are stored"):
        questions("embedded", None, {"method": "eap"})
    command = r"`python -m engine evidence --pair embedded --task sudoku --n 7 --denoising-steps 2`"
    with pytest.raises(UserError, match=command):
        questions("embedded", ["sudoku"], {"n": 7, "seed": 0, "denoising_steps": 2})
    with pytest.raises(UserError, match="There is no task called 'nope'"):
        questions("embedded", ["nope"], {})
    assert task_title("own-nothing") == "own-nothing"
