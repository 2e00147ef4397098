"""A template is drawn alone, aligned with its corrupted prompts, and different from the others; 0 is what it was."""

from __future__ import annotations

import hashlib
import re
from functools import cache

import pytest
from transformers import PreTrainedTokenizerBase

from engine.errors import UserError
from engine.inspection.heads import token_roles
from engine.models.encoding import encode
from engine.tasks.base import END, Task
from engine.tasks.natural import as_written, variant_for
from engine.tasks.registry import TASKS, examples
from engine.tasks.templates import of_template, texts_of
from engine.training.word_tokenizer import build_tokenizer
from tests.tiny_tokenizers import KINDS, tokenizer_like

NAMES = ("ioi", "greater_than")
N, FEW = 40, 12
KNOWN = {  # of the first 40 usual examples of seed 1, as they were before templates could be chosen
    ("ioi", "words"): "b3a0aa96e6a54ef9",
    ("ioi", "gpt2"): "c044092ac9e19af7",
    ("ioi", "qwen"): "c044092ac9e19af7",
    ("ioi", "llama"): "c044092ac9e19af7",
    ("greater_than", "words"): "a69afa415e7a755e",
    ("greater_than", "gpt2"): "cd67e655c95181f4",
    ("greater_than", "qwen"): "ebb126bf09a690c0",
    ("greater_than", "llama"): "ebb126bf09a690c0",
}


def tokenizer_of(kind: str) -> PreTrainedTokenizerBase:
    return build_tokenizer() if kind == "words" else tokenizer_like(kind)


def in_template(name: str, number: int, kind: str) -> Task:
    return of_template(usual(name, kind), number)


@cache
def usual(name: str, kind: str) -> Task:
    return variant_for(TASKS[name], None, tokenizer_of(kind))


def digest(task: Task) -> str:
    lines = (f"{e.prompt}|{e.answer}|{e.corrupt_prompt}|{e.corrupt_answer}|{e.content}" for e in examples(task, N, 1))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize("kind", ["words", *KINDS])
@pytest.mark.parametrize("name", NAMES)
def test_the_usual_prompts_are_what_they_were(name: str, kind: str) -> None:
    known = KNOWN[name, kind]
    assert digest(in_template(name, 0, kind)) == known
    assert of_template(TASKS[name], 0) is TASKS[name]
    of_template(TASKS[name], 3)
    assert digest(in_template(name, 0, kind)) == known  # nothing of the choice stays with the task


@pytest.mark.parametrize("name", NAMES)
def test_the_natural_form_of_a_template_is_the_template_of_the_natural_form(name: str) -> None:
    natural = variant_for(of_template(TASKS[name], 3), None, tokenizer_of("gpt2"))
    assert (
        examples(natural, 5, 1) == examples(in_template(name, 3, "gpt2"), 5, 1) != examples(usual(name, "gpt2"), 5, 1)
    )


@pytest.mark.parametrize("kind", ["words", *KINDS])
@pytest.mark.parametrize("name", NAMES)
def test_every_template_is_drawn_alone_and_aligned(name: str, kind: str) -> None:
    tokenizer, texts = tokenizer_of(kind), texts_of(TASKS[name])
    assert len(texts) >= 4
    seen: set[str] = set()
    for number, text in enumerate(texts, 1):
        task = in_template(name, number, kind)
        drawn = examples(task, FEW, 1)
        written = text if kind == "words" else as_written(text.replace("{century} {start}", "{century}{start}"))
        wording = re.compile(re.sub(r"\\\{\w+\\\}", r"(\\w+)", re.escape(written)))
        assert all(wording.fullmatch(prompt) for e in drawn for prompt in (e.prompt, e.corrupt_prompt))
        prompts = {e.prompt for e in drawn}
        assert len(prompts) == FEW and not prompts & seen
        seen |= prompts
        for e in drawn:
            ids = encode(e, tokenizer)
            assert (len(ids.prompt), len(ids.answer)) == (len(ids.corrupt_prompt), len(ids.corrupt_answer))
            assert ids.contrasts and tokenizer.unk_token_id not in ids.prompt + ids.answer
            assert task.check(e.prompt, e.answer) and not task.check(e.prompt, e.corrupt_answer)
            assert task.check(e.corrupt_prompt, e.corrupt_answer)


@pytest.mark.parametrize("kind", ["words", *KINDS])
@pytest.mark.parametrize("number", range(1, 7))
def test_roles_of_greater_than_stand_where_the_template_has_them(number: int, kind: str) -> None:
    task, tokenizer = in_template("greater_than", number, kind), tokenizer_of(kind)
    for e in examples(task, 5, 1):
        ids = encode(e, tokenizer)
        roles, answer = token_roles(task, e, ids, tokenizer)
        tokens = [token.strip("Ġ▁") for token in tokenizer.convert_ids_to_tokens(list(ids.prompt))]
        by_role = {role: "".join(t for t, own in zip(tokens, roles, strict=True) if own == role) for role in set(roles)}
        noun, century, start = e.content.split("/")[1:]
        assert by_role["noun"] == noun
        assert by_role["start century"] + by_role["start year"] == f"{century}{int(start):02d}"
        assert by_role[END] == century and set(answer) == {"answer"}


def test_what_is_held_out_of_greater_than_is_so_in_every_template() -> None:
    drawn = [[e.content for e in examples(in_template("greater_than", n, "words"), N, 1)] for n in range(7)]
    assert all(contents == drawn[0] for contents in drawn)


@pytest.mark.parametrize(
    ("name", "number", "why"),
    [
        ("ioi", 7, "has templates 1 to 6. Choose one of these, or 0 for its usual prompts."),
        ("greater_than", -1, "has templates 1 to 6. Choose one of these"),
        ("countdown", 1, "has no templates to choose from. Leave it at 0."),
        ("sudoku", 2, "has no templates to choose from. Leave it at 0."),
    ],
)
def test_a_template_that_a_task_does_not_have_is_refused(name: str, number: int, why: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"template is {number}, but {TASKS[name].title} {why}")):
        of_template(TASKS[name], number)
    assert of_template(TASKS[name], 0) is TASKS[name]
