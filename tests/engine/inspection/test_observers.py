"""The survey shows every distinct clean input once, as the model alone sees it."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from engine.attribution.sites import arm_inputs, mdm_inputs
from engine.inspection import observers
from engine.inspection.observers import Batch, Input, detailed_inputs, input_table, inputs_of, survey
from engine.models.activation_cache import ActivationCache, recording
from tests import tiny

HOOKS = ("blocks.1.mlp.hook_post", "ln_final.hook_in")
LENGTHS = (5, 9, 7)


class Keeper:
    """Keeps every input's recorded values without padding."""

    hooks = HOOKS

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()
        self.values: dict[int, dict[str, torch.Tensor]] = {}
        self.batches = 0

    def observe(self, batch: Batch, cache: ActivationCache) -> None:
        self.batches += 1
        for i, number in enumerate(batch.numbers):
            self.times[number] += 1
            assert tuple(batch.ids[i, batch.real[i]].tolist()) == batch.inputs[i].ids
            self.values[number] = {name: cache[name][i, batch.real[i]].clone() for name in HOOKS}


def test_an_arm_has_one_input_an_example_with_all_its_reads() -> None:
    model, examples = tiny.model("llama", causal=True), tiny.random_examples(3)
    inputs = inputs_of(arm_inputs(model, examples), examples)
    assert [item.example for item in inputs] == [0, 1, 2]
    for item, example in zip(inputs, examples, strict=True):
        assert item.ids == example.prompt + example.answer and item.start == len(example.prompt)
        assert item.reads == tuple(example.start + t - 1 for t in example.contrasts)
        assert item.part == f"site-{example.contrasts[0]:02d}"


def test_an_mdm_has_one_input_a_step() -> None:
    model, examples = tiny.model("llama", causal=False), tiny.random_examples(2)
    rows = mdm_inputs(model, examples, [((2,), (0,), (1,)), ((1,), (2,), (0,))])
    inputs = inputs_of(rows, examples)
    assert [(item.example, item.part) for item in inputs] == [
        (0, "step-00"),
        (0, "step-02"),
        (1, "step-00"),
        (1, "step-01"),
    ]
    assert [item.reads for item in inputs] == [tuple(site.read for site in row.sites) for row in rows]
    assert [item.ids for item in inputs] == [row.clean for row in rows]


def test_kept_are_six_examples_or_three_steps_of_three() -> None:
    def input_of(example: int, step: int) -> Input:
        return Input(example, f"step-{step:02d}", (step,), 0, (0,))

    assert detailed_inputs([input_of(example, 0) for example in range(9)]) == [0, 1, 2, 3, 4, 5]
    steps = [input_of(example, step) for example in range(5) for step in range(4)]
    assert detailed_inputs(steps) == [0, 2, 3, 4, 6, 7, 8, 10, 11]
    assert detailed_inputs([input_of(0, 0)]) == [0]


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_every_input_is_shown_once_as_if_it_ran_alone(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "TOKENS", 30)
    model, examples = tiny.model("qwen2", causal), tiny.random_examples(5, lengths=LENGTHS)
    inputs = inputs_of(tiny.rows_of(model, examples), examples)
    keeper, done = Keeper(), []
    survey(model, inputs, [keeper], on_inputs=done.append)
    assert keeper.times == Counter(range(len(inputs)))
    assert keeper.batches > 1 and done[-1] == len(inputs) and done == sorted(done)
    for number, item in enumerate(inputs):
        with recording(model, HOOKS) as cache, torch.no_grad():
            model.logits(torch.tensor([item.ids]))
        for name in HOOKS:
            torch.testing.assert_close(keeper.values[number][name], cache[name][0], rtol=1e-4, atol=1e-5)


def test_what_examples_share_runs_once_and_is_shown_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "TOKENS", 30)
    model, examples = tiny.model("llama", causal=True), tiny.random_examples(5, lengths=LENGTHS)
    repeated = [*examples, *examples[:2], examples[0]]
    inputs = inputs_of(arm_inputs(model, repeated), repeated)
    ran: list[tuple[int, ...]] = []
    pad = observers.padded
    monkeypatch.setattr(observers, "padded", lambda of, chosen: ran.extend(chosen) or pad(of, chosen))
    keeper, done = Keeper(), []
    survey(model, inputs, [keeper], on_inputs=done.append)
    assert len(inputs) == 8 and len(ran) == len(set(ran)) == 5
    assert keeper.times == Counter(range(8)) and done[-1] == 8
    for number, original in ((5, 0), (6, 1), (7, 0)):
        for name in HOOKS:
            assert torch.equal(keeper.values[number][name], keeper.values[original][name])


def test_every_observer_sees_every_batch_with_its_own_hooks() -> None:
    model, examples = tiny.model("gpt2", causal=True), tiny.random_examples(2)
    inputs = inputs_of(tiny.rows_of(model, examples), examples)
    first, second = Keeper(), Keeper()
    second.hooks = ("blocks.0.hook_resid_pre", *HOOKS)  # type: ignore[assignment]
    survey(model, inputs, [first, second])
    assert first.times == second.times == Counter(range(2))


def test_the_table_of_kept_inputs() -> None:
    model, examples = tiny.model("llama", causal=True), tiny.random_examples(2, lengths=(5, 9))
    inputs = inputs_of(tiny.rows_of(model, examples), examples)
    roles = [["prompt"] * item.start + ["answer"] * 3 for item in inputs]
    rows = input_table(model, inputs, roles).to_pylist()
    for number, (row, item) in enumerate(zip(rows, inputs, strict=True)):
        assert row == {
            "input": number,
            "example": item.example,
            "part": item.part,
            "tokens": model.tokenizer.convert_ids_to_tokens(list(item.ids)),
            "roles": roles[number],
            "start": item.start,
        }
