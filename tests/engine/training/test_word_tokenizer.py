"""The embedded pair's tokenizer: a word a token, in one order for ever, as the shipped models have it."""

from __future__ import annotations

import json

import pytest

from engine import settings
from engine.tasks.registry import TASKS, examples
from engine.training.word_tokenizer import BOS, SPECIALS, UNKNOWN, build_tokenizer, vocabulary


def test_special_tokens_come_first_and_ids_have_no_gaps() -> None:
    words = vocabulary()
    assert tuple(words)[: len(SPECIALS)] == SPECIALS
    assert list(words.values()) == list(range(len(words)))


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_word_of_a_task_is_a_token(task: object) -> None:
    tokenizer = build_tokenizer()
    for example in examples(task, 8, seed=0):
        ids = tokenizer(f"{example.prompt} {example.answer}").input_ids
        assert tokenizer.convert_ids_to_tokens(ids) == [BOS, *example.prompt.split(), *example.answer.split()]


def test_other_words_are_unknown() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.convert_ids_to_tokens(tokenizer("Mary xylophone").input_ids) == [BOS, "Mary", UNKNOWN]


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_the_shipped_models_have_this_tokenizer(model: str) -> None:
    shipped = json.loads((settings.MODELS / "embedded" / model / "tokenizer.json").read_text())
    assert shipped["model"]["vocab"] == vocabulary()
