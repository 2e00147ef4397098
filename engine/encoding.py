"""An example in a model's tokens, aligned with its corrupted twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.tasks.base import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """Token ids; `right` and `wrong` are the candidate answers' where several are right, else empty."""

    prompt: Ids
    answer: Ids
    corrupt_prompt: Ids
    corrupt_answer: Ids
    right: Ids = ()
    wrong: Ids = ()

    @property
    def start(self) -> int:
        """Position of the first answer token in prompt + answer."""
        return len(self.prompt)

    @property
    def contrasts(self) -> list[int]:
        """Answer indices t with y_t != y'_t: the only ones with a contrast to explain."""
        return [t for t, (y, twin) in enumerate(zip(self.answer, self.corrupt_answer, strict=True)) if y != twin]


def encode(example: Example, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Token ids of an example.

    Raises:
        UserError: a word is unknown, or the twin does not align; the text says which.
    """

    def answer_ids(text: str) -> Ids:
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)

    encoded = Encoded(
        prompt=tuple(tokenizer(example.prompt).input_ids),
        answer=answer_ids(example.answer),
        corrupt_prompt=tuple(tokenizer(example.corrupt_prompt).input_ids),
        corrupt_answer=answer_ids(example.corrupt_answer),
        right=tuple(_single(word, answer_ids(word)) for word in example.right),
        wrong=tuple(_single(word, answer_ids(word)) for word in example.wrong),
    )
    _refuse_misaligned("prompt", example.prompt, encoded.prompt, example.corrupt_prompt, encoded.corrupt_prompt)
    _refuse_misaligned("answer", example.answer, encoded.answer, example.corrupt_answer, encoded.corrupt_answer)
    unknown = tokenizer.unk_token_id
    if unknown is not None and unknown in encoded.prompt + encoded.answer:
        raise UserError(f"The tokenizer does not know every word of {example.prompt!r} {example.answer!r}.")
    if not encoded.contrasts:
        raise UserError(f"The twin of {example.prompt!r} has the same answer {example.answer!r}: nothing to compare.")
    return encoded


def _single(word: str, ids: Ids) -> int:
    if len(ids) != 1:
        raise UserError(f"The candidate answer {word!r} is {len(ids)} tokens in this tokenizer; it must be one.")
    return ids[0]


def _refuse_misaligned(what: str, text: str, ids: Ids, twin_text: str, twin_ids: Ids) -> None:
    if len(ids) != len(twin_ids):
        raise UserError(
            f"The {what} {text!r} is {len(ids)} tokens but its twin {twin_text!r} is {len(twin_ids)}; "
            "they must align token by token."
        )
