"""What is read where, and what an MDM's inputs mask."""

from __future__ import annotations

import pytest

from engine.attribution.sites import arm_inputs, mdm_inputs, up_to_reads
from engine.models.decoding import reveal_order
from tests import tiny


def test_arm_reads_just_before_every_contrast() -> None:
    model, examples = tiny.model("llama", causal=True), tiny.random_examples(2)
    rows = arm_inputs(model, examples)
    assert [(row.example, row.part) for row in rows] == [(0, "site-01"), (0, "site-02"), (1, "site-01"), (1, "site-02")]
    for row in rows:
        (site,), e = row.sites, examples[row.example]
        t = site.target - e.start
        assert site.read == site.target - 1 and row.clean == e.prompt + e.answer and row.weight == 0.5
        assert (site.right, site.wrong) == ((e.answer[t],), (e.corrupt_answer[t],))


def test_a_row_ends_at_the_last_position_read() -> None:
    model, examples = tiny.model("llama", causal=True), tiny.random_examples(1)
    whole, e = arm_inputs(model, examples)[0], examples[0]
    row = up_to_reads(whole)
    assert row.clean == (*e.prompt, e.answer[0]) and row.corrupt == (*e.corrupt_prompt, e.corrupt_answer[0])
    assert (row.sites, row.part, row.weight) == (whole.sites, whole.part, whole.weight)
    assert row.sites[0].read == len(row.clean) - 1


@pytest.mark.parametrize("shifted", [True, False])
def test_mdm_steps_mask_what_is_not_yet_revealed(shifted: bool) -> None:
    model, examples = tiny.model("llama", causal=False, shifted=shifted), tiny.random_examples(1)
    e = examples[0]
    rows = mdm_inputs(model, examples, [((2,), (0,), (1,))])
    first, last = rows
    assert (first.part, last.part) == ("step-00", "step-02")  # the step that reveals t = 0 has no contrast
    assert first.clean == (*e.prompt, 3, 3, 3) and first.corrupt == (*e.corrupt_prompt, 3, 3, 3)
    assert last.clean == (*e.prompt, e.answer[0], 3, e.answer[2])
    assert last.corrupt == (*e.corrupt_prompt, e.corrupt_answer[0], 3, e.corrupt_answer[2])
    assert last.sites[0].target == e.start + 1 and last.sites[0].read == e.start + (0 if shifted else 1)


def test_all_sites_weigh_the_same_whatever_the_steps() -> None:
    model, examples = tiny.model("llama", causal=False), tiny.random_examples(2)
    for steps in (1, 2, 3):
        rows = mdm_inputs(model, examples, reveal_order(model, examples, "left-to-right", steps, 0))
        assert sum(row.weight * len(row.sites) for row in rows) == pytest.approx(2.0)
