"""Measure whether an MDM predicts a masked token at its own position or from the position before.

Dream, DiffuLLaMA and DiffuGPT do the latter, other recipes the former (METHOD, "Examples and readout sites"), and the
files of most models don't say. Both readings are tried on problems of a task with the whole answer masked: the one that
gives the right tokens clearly more probability is how the model was trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from engine.attribution.soundness import refuse_unsound
from engine.models.decoding import masked
from engine.models.encoding import Encoded, encode
from engine.models.model import Model
from engine.models.pair import Pair
from engine.models.shift_evidence import Readings
from engine.runs.compute import loaded
from engine.runs.lifecycle import ignore
from engine.runs.refusals import blamed
from engine.runs.spec import RunSpec
from engine.tasks.natural import variant_for
from engine.tasks.registry import available, examples, task_named

PROBLEMS = 32


def readings(pair: Pair, task: str, dtype: str) -> Readings:
    """How well the MDM of a pair predicts a task's answers under both readings.

    Raises:
        UserError: it does not load, its tokenizer cannot write the task, or its logits are no numbers.
    """
    model = loaded(pair, "mdm", dtype, ignore)
    asked = variant_for(task_named(task), pair.prompts, model.tokenizer)
    drawn = examples(asked, available(asked, PROBLEMS), RunSpec.seed)
    encoded = [encode(example, model.tokenizer) for example in drawn]
    with blamed(RunSpec(pair=pair.name, model="mdm", task=task), model):
        before, there = (_log_probability(replace(model, shifted=shifted), encoded) for shifted in (True, False))
    return Readings(before, there, -math.log(len(model.bridge.W_E)))


@torch.no_grad()
def _log_probability(model: Model, encoded: Sequence[Encoded]) -> float:
    """Mean over all answer tokens, each example by itself, as it happens once and needs no padding."""
    by_example = []
    for e in encoded:
        ids = masked(model, torch.tensor([e.prompt], device=model.device), len(e.answer))
        read = [model.read_position(e.start + t) for t in range(len(e.answer))]
        logits = model.logits(ids, at=read)[0].float()  # [answer, vocab]
        refuse_unsound(logits, "its logits")
        right = torch.tensor(e.answer, device=logits.device)
        by_example.append(logits.log_softmax(-1).gather(1, right[:, None])[:, 0])
    return float(torch.cat(by_example).mean())
