"""A sweep's file: the grid that it describes, and what is wrong with it in a sentence."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.pairs import pair_named
from engine.runs.spec import RunSpec
from engine.sweeps.sweep_file import read, sweep_of


def specs_of(**table: object) -> list[RunSpec]:
    return sweep_of("grid", table, "The sweep grid.toml").specs()


def test_what_is_left_out_is_as_for_run() -> None:
    assert specs_of() == [RunSpec(model="arm"), RunSpec(model="mdm")]


def test_every_combination_is_a_run_each_once() -> None:
    grid = specs_of(models=["mdm", "step:16"], tasks=["ioi", "sudoku"], seeds=[0, 1, 1], n=[8, 16])
    assert len(grid) == len(set(grid)) == 16
    assert {(spec.model, spec.task, spec.seed, spec.n) for spec in grid} == set(
        product(("mdm", "step:16"), ("ioi", "sudoku"), (0, 1), (8, 16))
    )


def test_steps_are_all_checkpoints_of_the_pair() -> None:
    assert [spec.model for spec in specs_of(models=["arm", "steps"])] == [
        "arm",
        *(f"step:{step}" for step in pair_named("embedded").steps),
    ]


def test_one_value_stands_for_a_list_of_one() -> None:
    assert specs_of(models="mdm", n=8) == [RunSpec(n=8)]


def test_settings_that_change_nothing_make_no_further_runs() -> None:
    assert len(specs_of(models=["arm"], denoising_steps=[0, 2])) == 1
    assert len(specs_of(models=["mdm"], methods=["eap"], points=[5, 20])) == 1
    assert len(specs_of(models=["mdm"], methods=["eap", "eap-ig"], points=[5, 20])) == 3


def test_number_format_is_the_pairs_preference_whatever_this_machine_has() -> None:
    large = next(spec for spec in specs_of(pairs=["dream"]))
    assert large.dtype == (pair_named("dream").dtype or "float32")
    assert specs_of(dtype="bfloat16")[0].dtype == "bfloat16"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"pair": ["embedded"]}, "unknown field 'pair'"),
        ({"models": []}, "a list of at least one text"),
        ({"n": ["many"]}, "a list of at least one whole number"),
        ({"evidence": ["proof"]}, "some of: faithfulness, knockouts, audit"),
        ({"artifacts": ["circuits"]}, "some of: circuit, ability"),
        ({"threads": 0}, "from 1 to 1024"),
        ({"models": ["step:7"]}, "has no model 'step:7'"),
        ({"pairs": ["mine"]}, "no pair called 'mine'"),
        ({"tasks": ["chess"]}, "no task called 'chess'"),
        ({"methods": ["eap"], "metrics": ["kl"]}, "exactly zero"),
        ({"seeds": list(range(60_000))}, "more than 100000 runs"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        specs_of(**table)


def test_a_file_is_read_and_named_by_its_stem(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text('models = ["mdm"]\nseeds = [3]\nevidence = ["audit", "faithfulness"]\n')
    sweep = read(file)
    assert (sweep.name, sweep.seeds) == ("small", (3,))
    assert sweep.evidence_kinds == ("faithfulness", "audit")
    with pytest.raises(UserError, match=r"none\.toml cannot be read"):
        read(tmp_path / "none.toml")
    file.write_text("models = [")
    with pytest.raises(UserError, match="not valid TOML"):
        read(file)
