"""What documents and the registry say the shipped models solve, against the records of their training."""

from __future__ import annotations

import json
import math
import re
import tomllib
from typing import Any

import pytest

from engine import settings
from engine.circuits.intervals import wilson
from engine.runs.compute import ACCURACY_EXAMPLES
from engine.tasks.registry import TASKS
from tests.sources import ROOT

ROLES = ("arm", "mdm")
README_HEADS = {"embedded": "**The embedded pair**", "smollm2": "**SmolLM2-135M and its MDM**"}


def record(pair: str) -> Any:
    return json.loads((settings.MODELS / pair / "training.json").read_text())


def final(role: str, task: str) -> dict[str, float]:
    share: dict[str, float] = record("smollm2")[role]["final"][task]
    return share


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def rows_after(text: str, start: str) -> dict[str, list[str]]:
    """The rows of the first table after `start`, by task: the cells behind the task's title."""
    lines = iter(text[text.index(start) :].splitlines()[1:])
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table:
            break
    titles = {task.title: name for name, task in TASKS.items()} | {"IOI": "ioi"}
    return {titles[first]: cells for first, *cells in table[2:]}


def in_percent(written: str, share: float) -> bool:
    """Whether a percentage is a share, rounded to as many digits as it is written with."""
    decimals = len(written.partition(".")[2])
    return abs(float(written) - 100 * share) <= 0.5 * 10**-decimals + 1e-9


def solved_in_readme(pair: str) -> dict[str, tuple[str, str]]:
    """The column "Solved" of a pair's table in README.md: ARM and MDM, in percent, by task."""
    told = {}
    for task, cells in rows_after(text_of("README.md"), README_HEADS[pair]).items():
        match = re.fullmatch(r"([\d.]+) / ([\d.]+) %", cells[-1])
        assert match, cells[-1]
        told[task] = match[1], match[2]
    assert set(told) == set(TASKS)
    return told


def test_the_note_on_the_pair_is_of_its_record() -> None:
    note = tomllib.loads(text_of("assets/pairs.toml"))["smollm2"]["note"]
    match = re.search(r"The MDM solves ([\d.]+) % of COUNTDOWN", note)
    assert match and in_percent(match[1], final("mdm", "countdown")["solved"])


def test_the_readme_s_shares_of_smollm2_are_of_its_record() -> None:
    for task, written in solved_in_readme("smollm2").items():
        for role, percent in zip(ROLES, written, strict=True):
            assert in_percent(percent, final(role, task)["solved"]), (task, role)
    match = re.search(r"the MDM solves COUNTDOWN no more than (\d+) times of (\d+),", text_of("README.md"))
    share = final("mdm", "countdown")
    assert match and (int(match[1]), int(match[2])) == (round(share["n"] * share["solved"]), share["n"])


def test_the_document_s_shares_of_smollm2_are_of_its_record() -> None:
    rows = rows_after(text_of("docs/smollm2.md"), "## What they solve")
    assert set(rows) == set(TASKS)
    for task, cells in rows.items():
        for role, cell in zip(ROLES, cells[1:3], strict=True):
            match, share = re.fullmatch(r"([\d.]+) % of (\d+)", cell), final(role, task)
            assert match and in_percent(match[1], share["solved"]) and int(match[2]) == share["n"], (task, role)


def test_what_smollm2_makes_of_text_is_of_its_record() -> None:
    text = text_of("docs/smollm2.md")
    arm, mdm = ([point["text_loss"] for point in record("smollm2")[role]["measured"]] for role in ROLES)
    perplexity = re.search(r"Perplexity of held-out text that SmolLM2 wrote: ([\d.]+) before, ([\d.]+) under", text)
    assert perplexity and perplexity.groups() == tuple(f"{math.exp(loss):.1f}" for loss in (arm[0], arm[-1]))
    masked = re.search(r"masked half of such text: ([\d.]+) for the ARM [^,]*, ([\d.]+) for the MDM", text)
    assert masked and masked.groups() == tuple(f"{loss:.2f}" for loss in (mdm[0], mdm[-1]))
    again = re.search(r"fills masked text badly \(cross-entropy ([\d.]+)\)", text)
    assert again and again[1] == f"{mdm[-1]:.2f}"


def test_more_training_on_countdown_is_told_as_it_was_recorded() -> None:
    pattern = r"on the same (\d+) problems it solved (\d+) after (\d+) thousand tokens and (\d+) after (\d+) thousand"
    match = re.search(pattern, text_of("docs/smollm2.md"))
    assert match
    asked, *told = map(int, match.groups())
    solved = {}
    for point in record("smollm2")["mdm"]["measured"]:
        share = point["tasks"]["countdown"]
        assert share["n"] == asked
        solved[round(point["tokens"] / 1000)] = round(asked * share["solved"])
    assert [solved[tokens] for tokens in told[1::2]] == told[::2]


def test_the_readme_s_shares_of_the_embedded_pair_are_those_of_its_results() -> None:
    rows = rows_after(text_of("docs/embedded_results.md"), "# What the embedded pair shows")
    for task, written in solved_in_readme("embedded").items():
        assert re.findall(r"([\d.]+) %", rows[task][-1])[:2] == list(written), task


@pytest.mark.parametrize("role", ROLES)
def test_what_runs_of_the_embedded_pair_measured_agrees_with_its_record(role: str) -> None:
    """Runs ask fewer problems than training did: the recorded share is within the interval of theirs."""
    accuracy = record("embedded")[role]["accuracy"]
    for task, written in solved_in_readme("embedded").items():
        low, high = wilson(float(written[ROLES.index(role)]) / 100, ACCURACY_EXAMPLES)
        assert low <= accuracy[task] <= high or accuracy[task] == pytest.approx(high), task  # 1 may be 1 - 1e-16
