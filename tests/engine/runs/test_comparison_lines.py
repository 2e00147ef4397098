"""The comparison as lines of text: its numbers are those of the arrays, and what there is not reads none."""

from __future__ import annotations

import re

import pytest

from engine.__main__ import main
from engine.circuits import comparison
from engine.runs import lifecycle, read
from engine.runs.comparison_lines import TITLES, overlap_with_halves, table_line
from engine.runs.records import Run, short_key
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute

MODELS = ("arm", "mdm", "control")


def both(task: str = "ioi") -> tuple[Run, Run]:
    """The two runs of a pair; its control is computed too."""
    arm, mdm, _ = (lifecycle.run(RunSpec(n=4, task=task, model=m), compute=fake_compute) for m in MODELS)
    return arm, mdm


@pytest.mark.usefixtures("workspace")
def test_compare_prints_what_the_arrays_say(capsys: pytest.CaptureFixture[str]) -> None:
    arm, mdm = both()
    assert main(["compare", "--n", "4", "--k", "7,300"]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1].isdecimal()]
    assert [row[0] for row in rows] == ["7", "300"]
    control = lifecycle.find(RunSpec(n=4, model="control"))
    assert control
    for k, overlap, beside, chance, half, half_arm, half_mdm, early_arm, early_mdm, ratio, ratio_0, *_ in rows:
        at, n = int(k), arm.meta.graph.n_edges
        tops = {
            (run.key, part): set(read.edge_table(run.key, part, at).edge.tolist())
            for run in (arm, mdm, control)
            for part in ("total", "half-a", "half-b")
        }

        def jaccard(a: set[int], b: set[int]) -> float:
            return len(a & b) / len(a | b)

        assert float(overlap) == pytest.approx(jaccard(tops[arm.key, "total"], tops[mdm.key, "total"]), abs=6e-4)
        ways = [(tops[arm.key, a], tops[mdm.key, b]) for a, b in (("half-a", "half-b"), ("half-b", "half-a"))]
        assert float(half) == pytest.approx(sum(jaccard(*way) for way in ways) / 2, abs=6e-4)
        assert float(beside) == pytest.approx(jaccard(tops[arm.key, "total"], tops[control.key, "total"]), abs=6e-4)
        assert float(half_arm) == pytest.approx(jaccard(tops[arm.key, "half-a"], tops[arm.key, "half-b"]), abs=6e-4)
        assert float(half_mdm) == pytest.approx(jaccard(tops[mdm.key, "half-a"], tops[mdm.key, "half-b"]), abs=6e-4)
        assert float(chance) == pytest.approx(at / (2 * n - at), abs=6e-5)
        tables = [read.edge_table(run.key, limit=at) for run in (arm, mdm, control)]
        expected = comparison.compare(arm.meta.graph, tables[0], tables[1], at)
        at_step_0 = comparison.compare(arm.meta.graph, tables[0], tables[2], at)
        assert float(ratio_0) == pytest.approx(at_step_0.early_ratio, abs=6e-3)
        assert float(early_arm) == pytest.approx(expected.arm.early_share, abs=6e-4)
        assert float(early_mdm) == pytest.approx(expected.mdm.early_share, abs=6e-4)
        assert float(ratio) == pytest.approx(expected.early_ratio, abs=6e-3)
    for run in (arm, mdm, control):
        assert run.accuracy
        assert (
            f"{short_key(run.key)}  embedded / {run.spec.model} / ioi  n=4 seed=0  accuracy {run.accuracy.accuracy:.1%}"
            in printed
        )


@pytest.mark.usefixtures("workspace")
def test_one_example_has_no_halves_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "1", "--k", "5,50", "--steps"], fake_compute) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1].isdecimal()]
    assert [row[4:7] for row in rows if row[0] in ("5", "50")] == [["none"] * 3] * 2
    assert "half: none, as there are no halves of a single example" in printed
    assert [row.count("none)") for row in rows if row[0] in ("0", "100")] == [2, 2]
    arm = lifecycle.find(RunSpec(n=1, model="arm"))
    assert arm and main(["export", arm.key, "--part", "half-b"]) == 2
    assert "is of one example, so that it has no second half" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_a_line_has_a_cell_under_every_title() -> None:
    arm, mdm = both()
    control = lifecycle.find(RunSpec(n=4, model="control"))
    titles = re.split(r"  +", TITLES.strip())
    for size in (7, 300):
        line = table_line(arm, mdm, control, size)
        assert len(line) == len(TITLES) and len(line.split()) == len(titles)
        assert line.split()[0] == str(size) and "none" not in line


@pytest.mark.usefixtures("workspace")
def test_without_a_control_its_cells_read_none() -> None:
    arm, mdm = both()
    cells = table_line(arm, mdm, None, 50).split()
    assert [i for i, cell in enumerate(cells) if cell == "none"] == [2, 10]


@pytest.mark.usefixtures("workspace")
def test_the_overlap_of_a_run_with_itself_is_whole() -> None:
    arm, _ = both()
    halves = read.split_half(arm, arm, 50)
    assert halves is not None
    assert overlap_with_halves(arm, arm, 50) == f"  1.000 ({halves.pair:.3f} {halves.mdm:.3f})"
