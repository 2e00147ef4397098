"""Kept pairs, in code and by command: listed, renamed, removed, with and without their runs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from engine.__main__ import main
from engine.errors import UserError
from engine.models.pairs import pair_named, pairs
from engine.runs import kept_pairs, lifecycle, stored
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two folders that no file names."""
    pair, place = pair_named("embedded"), tmp_path_factory.mktemp("two")
    two = [shutil.copytree(pair.folder(model), place / model) for model in ("arm", "mdm")]
    return ["--arm", str(two[0]), "--mdm", str(two[1]), "--shifted"]


@pytest.fixture
def name(flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """A pair of two folders with runs of both models."""
    assert main(["run", *flags, "--n", "2"], tiny_compute) == 0
    capsys.readouterr()
    (only,) = kept_pairs.kept()
    assert only.runs == 2
    return only.pair.name


def test_list_says_what_there_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "list"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"{name}  arm / mdm  2 runs"
    assert "/arm, MDM " in second and "The MDM is read as shifted, as was told" in third


def test_a_new_title_is_shown_and_the_runs_stay(
    name: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pairs", "rename", name, "  My  `own` pair\n"]) == 0
    assert capsys.readouterr().out == f"{name} is now called My `own` pair.\n"
    assert pairs()[name].title == "My `own` pair"
    before = {run.key for run in stored.list_runs()}
    assert main(["run", *flags, "--n", "2"], tiny_compute) == 0
    assert {run.key for run in stored.list_runs()} == before and pair_named(name).title == "My `own` pair"


@pytest.mark.parametrize("with_runs", [False, True])
def test_remove_keeps_runs_unless_they_are_to_go(
    name: str, flags: list[str], with_runs: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    other = lifecycle.run(RunSpec(n=3), compute=tiny_compute)
    before = {run.key for run in stored.list_runs()}
    assert main(["pairs", "remove", name, *(["--with-runs"] if with_runs else [])]) == 0
    output = capsys.readouterr().out
    assert name not in pairs() and kept_pairs.kept() == []
    assert ("2 runs with it" in output) == with_runs and ("2 runs of it stay" in output) != with_runs
    assert {run.key for run in stored.list_runs()} == ({other.key} if with_runs else before)
    assert main(["list"]) == 0  # runs of a pair that is gone are no trouble
    assert main(["pairs", "list"]) == 0
    if not with_runs:
        assert main(["run", *flags, "--n", "2"]) == 0  # found again: nothing computes here
        assert {run.key for run in stored.list_runs()} == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rename", "nobody", "x"], "No pair called 'nobody' was kept here. Choose one of: "),
        (["remove", "nobody"], "No pair called 'nobody' was kept here. Choose one of: "),
        (["remove", "../pairs"], "No pair called '../pairs' was kept here"),
        (["remove", "embedded"], "The pair embedded was not kept here: it comes from a pairs file"),
        (["rename", "dream", "x"], "The pair dream was not kept here: it comes from a pairs file"),
    ],
)
def test_only_kept_pairs_can_be_changed(
    name: str, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pairs", *argv]) == 2
    assert message in capsys.readouterr().err
    assert name in pairs()


def test_an_empty_title_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="The title is empty"):
        kept_pairs.rename(name, " \n ")
    assert len(kept_pairs.rename(name, "x" * 500).title) == kept_pairs.LONGEST_TITLE
    assert replace(pairs()[name], title="") == replace(kept_pairs.kept()[0].pair, title="")
