"""Tasks as plain text without worked examples, in tokenizers that cut words, numbers and spaces differently."""

from __future__ import annotations

import pytest

from engine.inspection.heads import token_roles
from engine.models.encoding import encode
from engine.tasks.accuracy import solves
from engine.tasks.base import END, OTHER, Task, split_of
from engine.tasks.countdown.embedded import LARGEST
from engine.tasks.natural import SHOT, variant_for
from engine.tasks.registry import TASKS, examples
from tests.tiny_tokenizers import KINDS, tokenizer_like

N = 30


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def plain(name: str, kind: str) -> Task:
    return variant_for(TASKS[name], "plain", tokenizer_like(kind))


@pytest.mark.parametrize("name", list(TASKS))
def test_examples_align_and_only_their_own_answers_solve_them(name: str, kind: str) -> None:
    tokenizer, task = tokenizer_like(kind), plain(name, kind)
    for example in examples(task, N, seed=0):
        ids = encode(example, tokenizer)
        own, corrupted = (tokenizer.convert_ids_to_tokens(list(a)) for a in (ids.answer, ids.corrupt_answer))
        assert solves(task, example, own, tokenizer) and not solves(task, example, corrupted, tokenizer)
        assert task.check(example.corrupt_prompt, example.corrupt_answer)
        assert split_of(example.content) == "heldout"


@pytest.mark.parametrize("name", list(TASKS))
def test_every_token_has_a_role_and_none_is_of_a_worked_example(name: str, kind: str) -> None:
    task, tokenizer = plain(name, kind), tokenizer_like(kind)
    for example in examples(task, 5, seed=1):
        prompt, answer = task.roles(example)
        assert SHOT not in prompt and len(prompt) == len(task.piece.findall(example.prompt))
        assert len(answer) == len(task.piece.findall(example.answer)) and prompt[-1] == END
        assert token_roles(task, example, encode(example, tokenizer), tokenizer)


def test_countdown_asks_the_problems_in_words_in_the_published_format(kind: str) -> None:
    for example in examples(plain("countdown", kind), N, seed=2):
        asked, output = example.prompt.split("\n")
        *operands, target = map(int, asked.removeprefix("Input: ").split(","))
        assert output == "Output:" and operands == sorted(operands, reverse=True)
        words = f"make {target} from {' '.join(map(str, operands))} :"
        in_words = example.answer.replace(",", " ; ")
        for sign in "+-*/=":
            in_words = in_words.replace(sign, f" {sign} ")
        assert TASKS["countdown"].check(words, in_words)
        assert max(map(int, in_words.replace(";", "=").replace("=", " ").translate(_SIGNS).split())) <= LARGEST
    roles = plain("countdown", kind).roles(examples(plain("countdown", kind), 1, seed=2)[0])[0]
    assert roles[:2] == [OTHER, OTHER] and roles.count("target") == 2


_SIGNS = str.maketrans("+-*/", "    ")


def test_sudoku_is_the_grid_alone(kind: str) -> None:
    example = examples(plain("sudoku", kind), 1, seed=3)[0]
    assert example.prompt.startswith("Input:\n") and example.prompt.endswith("\nOutput:")
    assert len("".join(example.prompt.split())) == len("Input:Output:") + 16


def test_tasks_without_worked_examples_are_the_same() -> None:
    tokenizer = tokenizer_like("qwen")
    for name in ("ioi", "greater_than"):
        both = (variant_for(TASKS[name], prompts, tokenizer) for prompts in ("plain", "natural"))
        first, second = (examples(task, 10, seed=0) for task in both)
        assert first == second
