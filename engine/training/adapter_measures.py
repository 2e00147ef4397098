"""What an adapted model can do on held-out problems, and what it makes of text that it was not trained on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.models.model import Model, wrap
from engine.tasks.accuracy import measure_accuracy
from engine.tasks.registry import TASKS
from engine.training.adapter_loss import Inputs, arm_inputs, causal, left_of
from engine.training.low_rank import AdaptedModel
from engine.training.mixture import Batch, plain_task

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

Shares = dict[str, dict[str, float]]  # by task: how many problems were asked, and the share of them that was solved

SLOW_SHARE = 4  # an MDM takes a step a token: of tasks with longer answers it solves so many times fewer problems
HALF = 0.5  # of the tokens of a text are masked
TOGETHER = 16  # rows


def solved_share(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, phase: str, n: int, seed: int) -> Shares:
    """What a model of `merged_model` solves of held-out problems. Uses up the model."""
    return shares_of(_wrapped(model, tokenizer, phase), n, seed)


def shares_of(read: Model, n: int, seed: int) -> Shares:
    """What a model solves of `n` held-out problems a task; an MDM is asked fewer of some (`SLOW_SHARE`)."""
    asked = {name: n if read.causal or task.parallel else max(1, n // SLOW_SHARE) for name, task in TASKS.items()}
    return {
        name: {"n": count, "solved": measure_accuracy(read, plain_task(name, read.tokenizer), count, seed)}
        for name, count in asked.items()
    }


def told(shares: Shares) -> str:
    return ", ".join(f"{name} {share['solved']:.1%} of {share['n']}" for name, share in shares.items())


def _wrapped(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, phase: str) -> Model:
    mask = model.config.vocab_size - 1  # the last row
    return wrap(model.eval(), tokenizer, causal=phase == "arm", shifted=True, mask_token=mask)


@torch.no_grad()
def merged_model(adapted: AdaptedModel, vector: Tensor, dtype: torch.dtype) -> LlamaForCausalLM:
    """The model of `AdaptedModel.weights` in plain modules."""
    from transformers import LlamaForCausalLM

    weights = {name: tensor.to(dtype) for name, tensor in adapted.weights(vector).items()}
    config = copy.deepcopy(adapted.model.config)
    config.vocab_size = adapted.mask_id + 1
    with torch.random.fork_rng():  # a new model draws weights, and training must not notice that it was measured
        model = LlamaForCausalLM(config)
    nn.Module.to(model, dtype).load_state_dict(weights)
    return model


@torch.no_grad()
def text_loss(adapted: AdaptedModel, text: Tensor, phase: str) -> float:
    """Mean cross-entropy a token: of every next one (ARM), or of a masked half, always the same one (MDM)."""
    total = 0.0
    for rows in text.split(TOGETHER):
        inputs = arm_inputs(Batch(rows, 1)) if phase == "arm" else _half_masked(rows, adapted.mask_id)
        logits = adapted.logits(inputs.ids, inputs.bias(adapted.embeddings.dtype), inputs.read)
        total += float(inputs.loss(logits)) * len(rows)
    return total / len(text)


def _half_masked(rows: Tensor, mask_id: int) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    length = rows.shape[1] - 1
    ranks = torch.rand(len(rows), length, generator=generator).argsort(1).argsort(1)
    masked = torch.zeros(rows.shape, dtype=torch.bool)
    masked[:, 1:] = ranks < round(HALF * length)
    count = int(masked.sum())
    allowed = torch.ones_like(causal(rows.shape[1]))
    weight = torch.full((count,), 1 / count)
    return Inputs(rows.masked_fill(masked, mask_id), allowed, left_of(masked), rows[masked], weight)
