"""How an MDM whose files don't say reads: measured by its answers."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.models.pairs import pair_named
from engine.runs.detect_shift import PROBLEMS, readings
from engine.tasks.registry import TASKS, examples


def test_the_readings_are_those_of_the_plain_model() -> None:
    pair = pair_named("embedded")
    plain, tokenizer = (
        AutoModelForCausalLM.from_pretrained(pair.folder("mdm")),
        AutoTokenizer.from_pretrained(pair.folder("mdm")),
    )
    plain.config.is_causal = False
    before, there = [], []
    for example in examples(TASKS["ioi"], PROBLEMS, 0):
        ids = [*tokenizer(example.prompt).input_ids, tokenizer.convert_tokens_to_ids("<mask>")]
        with torch.no_grad():
            likely = plain(torch.tensor([ids])).logits[0].log_softmax(-1)
        answer = tokenizer.convert_tokens_to_ids(example.answer)
        before.append(float(likely[-2, answer]))
        there.append(float(likely[-1, answer]))
    measured = readings(pair, "ioi", "float32")
    assert measured.before == pytest.approx(sum(before) / PROBLEMS, abs=1e-4)
    assert measured.there == pytest.approx(sum(there) / PROBLEMS, abs=1e-4)
    assert measured.guess == pytest.approx(-math.log(len(tokenizer)), abs=0.2)
    assert measured.shifted is True
