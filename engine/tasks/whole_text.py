"""Remarks on own prompts whose tokens, as a model gets them, are not those of the text as a whole.

A prompt and its answer are tokenised each by itself (engine/models/encoding.py). What a model was trained on is whole
text, where an answer without its space, digits that go on, or a space at the end of a prompt give other tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from engine.errors import shortened
from engine.models.light_tokenizer import Token, Words
from engine.tasks.own_prompts import PromptRow

LISTED = 8  # tokens that a sentence shows
JOINERS = "\u200c\u200d"  # invisible, but a part of emoji and of words in several scripts


def remarks(row: PromptRow, words: Words) -> Iterator[str]:
    """A sentence for everything that a reader of the row's texts would not expect of its tokens."""
    yield from _invisible(row)
    sides = (("clean", "answer", row.clean, row.answers[0]), ("corrupted", "foil", row.corrupted, row.foils[0]))
    for what, _, prompt, _ in sides:
        twice = words.repeats_start(prompt)
        if twice is not None:
            yield f"The {what} prompt begins with {twice!r}, which the tokenizer puts there itself. It is read once."
    apart = (_apart(what, prompt, answer, words) for _, what, prompt, answer in sides)
    yield from [remark for remark in apart if remark][:1]


def _apart(what: str, prompt: str, answer: str, words: Words) -> str | None:
    if words.knows_words_only:
        return None
    before, own = words.prompt_tokens(prompt), words.tokens(answer)
    whole, read = words.prompt_tokens(prompt + answer), [*before, *own]
    if _ids(whole) == _ids(read):
        if not (prompt[-1:].isalpha() and answer[:1].isalpha()):
            return None
        remark = f"The {what} runs on from the last word of its prompt: {_listed(read[len(before) - 1 :])}."
    else:
        first = next((i for i, both in enumerate(zip(whole, read, strict=False)) if both[0].id != both[1].id), 0)
        first = max(0, min(first, len(before) - 1))
        remark = (
            f"The models get a prompt and its {what} apart: {_listed(read[first:])}. "
            f"As one text they would be {_listed(whole[first:])}."
        )
    return f"{remark} Only {_listed(own)} is measured and counts as solved.{_advice(what, prompt, answer, words)}"


def _advice(what: str, prompt: str, answer: str, words: Words) -> str:
    if prompt[-1:].isspace():
        return f" Move the space at the end of the prompt to the beginning of the {what}."
    spaced = f" {answer}"
    own = words.tokens(spaced)
    if answer[:1].isspace() or _ids(words.prompt_tokens(prompt + spaced)) != [*words.prompt_ids(prompt), *_ids(own)]:
        return ""
    if _ids(own) == _ids(words.tokens(answer)):
        return f" This tokenizer puts a space before it. If that is meant, write it: {shortened(spaced)}."
    return f" If a new word is meant, begin the {what} with a space: {shortened(spaced)} is {_listed(own)}."


def _ids(tokens: Sequence[Token]) -> list[int]:
    return [token.id for token in tokens]


def _listed(tokens: Sequence[Token]) -> str:
    more = f" and {len(tokens) - LISTED} more" if len(tokens) > LISTED else ""
    return " + ".join(shortened(token.text, 40) for token in tokens[:LISTED]) + more


def _invisible(row: PromptRow) -> Iterator[str]:
    named = (("clean prompt", (row.clean,)), ("corrupted prompt", (row.corrupted,)))
    for what, texts in (*named, ("answer", row.answers), ("foil", row.foils)):
        invisible = dict.fromkeys(character for text in texts for character in text if is_invisible(character))
        if invisible:
            codes = ", ".join(f"U+{ord(character):04X}" for character in list(invisible)[:LISTED])
            yield f"The {what} holds what cannot be seen or looks like a space: {codes}. The models read it."


def is_invisible(character: str) -> bool:
    """Marks of direction and their like, and spaces that are not the common one."""
    category = unicodedata.category(character)
    return (category == "Cf" and character not in JOINERS) or (category == "Zs" and character != " ")
