from __future__ import annotations

from engine.tasks.ioi import IOI, NAMES, TEMPLATES
from tests.engine.tasks.conftest import drawn


def test_the_corrupted_prompt_differs_in_who_acts_and_in_nothing_else() -> None:
    for e in drawn("ioi", "heldout"):
        pairs = list(zip(e.prompt.split(), e.corrupt_prompt.split(), strict=True))
        people = [clean for clean, _ in pairs if clean in NAMES]
        assert [pair for pair in pairs if pair[0] != pair[1]] == [(people[2], e.answer)]
        assert e.corrupt_answer == people[2]


def test_every_template_comes_in_both_name_orders() -> None:
    orders = set()
    for e in drawn("ioi", "heldout"):
        first, _, subject = (word for word in e.prompt.split() if word in NAMES)
        orders.add((e.content.split("/")[1], subject == first))
    assert len(orders) == 2 * len(TEMPLATES)


def test_no_other_word_is_right() -> None:
    task = IOI()
    for e in drawn("ioi", "heldout")[:100]:
        assert [word for word in task.words() if task.check(e.prompt, word)] == [e.answer]
