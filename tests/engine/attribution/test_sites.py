"""What is read where, and the order in which an MDM reveals."""

from __future__ import annotations

import pytest
import torch

from engine.attribution.sites import arm_inputs, mdm_inputs
from engine.models.decoding import decode, reveal_order, step_sizes
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


def test_step_sizes_spread_all_positions() -> None:
    assert step_sizes(11, 4) == [3, 3, 3, 2]
    assert step_sizes(5, 5) == [1] * 5 and step_sizes(4, 1) == [4]


def test_orders_are_permutations_and_random_follows_its_seed() -> None:
    model, examples = tiny.model("qwen2", causal=False), tiny.random_examples(4)
    for name in ("confidence", "left-to-right", "random"):
        for order in reveal_order(model, examples, name, 3, seed=1):
            assert sorted(t for step in order for t in step) == [0, 1, 2]
    assert reveal_order(model, examples, "left-to-right", 3, 0)[0] == ((0,), (1,), (2,))
    draws = {str(reveal_order(model, examples, "random", 3, seed)) for seed in range(6)}
    assert len(draws) > 1
    assert reveal_order(model, examples, "random", 3, 5) == reveal_order(model, examples, "random", 3, 5)


def test_confidence_order_follows_the_models_top_probability_step_by_step() -> None:
    """Brute force, one example at a time, revealing the clean token each time."""
    model, examples = tiny.model("qwen2", causal=False), tiny.random_examples(3)
    for e, order in zip(examples, reveal_order(model, examples, "confidence", 3, 0), strict=True):
        tokens = [*e.prompt, 3, 3, 3]
        for (revealed,) in order:
            probability = model.logits(torch.tensor([tokens]))[0].clone()
            probability[:, 3] = -torch.inf
            top = probability.softmax(-1).amax(-1)
            hidden = [t for t in range(3) if tokens[e.start + t] == 3]
            assert revealed == max(hidden, key=lambda t: float(top[e.start + t - 1]))
            tokens[e.start + revealed] = e.answer[revealed]


def test_greedy_decoding_equals_one_token_at_a_time() -> None:
    model = tiny.model("gpt2", causal=True)
    prompts = [e.prompt for e in tiny.random_examples(4)]
    for prompt, answer in zip(prompts, decode(model, prompts, 3, steps=3), strict=True):
        tokens = list(prompt)
        for token in answer:
            assert int(model.logits(torch.tensor([tokens]))[0, -1].argmax()) == token
            tokens.append(token)


def test_denoising_writes_the_most_confident_first_and_never_the_mask() -> None:
    model = tiny.model("llama", causal=False)
    prompts = [e.prompt for e in tiny.random_examples(4)]
    for prompt, answer in zip(prompts, decode(model, prompts, 4, steps=4), strict=True):
        assert 3 not in answer
        tokens = [*prompt, 3, 3, 3, 3]
        for _ in range(4):
            logits = model.logits(torch.tensor([tokens]))[0].clone()
            logits[:, 3] = -torch.inf
            best = logits.softmax(-1).max(-1)
            hidden = [i for i in range(len(prompt), len(tokens)) if tokens[i] == 3]
            pick = max(hidden, key=lambda i: float(best.values[i - 1]))
            tokens[pick] = int(best.indices[pick - 1])
        assert tuple(tokens[len(prompt) :]) == answer
