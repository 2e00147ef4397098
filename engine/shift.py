"""Does an MDM of unknown make predict a masked token where it stands, or from the position before?

Dream, DiffuLLaMA and DiffuGPT do the latter, other recipes the former (METHOD, "Examples and readout sites"), and the
files of most models don't say. Both readings are tried on problems of a task with the whole answer masked: the one that
gives the right tokens clearly more probability is how the model was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from engine.compute import loaded
from engine.denoise import masked
from engine.encoding import Encoded, encode
from engine.models import Model
from engine.pairs import pair_named
from engine.pipeline import ignore
from engine.soundness import blamed, refuse_unsound
from engine.spec import RunSpec
from engine.tasks import available, examples, spoken, task_named

PROBLEMS = 32
CLEAR = 0.2  # nats a token: a model that was never trained is below it


@dataclass(frozen=True)
class Readings:
    """Mean log-probability of the right tokens, in nats a token, under both readings."""

    before: float  # read from the position before: shifted
    there: float

    @property
    def shifted(self) -> bool | None:
        """None where neither reading is clearly better."""
        return None if abs(self.before - self.there) < CLEAR else self.before > self.there


def readings(pair: str, task: str, dtype: str) -> Readings:
    """How well the MDM of a pair predicts a task's answers under both readings.

    Raises:
        UserError: it does not load, its tokenizer cannot speak the task, or its logits are no numbers.
    """
    spec = RunSpec(pair=pair, model="mdm", task=task, dtype=dtype)
    model = loaded(spec, ignore)
    asked = spoken(task_named(task), pair_named(pair).prompts, model.tokenizer)
    drawn = examples(asked, available(asked, PROBLEMS), spec.seed)
    encoded = [encode(example, model.tokenizer) for example in drawn]
    with blamed(spec, model):
        before, there = (_log_probability(replace(model, shifted=shifted), encoded) for shifted in (True, False))
    return Readings(before, there)


@torch.no_grad()
def _log_probability(model: Model, encoded: Sequence[Encoded]) -> float:
    """Mean over all answer tokens, each example by itself, as it happens once and needs no padding."""
    found = []
    for e in encoded:
        ids = masked(model, torch.tensor([e.prompt], device=model.device), len(e.answer))
        read = [model.read_position(e.start + t) for t in range(len(e.answer))]
        logits = model.logits(ids, at=read)[0].float()  # [answer, vocab]
        refuse_unsound(logits, "its logits")
        right = torch.tensor(e.answer, device=logits.device)
        found.append(logits.log_softmax(-1).gather(1, right[:, None])[:, 0])
    return float(torch.cat(found).mean())
