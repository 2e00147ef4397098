"""Rows against each other: which say the same, which contradict each other, which do neither."""

from __future__ import annotations

import pytest

from engine.tasks.own_prompts import PromptRow
from engine.tasks.row_conflicts import EXCHANGED, OPPOSED, contradictions, other_answers, repeats


def row(clean: str, corrupted: str, answers: str, foils: str) -> PromptRow:
    return PromptRow(clean, corrupted, tuple(answers.split()), tuple(foils.split()))


ROW = row("c", "k", "A", "F")
AGAINST = {
    "answer and foil exchanged": (row("c", "k", "F", "A"), OPPOSED),
    "the same for another corrupted prompt": (row("c", "other", "F", "A"), OPPOSED),
    "right answer is wrong elsewhere": (row("c", "k", "B", "A"), OPPOSED),
    "wrong answer is right elsewhere": (row("c", "other", "F", "B"), OPPOSED),
    "one of several": (row("c", "k", "B F", "D"), OPPOSED),
    "prompts exchanged, answers not": (row("k", "c", "A", "F"), EXCHANGED),
    "prompts exchanged, another foil": (row("k", "c", "A", "B"), EXCHANGED),
}
BESIDE = {
    "prompts and answers exchanged": row("k", "c", "F", "A"),
    "another foil": row("c", "k", "A", "B"),
    "another corrupted prompt": row("c", "other", "A", "F"),
    "one corrupted prompt for both orders of names": row("other", "k", "F", "A"),
    "another right answer": row("c", "k", "B", "D"),
    "other prompts": row("x", "y", "F", "A"),
    "the same": ROW,
}


@pytest.mark.parametrize(("other", "why"), AGAINST.values(), ids=AGAINST)
def test_contradictions_are_found_in_either_order(other: PromptRow, why: str) -> None:
    between = row("x", "y", "A", "F")
    assert contradictions([ROW, between, other]) == {2: (0, why)}
    assert contradictions([other, ROW]) == {1: (0, why)}


@pytest.mark.parametrize("other", BESIDE.values(), ids=BESIDE)
def test_what_only_resembles_a_conflict_is_none(other: PromptRow) -> None:
    assert contradictions([ROW, other]) == contradictions([other, ROW]) == {}


def test_later_years_of_two_years_are_no_contradiction() -> None:
    years = [
        row("in 1732 to 17", "in 1701 to 17", "33 34", "31 32"),
        row("in 1701 to 17", "in 1732 to 17", "02 33", "01"),
    ]
    assert contradictions(years) == {}


def test_repeats_are_the_same_whatever_the_order_of_candidates() -> None:
    rows = [ROW, row("c", "k", "A B", "F"), ROW, row("c", "k", "B A", "F"), row("c", "k", "A", "B"), ROW]
    assert repeats(rows) == [None, None, 0, 1, None, 0]


def test_other_answers_to_the_same_prompt_are_found() -> None:
    assert other_answers([ROW, row("c", "k", "B", "D"), row("c", "y", "A B", "D"), row("x", "k", "B", "D")]) == {1: 0}
