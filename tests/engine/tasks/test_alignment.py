"""Two texts aligned token by token: every token once, in its order, and what has no counterpart named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.light_tokenizer import Token
from engine.tasks.alignment import LONGEST_ALIGNED, align, unaligned


@settings(max_examples=200, deadline=None)
@given(clean=st.lists(st.integers(0, 3), max_size=8), corrupted=st.lists(st.integers(0, 3), max_size=8))
def test_alignment_keeps_every_token_in_its_order(clean: list[int], corrupted: list[int]) -> None:
    sides = [[Token(i, str(i)) for i in side] for side in (clean, corrupted)]
    columns = align(*sides)
    assert [c.clean.id for c in columns if c.clean] == clean
    assert [c.corrupted.id for c in columns if c.corrupted] == corrupted
    assert all(c.clean or c.corrupted for c in columns)
    if len(clean) == len(corrupted):
        assert len(columns) == len(clean)


def tokens(text: str) -> list[Token]:
    """A token a word, numbered by its first letter; one in capitals is unknown, which is always token 0."""
    return [
        Token(0, word, known=False) if word.isupper() else Token(sum(map(ord, word)), word) for word in text.split()
    ]


def test_as_many_tokens_are_aligned_by_place() -> None:
    columns = align(tokens("a b c"), tokens("a c b"))
    assert [column.kind for column in columns] == ["same", "changed", "changed"]


def test_a_token_too_many_is_alone_and_the_rest_stays_aligned() -> None:
    columns = align(tokens("a b c d"), tokens("a c d"))
    assert [column.kind for column in columns] == ["same", "alone", "same", "same"]
    assert columns[1].clean is not None and columns[1].clean.text == "b" and columns[1].corrupted is None


def test_unknown_words_are_one_token_but_the_same_only_if_written_alike() -> None:
    assert [column.kind for column in align(tokens("X X"), tokens("X Y"))] == ["same", "changed"]


def test_longer_texts_than_are_read_are_aligned_by_place() -> None:
    word = tokens("a")
    columns = align(word * (LONGEST_ALIGNED + 2), tokens("b") + word * LONGEST_ALIGNED)
    assert [column.kind for column in columns] == ["changed", *["same"] * LONGEST_ALIGNED, "alone"]


@pytest.mark.parametrize(
    ("prompts", "answers", "sentences"),
    [
        (("a b", "a c"), ("d", "e"), []),
        (("a b", "a b"), ("d", "e"), ["The clean prompt and the corrupted prompt are the same: nothing is corrupted."]),
        (("a b", "a c"), ("d", "d"), ["The answer and the foil are the same: there is nothing to compare."]),
        (
            ("a b c d", "a d"),
            ("d", "e f"),
            [
                (
                    "The clean prompt has 4 tokens, the corrupted prompt 2: token 2 of the clean prompt, 'b', and 1 "
                    "more have no counterpart."
                ),
                "The foil has 2 tokens, the answer 1: token 2 of the foil, 'f', has no counterpart.",
            ],
        ),
    ],
)
def test_what_is_not_aligned_is_named(prompts: tuple[str, str], answers: tuple[str, str], sentences: list[str]) -> None:
    columns = [align(*map(tokens, texts)) for texts in (prompts, answers)]
    assert list(unaligned(*columns)) == sentences


def test_tokens_that_the_tokenizer_adds_are_not_counted() -> None:
    bos = Token(1, "<bos>", added=True)
    (sentence,) = unaligned(align([bos, *tokens("a b")], [bos, *tokens("a")]), align(tokens("d"), tokens("e")))
    assert sentence.startswith(
        "The clean prompt has 2 tokens, the corrupted prompt 1: token 2 of the clean prompt, 'b'"
    )
