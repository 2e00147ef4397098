"""What both kinds of cards share: tables with and without counts, the hub's metadata, the two files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.tasks.registry import TASKS
from engine.training.card_parts import accuracy_table, hub_metadata, table, write_card

ASKED, SHARES = (100, 200, 300, 400), (1.0, 0.995, 0.55, 0.0)
SOLVED = {name: {"n": n, "solved": share} for name, n, share in zip(TASKS, ASKED, SHARES, strict=True)}


def test_the_accuracy_table_has_counts_only_where_asked() -> None:
    plain, counted = (accuracy_table(SOLVED, with_counts).splitlines() for with_counts in (False, True))
    assert plain[:2] == ["| Task | Family | Solved |", "|---|---|---|"]
    assert counted[:2] == ["| Task | Family | Problems | Solved |", "|---|---|---|---|"]
    for row, row_counted, (name, task) in zip(plain[2:], counted[2:], TASKS.items(), strict=True):
        cells, cells_counted = row.split(" | "), row_counted.split(" | ")
        assert cells[0] == f"| {task.title}" and cells[1] == task.family
        assert cells_counted == [*cells[:2], str(SOLVED[name]["n"]), cells[2]]
    assert plain[2].endswith("| 100.0% (96.3% to 100.0%) |")  # Wilson's lower end is n / (n + 1.96 squared)


def test_a_table_has_a_rule_for_every_column() -> None:
    assert table("Step | IOI | Loss", ["8 | 1 | 2"]) == "| Step | IOI | Loss |\n|---|---|---|\n| 8 | 1 | 2 |"


@pytest.mark.parametrize(
    ("role", "pipeline", "kind"),
    [("arm", "text-generation", "autoregressive"), ("mdm", "fill-mask", "masked-diffusion")],
)
def test_the_hub_is_told_what_kind_of_model_it_is(role: str, pipeline: str, kind: str) -> None:
    solved = {name: share["solved"] for name, share in SOLVED.items()}
    data = yaml.safe_load(hub_metadata("tiny", role, solved, ["lora"], license="mit"))
    assert (data["pipeline_tag"], data["license"]) == (pipeline, "mit")
    assert data["tags"] == ["mechanistic-interpretability", "circuits", "lora", kind]
    results = data["model-index"][0]["results"]
    assert [result["metrics"][0]["value"] for result in results] == list(SHARES)


def test_both_files_are_written(tmp_path: Path) -> None:
    write_card(tmp_path, "mdm", "# A model\n", {"IOI": [(1, 2.0), (2, 1.0)]}, "7 batches")
    assert (tmp_path / "README.md").read_text() == "# A model\n"
    assert "MDM: training loss (mean of 7 batches)" in (tmp_path / "loss.svg").read_text()
