"""An example in a model's tokens, aligned with its corrupted prompt and answer.

Where a task says that prompt and answer are one text (`Example.join`), they are tokenised together, because BPE and
SentencePiece cut a word differently after a space. The answer then begins with the first token that holds one of its
characters; a space that is a token of its own belongs to the prompt.

Where it does not, as in own prompts, each is tokenised by itself and the two follow each other as a text would:
nothing that a tokenizer puts behind a text is between them, a token that it puts before one (BOS) and that was
written by hand as well is there once, and where it puts a space before every text, that is the space with which
an answer begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from engine.models.example import Example

Ids = tuple[int, ...]
Span = tuple[int, int]  # characters of a text, from the first to behind the last
LONGEST_QUOTE = 120  # characters of a text that an error shows
LISTED = 5  # unknown words that an error shows


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
        pairs = zip(self.answer, self.corrupt_answer, strict=True)
        return [t for t, (clean, corrupted) in enumerate(pairs) if clean != corrupted]


@dataclass(frozen=True)
class Spelled:
    """A prompt and its answer in tokens, each with the characters of its own text that it covers."""

    prompt: Ids
    prompt_spans: tuple[Span, ...]
    answer: Ids
    answer_spans: tuple[Span, ...]


def encode(example: Example, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Token ids of an example.

    Raises:
        UserError: a word is unknown, the corrupted example does not align, or the answer cannot be told from the prompt
            in this tokenizer; the text says which.
    """
    clean = spell(example.prompt, example.answer, example.join, tokenizer)
    corrupted = spell(example.corrupt_prompt, example.corrupt_answer, example.join, tokenizer)
    _refuse_unknown(example, clean, corrupted, tokenizer.unk_token_id)
    _refuse_misaligned("prompt", example.prompt, clean.prompt, example.corrupt_prompt, corrupted.prompt)
    _refuse_misaligned("answer", example.answer, clean.answer, example.corrupt_answer, corrupted.answer)
    right, wrong = _candidates(example, tokenizer, clean)
    encoded = Encoded(clean.prompt, clean.answer, corrupted.prompt, corrupted.answer, right, wrong)
    if not encoded.contrasts:
        raise UserError(
            f"The corrupted prompt of {_shown(example.prompt)} has the same answer {example.answer!r}: nothing to "
            "compare."
        )
    if example.join is not None and right and encoded.contrasts != [0]:
        raise UserError(
            f"The answers {example.answer!r} and {example.corrupt_answer!r} to {_shown(example.prompt)} differ in more "
            "than their first token, where the candidates are compared."
        )
    return encoded


def spell(prompt: str, answer: str, join: str | None, tokenizer: PreTrainedTokenizerBase) -> Spelled:
    """Prompt and answer in tokens: as one text with `join` between them, or each by itself where that is None.

    Raises:
        UserError: the prompt's tokens, as a model would be given them, do not begin those of the whole text.
    """
    if join is None:
        return Spelled(*_prompt(prompt, tokenizer), *_answer(answer, tokenizer))
    start = len(prompt) + len(join)
    ids, spans = _prompt(prompt + join + answer, tokenizer)
    first = next((i for i, (_, end) in enumerate(spans) if end > start), len(ids))
    alone = [_prompt(text, tokenizer)[0] for text in (prompt, prompt + join)]
    if ids[:first] not in alone:
        shown = "".join(tokenizer.convert_ids_to_tokens(list(ids[max(0, first - 1) : first + 1])))
        raise UserError(
            f"The answer {answer!r} runs together with its prompt {_shown(prompt)} in this tokenizer (around "
            f"{shown!r}), so that there is no place where the model is asked for it."
        )
    answer_spans = tuple((max(0, begin - start), end - start) for begin, end in spans[first:])
    return Spelled(ids[:first], spans[:first], ids[first:], answer_spans)


def prompt_places(ids: Sequence[int], added: Sequence[int]) -> list[int]:
    """The places in `ids` [pos] of a prompt's tokens that a model is given.

    `added` [pos] is 1 for what the tokenizer put around the text. Nothing that was put behind the text
    is given, and what was put before it not a second time where the text has it as well.
    """
    end = max((place for place, is_added in enumerate(added, 1) if not is_added), default=0)
    before = next((place for place, is_added in enumerate(added) if not is_added), 0)
    twice = before > 0 and list(ids[before : 2 * before]) == list(ids[:before])
    return [place for place in range(end) if not (twice and before <= place < 2 * before)]


def puts_space(first_token: str | None) -> bool:
    """Whether a tokenizer puts a space before a text, known from the first token of "a" as its vocabulary writes it."""
    return first_token is not None and first_token[:1] in ("▁", "Ġ")


def _prompt(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[Ids, tuple[Span, ...]]:
    encoding = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    places = prompt_places(encoding.input_ids, encoding.special_tokens_mask)
    return tuple(encoding.input_ids[i] for i in places), tuple(tuple(encoding.offset_mapping[i]) for i in places)


def _answer(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[Ids, tuple[Span, ...]]:
    space = 0
    if text[:1] == " ":
        space = int(puts_space(next(iter(tokenizer.tokenize("a")), None)))
    encoding = tokenizer(text[space:], add_special_tokens=False, return_offsets_mapping=True)
    return tuple(encoding.input_ids), tuple((begin + space, end + space) for begin, end in encoding.offset_mapping)


def _candidates(example: Example, tokenizer: PreTrainedTokenizerBase, clean: Spelled) -> tuple[Ids, Ids]:
    """Right and wrong candidate tokens.

    Where prompt and answer are one text, a candidate is represented by its first token; a token that begins right and
    wrong candidates tells neither and is left out.
    """
    if example.join is None:
        return _singles(example.right, tokenizer), _singles(example.wrong, tokenizer)
    if not example.right:
        return (), ()
    right, wrong = (_firsts(words, example, tokenizer, clean.prompt) for words in (example.right, example.wrong))
    if not right - wrong or not wrong - right:
        raise UserError(
            f"Right and wrong answers to {_shown(example.prompt)} begin with the same tokens in this tokenizer."
        )
    return tuple(sorted(right - wrong)), tuple(sorted(wrong - right))


def _firsts(words: Sequence[str], example: Example, tokenizer: PreTrainedTokenizerBase, prompt: Ids) -> set[int]:
    """The token with which each word would follow the prompt's tokens."""
    firsts = set()
    texts = [f"{example.prompt}{example.join}{word}" for word in words]
    for word, ids in zip(words, tokenizer(texts).input_ids, strict=True):
        if tuple(ids[: len(prompt)]) != prompt:
            raise UserError(f"The candidate answer {word!r} changes the tokens of its prompt {_shown(example.prompt)}.")
        firsts.add(ids[len(prompt)])
    return firsts


def _singles(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Ids:
    return tuple(_single(word, _answer(word, tokenizer)[0]) for word in words)


def _single(word: str, ids: Ids) -> int:
    if len(ids) != 1:
        raise UserError(f"The candidate answer {word!r} is {len(ids)} tokens in this tokenizer; it must be one.")
    return ids[0]


def _refuse_unknown(example: Example, clean: Spelled, corrupted: Spelled, unknown: int | None) -> None:
    """Checked before lengths are compared: words that a tokenizer doesn't know are all the same token to it."""
    parts = (
        (example.prompt, clean.prompt, clean.prompt_spans),
        (example.answer, clean.answer, clean.answer_spans),
        (example.corrupt_prompt, corrupted.prompt, corrupted.prompt_spans),
        (example.corrupt_answer, corrupted.answer, corrupted.answer_spans),
    )
    for text, ids, spans in parts:
        unread = (text[slice(*span)] for token, span in zip(ids, spans, strict=True) if token == unknown)
        words = dict.fromkeys(word for word in unread if word)  # none: a BOS that is the same token
        if words:
            listed = ", ".join(repr(word) for word in list(words)[:LISTED])
            more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
            raise UserError(f"The tokenizer does not know {listed}{more} in {_shown(text)}.")


def _refuse_misaligned(what: str, text: str, ids: Ids, corrupted_text: str, corrupted_ids: Ids) -> None:
    if len(ids) != len(corrupted_ids):
        raise UserError(
            f"The {what} {_shown(text)} is {len(ids)} tokens but the corrupted {what} {_shown(corrupted_text)} is "
            f"{len(corrupted_ids)}; they must align token by token."
        )


def _shown(text: str) -> str:
    """A text as errors quote it: of a long one the end, where the problem is."""
    return repr(text) if len(text) <= LONGEST_QUOTE else f"...{text[-LONGEST_QUOTE:]!r}"
