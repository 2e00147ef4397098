"""Sampled text: a function of its seed, drawn from the model's own distribution."""

from __future__ import annotations

import torch

from engine.training.self_text import sampled_text
from tests.engine.training.tiny_llama import tiny_llama


def test_text_begins_as_asked_and_depends_on_the_seed() -> None:
    model = tiny_llama()
    text = sampled_text(model, 3, rows=130, length=7, seed=0)
    assert text.shape == (130, 7) and (text[:, 0] == 3).all()
    assert torch.equal(text, sampled_text(model, 3, 130, 7, 0))
    assert not torch.equal(text, sampled_text(model, 3, 130, 7, 1))


@torch.no_grad()
def test_tokens_come_as_often_as_the_model_says() -> None:
    model = tiny_llama()
    model.lm_head.weight.mul_(40)  # a distribution that is far from uniform
    text = sampled_text(model, 3, rows=4000, length=3, seed=0)
    first = model(torch.tensor([[3]])).logits[0, -1].softmax(0)
    shares = torch.bincount(text[:, 1], minlength=len(first)) / len(text)
    assert first.max() > 0.02 and (shares - first).abs().max() < 0.03
    common = int(text[:, 1].mode().values)
    then = text[text[:, 1] == common, 2]
    second = model(torch.tensor([[3, common]])).logits[0, -1].softmax(0)
    error = (second * (1 - second) / len(then)).sqrt()
    assert ((torch.bincount(then, minlength=len(second)) / len(then) - second).abs() < 5 * error + 1 / len(then)).all()
