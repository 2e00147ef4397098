"""Measurements of adapted models against others written out, and that they change nothing."""

from __future__ import annotations

import pytest
import torch

from engine.tasks.registry import TASKS
from engine.training.adapter_loss import causal
from engine.training.adapter_measures import SLOW_SHARE, merged_model, solved_share, text_loss
from tests.engine.training.tiny_llama import adapted, tokenizer

TEXT = torch.randint(100, (20, 8), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_text_loss_of_an_arm_is_the_mean_surprise_of_next_tokens() -> None:
    made = adapted()
    logits = merged_model(made, made.vector.detach(), torch.float32)(input_ids=TEXT).logits[..., : made.mask_id]
    surprises = -logits.log_softmax(-1)[:, :-1].gather(-1, TEXT[:, 1:, None])
    assert text_loss(made, TEXT, "arm") == pytest.approx(float(surprises.mean()), rel=1e-5)


@torch.no_grad()
def test_text_loss_of_an_mdm_asks_the_same_half_of_the_tokens_each_time_and_reads_all() -> None:
    made = adapted()
    first = text_loss(made, TEXT, "mdm")
    assert text_loss(made, TEXT, "mdm") == first
    bias = torch.zeros(1, 1, 8, 8)
    read = torch.ones(1, 8, dtype=torch.bool)
    changed = TEXT[:1].clone()
    changed[0, -1] += 1
    for hidden, alike in ((torch.zeros(8, 8, dtype=torch.bool), False), (~causal(8), True)):
        before, after = (made.logits(ids, bias.masked_fill(hidden, -1e9), read)[0] for ids in (TEXT[:1], changed))
        assert torch.allclose(before, after) == alike


@pytest.mark.parametrize("phase", ["arm", "mdm"])
def test_shares_are_of_as_many_problems_as_they_say_and_draw_no_numbers(phase: str) -> None:
    made = adapted()
    state = torch.random.get_rng_state()
    model = merged_model(made, made.vector.detach(), torch.float32)
    shares = solved_share(model, tokenizer(), phase, 8, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    few = 8 // SLOW_SHARE if phase == "mdm" else 8
    assert {name: share["n"] for name, share in shares.items()} == {
        name: 8 if task.parallel else few for name, task in TASKS.items()
    }
    assert all(0 <= share["solved"] <= 1 for share in shares.values())
