"""Encoded examples: prompts and answers in tokens, aligned with the corrupted ones, or a sentence that says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import UserError
from engine.models.encoding import Encoded, encode, prompt_places, puts_space, spell
from engine.models.example import Example
from engine.tasks.registry import TASKS, examples
from engine.training.word_tokenizer import build_tokenizer
from tests.tiny_tokenizers import KINDS, capitals, ends_too, tokenizer_like

WORDS = build_tokenizer()
EXAMPLE = examples(TASKS["ioi"], 1, seed=0)[0]


def test_contrasts_are_where_the_answers_differ() -> None:
    encoded = Encoded((1, 2, 3), (4, 5, 6), (1, 9, 3), (4, 7, 8))
    assert encoded.contrasts == [1, 2] and encoded.start == 3


@pytest.mark.parametrize("name", TASKS)
def test_an_encoded_example_is_its_words_and_aligned(name: str) -> None:
    for example in examples(TASKS[name], 10, seed=1):
        encoded = encode(example, WORDS)
        assert WORDS.convert_ids_to_tokens(list(encoded.prompt)) == ["<bos>", *example.prompt.split()]
        assert WORDS.convert_ids_to_tokens(list(encoded.answer)) == example.answer.split()
        assert len(encoded.prompt) == len(encoded.corrupt_prompt)
        assert len(encoded.answer) == len(encoded.corrupt_answer)
        assert encoded.contrasts
        assert WORDS.convert_ids_to_tokens(list(encoded.right)) == list(example.right)


@pytest.mark.parametrize("kind", KINDS)
def test_spans_are_the_characters_of_every_token(kind: str) -> None:
    """Read one after the other they give both texts again, spaces aside."""
    tokenizer = tokenizer_like(kind)
    prompt, answer = "When Mary went to the store", "Mary"
    both = spell(prompt, answer, " ", tokenizer)
    text = f"{prompt} {answer}"
    assert both.prompt + both.answer == tuple(tokenizer(text).input_ids)
    for ids, spans, part in ((both.prompt, both.prompt_spans, prompt), (both.answer, both.answer_spans, answer)):
        assert len(ids) == len(spans)
        assert "".join(part[start:end] for start, end in spans).replace(" ", "") == part.replace(" ", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_joined_answer_begins_with_the_first_token_that_holds_one_of_its_characters(kind: str) -> None:
    tokenizer = tokenizer_like(kind)
    both = spell("When", "went", " ", tokenizer)
    assert tokenizer.decode(list(both.answer)).strip() == "went"
    assert tokenizer.decode(list(both.prompt), skip_special_tokens=True).strip() == "When"


def test_an_answer_that_runs_together_with_its_prompt_is_refused() -> None:
    with pytest.raises(UserError, match=r"answer 'berry' runs together with its prompt 'a straw' in this tokenizer"):
        spell("a straw", "berry", "", capitals())


def test_what_a_tokenizer_puts_behind_a_prompt_is_left_out() -> None:
    tokenizer = ends_too()
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert tokenizer("When Mary").input_ids[-1] == end
    apart = spell("When Mary", " went", None, tokenizer)
    assert end not in apart.prompt + apart.answer
    assert tokenizer.decode(list(apart.prompt + apart.answer)) == "When Mary went"


@pytest.mark.parametrize(
    ("ids", "added", "places"),
    [
        ([1, 7, 8], [1, 0, 0], [0, 1, 2]),  # a token before the text
        ([1, 7, 8, 2], [1, 0, 0, 1], [0, 1, 2]),  # and one behind it
        ([1, 1, 7], [1, 0, 0], [0, 2]),  # written by hand as well: not twice
        ([1, 3, 1, 3, 7], [1, 1, 0, 0, 0], [0, 1, 4]),
        ([7, 7], [0, 0], [0, 1]),  # nothing is put around it
        ([1, 2], [1, 1], []),  # an empty text
    ],
)
def test_places_of_a_prompts_own_tokens(ids: list[int], added: list[int], places: list[int]) -> None:
    assert prompt_places(ids, added) == places


def test_a_space_before_every_text_is_known_by_its_sign() -> None:
    assert puts_space("▁a") and puts_space("Ġa")
    assert not puts_space("a") and not puts_space(None) and not puts_space("")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt": "Xyzzy plugh"}, r"The tokenizer does not know 'Xyzzy', 'plugh' in 'Xyzzy plugh'"),
        ({"corrupt_answer": "xyzzy"}, r"The tokenizer does not know 'xyzzy' in 'xyzzy'"),
        (
            {"corrupt_prompt": "went"},
            r"The prompt .* is \d+ tokens but the corrupted prompt 'went' is 2; they must align token by token",
        ),
        (
            {"corrupt_answer": "went went"},
            r"The answer .* is 1 tokens but the corrupted answer 'went went' is 2; they must align",
        ),
        ({"corrupt_answer": EXAMPLE.answer}, r"has the same answer .*: nothing to compare"),
    ],
    ids=["unknown in the prompt", "unknown in the corrupted answer", "prompts", "answers", "equal answers"],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(changed: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        encode(replace(EXAMPLE, **changed), WORDS)


def test_candidates_that_begin_alike_are_refused() -> None:
    tokenizer = tokenizer_like("qwen")  # digits alone
    example = Example("in 19", "17", "in 19", "27", "years", right=("17", "18"), wrong=("16",), join="")
    with pytest.raises(UserError, match="Right and wrong answers to 'in 19' begin with the same tokens"):
        encode(example, tokenizer)
