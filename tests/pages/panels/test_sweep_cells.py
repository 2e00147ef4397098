"""Cells of a sweep's heat map: which comparison stands where, means over seeds, what each says, where it leads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.runs.spec import RunSpec
from engine.sweeps.sweep_file import Sweep
from engine.sweeps.table_columns import COLUMNS, NAMES
from pages.panels.sweep_cells import Shown, arrange, models_of

GRID = Sweep(
    "grid", tasks=("ioi", "sudoku"), models=("arm", "mdm", "step:16", "step:160", "control"), seeds=(2, 0, 10)
)  # fmt: skip
SPECS = GRID.specs()


def row(spec: RunSpec, k: int, overlap: float, **more: Any) -> dict[str, Any]:
    """A row of the table; what is not named is not computed."""
    texts = {column.name: "" for column in COLUMNS if column.type == "string"}
    settings = {name: value for name, value in vars(spec).items() if name in NAMES}
    return {**dict.fromkeys(NAMES), **texts, **settings, "k": k, "overlap": overlap, "chance": 0.01, **more}


def overlap_of(spec: RunSpec) -> float:
    return 0.5 + spec.seed / 100 + (0.2 if spec.model == "mdm" else 0)


ROWS = [row(spec, k, overlap_of(spec) * k / 200) for spec in SPECS if not spec.is_arm for k in (50, 200)]


def shown(**how: Any) -> Shown:
    return Shown(**{"k": 200, "measure": "overlap", "by": "seeds", "model": "mdm", **how})


def test_seeds_are_columns_of_one_model() -> None:
    arranged = arrange(SPECS, ROWS, shown())
    drawn = arranged.drawn
    assert list(drawn.columns) == ["0", "2", "10"] and drawn.across == "seed"
    assert [label[0] for label in drawn.rows] == ["Indirect object identification", "SUDOKU 4x4"]
    assert [[cell and cell.value for cell in line] for line in drawn.cells] == [pytest.approx([0.7, 0.72, 0.8])] * 2
    assert arranged.leads_to[1, 2] == RunSpec(task="sudoku", seed=10)


def test_checkpoints_are_columns_in_the_order_of_training_with_means_over_seeds() -> None:
    arranged = arrange(SPECS, ROWS, shown(by="checkpoints", k=50))
    assert list(arranged.drawn.columns) == ["control", "16", "160", "MDM"]
    values = [cell.value for cell in arranged.drawn.cells[0] if cell]
    assert values == pytest.approx([0.54 / 4] * 3 + [0.74 / 4])
    assert arranged.leads_to[0, 2].model == "step:160"
    cell = arranged.drawn.cells[0][3]
    assert cell and "Overlap 0.185 (mean; 0.175 to 0.200); chance 0.010" in cell.hover
    assert "ARM with MDM, 3 seeds, K = 50" in cell.hover


def test_a_cell_without_runs_is_empty_and_says_so() -> None:
    there = [own for own in ROWS if own["seed"] != 2 and own["task"] == "ioi"]
    arranged = arrange(SPECS, there, shown())
    first, second = arranged.drawn.cells[0][:2]
    assert first and second and first.value is not None and second.value is None
    assert "Not computed yet" in second.hover
    mean = arrange(SPECS, there, shown(by="checkpoints")).drawn.cells[0][0]
    assert mean and mean.value == pytest.approx(0.55) and "Not computed yet: 1 of these seeds" in mean.hover


def test_a_mean_leads_to_the_first_seed_that_is_there() -> None:
    there = [own for own in ROWS if own["seed"] == 10]
    assert arrange(SPECS, there, shown(by="checkpoints")).leads_to[0, 0].seed == 10
    assert arrange(SPECS, [], shown(by="checkpoints")).leads_to[0, 0].seed == 2  # the first of the sweep


def test_other_numbers_and_a_model_that_cannot_do_the_task() -> None:
    spec = RunSpec(seed=0)
    known = {
        "f_arm_in_other": 0.9, "f_k": 200, "accuracy_arm": 1.0, "accuracy_other": 0.25, "both_can_do": False,
        "split_half_pair": 0.3, "split_half_arm": 0.6, "split_half_other": 0.5,
    }  # fmt: skip
    there = [row(spec, 200, 0.7, **known)]
    values = {}
    for measure in ("overlap", "faithfulness", "accuracy"):
        cell = arrange([spec], there, shown(measure=measure)).drawn.cells[0][0]
        assert cell and cell.unable
        values[measure] = cell.value
        assert "A model cannot do the task: its circuit is not informative" in cell.hover
        assert "Split-half overlap: ARM with MDM 0.300, ARM 0.600, MDM 0.500" in cell.hover
        assert "Faithfulness of the ARM's circuit in the MDM: 0.900 (circuits of 200 edges)" in cell.hover
        assert "Solved problems: ARM 100%, MDM 25%" in cell.hover
    assert values == {"overlap": 0.7, "faithfulness": 0.9, "accuracy": 0.25}
    cell = arrange([spec], [row(spec, 200, 0.7)], shown(measure="faithfulness")).drawn.cells[0][0]
    assert cell and cell.value is None and "Faithfulness: not computed" in cell.hover and not cell.unable


def test_rows_say_which_settings_they_are_of_where_several_are_in_the_sweep() -> None:
    specs = [RunSpec(method=method, denoising_steps=steps) for method in ("eap", "relp") for steps in (0, 2)]
    labels = arrange(specs, [], shown()).drawn.rows
    assert labels[3] == ("Indirect object identification", "method relp, denoising steps 2") and len(labels) == 4
    pairs = [RunSpec(), RunSpec(pair="gone")]
    assert arrange(pairs, [], shown()).drawn.rows[1] == ("Indirect object identification", "gone")


def test_a_part_of_a_grid_that_is_not_in_the_sweep_has_no_cell() -> None:
    specs = [RunSpec(seed=0), RunSpec(task="sudoku", seed=1)]
    cells = arrange(specs, [], shown()).drawn.cells
    assert [[cell is None for cell in line] for line in cells] == [[False, True], [True, False]]


def test_models_to_choose_from_begin_with_the_mdm() -> None:
    assert models_of(SPECS) == ["mdm", "control", "step:16", "step:160"]
    assert models_of([replace(RunSpec(), model="step:16")]) == ["step:16"]
