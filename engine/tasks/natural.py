"""Tasks as plain text: drawn until an example aligns with its corrupted example, in the tokens of one tokenizer.

A task's `natural` form has the same problems, checker and roles, but is written as published prompts are and takes only
words that this tokenizer cuts alike. Its roles belong to pieces that are finer than words (`PIECE`), so that a token
that is a digit has one as well.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from engine.errors import UserError
from engine.models.encoding import encode, spell
from engine.models.example import Example
from engine.tasks.base import Split, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PIECE = re.compile(r"\d|[^\W\d]+|[^\w\s]")
TRIES = 500  # draws of which one has to align
SHOTS = 4  # worked examples before a problem (the published evaluations have 8; 4 make inputs half as long)
SHOT = "worked example"  # their role


class Natural:
    """A task in a tokenizer's tokens; the words task that it comes from says what it is about."""

    title: str
    piece = PIECE

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def draw(self, rng: random.Random, split: Split) -> Example:
        """An example of a split that may not align."""
        raise NotImplementedError

    def sample(self, rng: random.Random, split: Split) -> Example:
        return self.aligned(lambda: self.draw(rng, split))

    def aligned(self, draw: Callable[[], Example]) -> Example:
        """The first drawn example that aligns with its corrupted example.

        Raises:
            UserError: none of TRIES does; it names what the last one lacks.
        """
        problem = ""
        for _ in range(TRIES):
            example = draw()
            try:
                encode(example, self.tokenizer)
            except UserError as error:
                problem = str(error)
            else:
                return example
        raise UserError(
            f"{self.title}: none of {TRIES} examples aligns with its corrupted example in this tokenizer. {problem}"
        )

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return cast(Task, self)

    def plain(self) -> Task:
        """The same without an instruction and worked examples, for models that were trained on the task."""
        return cast(Task, self)


def variant_for(task: Task, prompts: str | None, tokenizer: PreTrainedTokenizerBase) -> Task:
    """The variant of a task that a pair reads (`Pair.prompts`): in words, or as natural text for this tokenizer, with
    worked examples or ("plain") without.

    Raises:
        UserError: the tokenizer cuts what the task needs to keep whole.
    """
    in_words = knows_words_only(tokenizer) if prompts is None else prompts == "words"
    if in_words:
        return task
    natural = task.natural(tokenizer)
    return natural.plain() if prompts == "plain" and isinstance(natural, Natural) else natural


def knows_words_only(tokenizer: PreTrainedTokenizerBase) -> bool:
    from tokenizers.models import WordLevel

    return isinstance(tokenizer.backend_tokenizer.model, WordLevel)


def cut_alike(words: Sequence[str], what: str, least: int, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The words that are one token after a space; where these are fewer than `least`, those of the commonest length.

    Raises:
        UserError: fewer than `least` have the same length.
    """
    by_length: dict[int, list[str]] = {}
    for word in words:
        by_length.setdefault(tokens_after_space(word, tokenizer), []).append(word)
    by_length.pop(0, None)
    single = by_length.get(1, [])
    kept = single if len(single) >= least else max(by_length.values(), key=len, default=[])
    if len(kept) < least:
        raise UserError(
            f"Of {len(words)} {what} this tokenizer cuts only {len(kept)} into the same number of tokens "
            f"({_list(kept)}); {least} are needed."
        )
    return kept


def tokens_after_space(word: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens a word is in the middle of a sentence; 0 where the tokenizer does not know it."""
    ids = spell("When", word, " ", tokenizer).answer
    return 0 if tokenizer.unk_token_id in ids else len(ids)


def as_written(template: str) -> str:
    """A template with its punctuation as people write it."""
    return template.replace(" ,", ",").replace(" .", ".")


def pieces(text: str) -> list[str]:
    return PIECE.findall(text)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"
