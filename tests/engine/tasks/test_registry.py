"""What every task provides: solved examples, aligned corrupted examples, a checker that refuses, a split that holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.example import Example
from engine.tasks import ioi
from engine.tasks.base import Split, Task, split_of
from engine.tasks.registry import TASKS, task_named
from engine.training.word_tokenizer import SPECIALS, UNKNOWN, build_tokenizer, vocabulary
from tests.engine.tasks.conftest import DRAWN, drawn

ROOT = Path(__file__).parents[3]


def problem_of(name: str, prompt: str) -> object:
    """What makes a prompt the problem it is, read from its words alone."""
    words = prompt.split()
    if name == "ioi":
        people = [word for word in words if word in ioi.NAMES]
        slots = {*people, *ioi.PLACES, *ioi.OBJECTS}
        return tuple("_" if word in slots else word for word in words), frozenset(people)
    if name == "countdown":
        target, *operands = (int(word) for word in words if word.isdecimal())
        return target, tuple(sorted(operands))
    return prompt


def test_every_example_and_corrupted_example_is_solved_by_its_checker(task: Task, sampled: list[Example]) -> None:
    assert len(sampled) == DRAWN
    for e in sampled:
        assert task.check(e.prompt, e.answer), e
        assert task.check(e.corrupt_prompt, e.corrupt_answer), e


def test_the_corrupted_answer_is_wrong_for_the_clean_prompt(task: Task, sampled: list[Example]) -> None:
    for e in sampled:
        assert e.prompt != e.corrupt_prompt
        assert e.answer != e.corrupt_answer
        assert not task.check(e.prompt, e.corrupt_answer), e


def test_corrupted_examples_are_token_aligned_and_every_word_is_one_token(task: Task, sampled: list[Example]) -> None:
    tokenizer, unknown = build_tokenizer(), vocabulary()[UNKNOWN]
    fields = ("prompt", "corrupt_prompt", "answer", "corrupt_answer")
    lengths = {}
    for field in fields:
        encoded = tokenizer([getattr(e, field) for e in sampled])["input_ids"]
        lengths[field] = [len(ids) for ids in encoded]
        assert all(unknown not in ids for ids in encoded)
        assert lengths[field] == [1 + len(getattr(e, field).split()) for e in sampled]  # <bos> and one a word
    assert lengths["prompt"] == lengths["corrupt_prompt"]
    assert lengths["answer"] == lengths["corrupt_answer"]


def test_no_heldout_problem_is_in_training(task: Task) -> None:
    heldout = {problem_of(task.name, e.prompt) for e in drawn(task.name, "heldout")}
    training = {problem_of(task.name, e.prompt) for seed in (0, 7) for e in drawn(task.name, "train", seed)}
    assert not heldout & training
    assert len(heldout) > 100


def test_checkers_refuse_what_is_no_answer(task: Task) -> None:
    for e in drawn(task.name, "heldout")[:200]:
        words = e.answer.split()
        broken = ["", UNKNOWN, "<mask>", " ".join(words[:-1]), e.answer + " " + words[-1], e.answer + " ;"]
        broken += [" ".join([*words[:i], "<mask>", *words[i + 1 :]]) for i in range(len(words))]
        for answer in broken:
            assert not task.check(e.prompt, answer), (e, answer)


def test_tasks_are_found_by_name(task: Task) -> None:
    assert task_named(task.name) is task
    assert task.family in ("prefix-dominant", "globally constrained")


def test_an_unknown_task_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(UserError, match=r"'chess'.*ioi, greater_than, countdown, sudoku"):
        task_named("chess")


def test_the_vocabulary_holds_every_word_once() -> None:
    vocab = vocabulary()
    assert list(vocab.values()) == list(range(len(vocab)))
    assert tuple(vocab)[: len(SPECIALS)] == SPECIALS
    assert not any(re.search(r"\s", word) or not word for word in vocab)
    for task in TASKS.values():
        assert set(task.words()) <= set(vocab)


def test_the_tokenizer_survives_saving(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = build_tokenizer()
    made.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for name in TASKS:
        for e in drawn(name, "heldout")[:50]:
            text = f"{e.prompt} {e.answer}"
            ids = loaded(text)["input_ids"]
            assert ids == made(text)["input_ids"]
            assert loaded.decode(ids, skip_special_tokens=True) == text
    assert loaded.get_vocab() == vocabulary()
    assert (loaded.pad_token, loaded.bos_token, loaded.unk_token, loaded.mask_token) == SPECIALS
    assert loaded("<mask>", add_special_tokens=False)["input_ids"] == [loaded.mask_token_id]


def test_the_split_is_a_property_of_the_content(task: Task, split: Split, sampled: list[Example]) -> None:
    assert {split_of(e.content) for e in sampled} == {split}
    content_of = {problem_of(task.name, e.prompt): e.content for e in sampled}
    assert all(content_of[problem_of(task.name, e.prompt)] == e.content for e in sampled)
    assert len(set(content_of.values())) == len(content_of)
