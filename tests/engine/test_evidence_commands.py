"""The commands on evidence: what they compute, print and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.flags import parser
from engine.runs import cache_connection, lifecycle, stored
from engine.runs import evidence_summary as summary
from engine.runs.execution import OnProgress
from engine.runs.records import ArtifactTables, short_key
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, AnyKind
from tests.fakes import tiny_compute


def refused(spec: RunSpec, kind: AnyKind, on_progress: OnProgress, *inputs: object) -> ArtifactTables:
    raise AssertionError(f"{kind} of {spec} is stored")


def kinds() -> list[str]:
    """Of what is in the cache, circuits and evidence."""
    there = [record.kind for record in cache_connection.records()]
    return sorted(kind for kind in there if kind in ("circuit", *EVIDENCE_KINDS))


@pytest.mark.usefixtures("workspace")
def test_what_is_missing_is_computed_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "--n", "4"], tiny_compute) == 0
    printed = capsys.readouterr().out
    assert kinds() == sorted(["circuit", "faithfulness", "knockouts", "audit"] * 2)
    for title in ("Faithfulness: ", "Knockouts: ", "Audit: ", "Stability of the overlap of ARM and MDM"):
        assert f"\n{title}" in printed
    for model in ("arm", "mdm"):
        of_model = summary.evidence_of(RunSpec(n=4, model=model))
        assert of_model and short_key(of_model.run.key) in printed
        points = summary.circuit_points(of_model.by_kind["faithfulness"])
        size = summary.nearest_sizes(points)[0]
        own = next(p for p in points if (p.circuit, p.size) == ("own", size))
        assert f"{own.f:.3f} ({own.low:.3f} to {own.high:.3f})" in printed
        strongest = summary.knockouts(of_model.by_kind["knockouts"])[0]
        assert (
            f"{of_model.run.meta.graph.node_names[strongest.node]} " in printed and f"{strongest.change:.3f}" in printed
        )
    assert main(["evidence", "--n", "4"], refused) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.usefixtures("workspace")
def test_kinds_and_models_can_be_asked_for_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "--n", "4", "--model", "mdm", "--only", "audit"], tiny_compute) == 0
    printed = capsys.readouterr().out
    assert kinds() == ["audit", "circuit"] and "Faithfulness" not in printed and "Stability" not in printed
    assert main(["evidence", "--n", "4", "--model", "step:100", "--only", "knockouts"], tiny_compute) == 0
    assert "MDM after 100 steps: change" in capsys.readouterr().out
    assert [run.spec.model for run in stored.list_runs()] == ["arm", "step:100", "mdm"]


@pytest.mark.usefixtures("workspace")
def test_whose_circuit_an_arm_is_compared_with_is_told_where_steps_are_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["evidence", "--n", "4", "--task", "countdown", "--denoising-steps", "2", "--k", "7"]
    assert main(asked, tiny_compute) == 0
    assert "is the MDM's in its usual number of steps" in capsys.readouterr().out
    assert main([*asked, "--model", "mdm"], tiny_compute) == 0
    assert "usual number" not in capsys.readouterr().out


@pytest.mark.usefixtures("workspace")
def test_one_size_is_measured_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "--n", "4", "--k", "7"], tiny_compute) == 0
    assert kinds() == ["circuit", "circuit", "faithfulness_at", "faithfulness_at"]
    (_, *lines) = [
        line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(("f at", "own, by |"))
    ]
    assert lines and "7" in lines[1]
    assert main(["evidence", "--n", "4", "--k", "7", "--only", "audit"], tiny_compute) == 2
    assert "--k cannot go with --only" in capsys.readouterr().err
    assert main(["evidence", "--n", "4", "--k", "999999"], tiny_compute) == 2
    assert "--k has 999999, but this circuit has" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_stability_computes_circuits_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", "--n", "4", "--only", "stability"], tiny_compute) == 0
    printed = capsys.readouterr().out
    assert set(kinds()) == {"circuit"} and "seed 1 " in printed and "not computed" not in printed.splitlines()[-1]
    assert {run.spec.model for run in stored.list_runs()} == {"arm", "mdm", "control"}
    assert lifecycle.find(RunSpec(n=4, seed=2)) and lifecycle.find(RunSpec(n=4, points=20, model="arm"))


@pytest.mark.usefixtures("workspace")
def test_unknown_kinds_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evidence", "--only", "audit,magic"], tiny_compute)
    assert (
        "there is no evidence 'magic'. Choose from: faithfulness, knockouts, audit, stability"
        in capsys.readouterr().err
    )
    assert main(["evidence", "--model", "step:7"], tiny_compute) == 2
    assert "step:7" in capsys.readouterr().err and kinds() == []


@pytest.mark.usefixtures("workspace")
def test_a_report_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evidence", "--n", "4", "--only", "audit"], tiny_compute)
    capsys.readouterr()
    page = tmp_path / "r.html"
    assert main(["report", "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}: {page.stat().st_size} bytes\n"
    assert main(["report", "--out", str(tmp_path / "r.md"), "--task", "ioi", "--n", "4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for argv, message in (
        (["--out", str(tmp_path / "r.pdf")], "ends in .html"),
        (["--out", str(tmp_path / "x.html"), "--task", "sudoku"], "Compute them with `python -m engine evidence"),
        (["--out", str(tmp_path / "x.html"), "--seed", "1"], "No circuits of both models of the pair 'embedded'"),
        (["--out", str(tmp_path / "x.html"), "--pair", "nobody"], "nobody"),
    ):
        assert main(["report", *argv]) == 2
        captured = capsys.readouterr()
        assert message in captured.err and captured.out == ""


def test_flags_of_a_report_say_which_runs_are_meant() -> None:
    given = parser().parse_args(["report", "--out", "r.html", "--task", "ioi,sudoku"])
    assert (given.pair, given.task, given.n, given.seed, given.dtype) == ("embedded", ["ioi", "sudoku"], None, 0, None)
