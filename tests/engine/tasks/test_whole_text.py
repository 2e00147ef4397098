"""Own prompts in tokenizers as they are: the tokens that a model gets, told where they are not those of the text."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from transformers import PreTrainedTokenizerFast

from engine.models.encoding import encode
from engine.models.light_tokenizer import words_of
from engine.models.pairs import Pair
from engine.tasks.accuracy import solves
from engine.tasks.own_prompts import OwnPrompts, PromptRow
from engine.tasks.prompt_checks import CheckedRow, check
from tests import tiny_tokenizers as tiny

MAKERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    **{kind: partial(tiny.tokenizer_like, kind) for kind in tiny.KINDS},
    "three digits": tiny.three_digits,
    "bytes": tiny.bytes_only,
    "capitals": tiny.capitals,
    "end behind": tiny.ends_too,
    "t5": tiny.t5_like,
    "llama with end": tiny.llama_with_end,
}
PUTS_SPACE, ENDS = ("llama", "t5", "llama with end"), ("end behind", "t5", "llama with end")
ROW = PromptRow("When Mary and Mark went to Mary and", "When Mary and John went to Mary and", (" Mark",), (" John",))


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    base = tmp_path_factory.mktemp("tokenizers")

    def made(kind: str) -> Pair:
        if not (base / kind).is_dir():
            MAKERS[kind]().save_pretrained(base / kind)
            (base / kind / "config.json").write_text("{}")
        return Pair("tiny", "Tiny", kind, kind, base=base)

    return made


def checked(row: PromptRow, pair: Pair) -> CheckedRow:
    (result,) = check([row], pair)
    return result


def shown(row: CheckedRow, side: str) -> list[str]:
    return [column.clean.text for column in getattr(row, side) if column.clean]


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_shown_is_what_the_model_gets(kind: str, pair_of: Callable[[str], Pair]) -> None:
    pair, tokenizer = pair_of(kind), MAKERS[kind]()
    result = checked(ROW, pair)
    encoded = encode(ROW.example(), tokenizer)
    assert not result.problems and not result.warnings
    assert [c.clean.id for c in result.prompt if c.clean] == list(encoded.prompt)
    assert [c.clean.id for c in result.answer if c.clean] == list(encoded.answer)
    whole = tuple(tokenizer(ROW.clean + ROW.answers[0]).input_ids)
    assert encoded.prompt + encoded.answer == (whole[:-1] if kind in ENDS else whole)


@pytest.mark.parametrize("kind", PUTS_SPACE)
@pytest.mark.parametrize("answer", [" Mark", "Mark"])
def test_a_space_that_the_tokenizer_puts_itself_is_the_answers(
    kind: str, answer: str, pair_of: Callable[[str], Pair]
) -> None:
    row = PromptRow(ROW.clean, ROW.corrupted, (answer,), (answer.replace("Mark", "John"),))
    result = checked(row, pair_of(kind))
    assert shown(result, "answer") == [" Mark"] and not result.problems
    tokenizer = MAKERS[kind]()
    assert tokenizer.convert_ids_to_tokens(list(encode(row.example(), tokenizer).answer)) == ["▁Mark"]
    assert [("puts a space before it" in warning) for warning in result.warnings] == (
        [] if answer[0] == " " else [True]
    )


@pytest.mark.parametrize("kind", ENDS)
def test_nothing_stands_between_a_prompt_and_its_answer(kind: str, pair_of: Callable[[str], Pair]) -> None:
    tokenizer = MAKERS[kind]()
    (end,) = {tokenizer(text).input_ids[-1] for text in ("to", "to Mary")}
    assert end not in encode(ROW.example(), tokenizer).prompt
    assert end not in words_of(pair_of(kind).folder("arm")).prompt_ids(ROW.clean)


@pytest.mark.parametrize("kind", ["llama", "llama with end"])
def test_a_sign_written_by_hand_that_the_tokenizer_puts_itself_is_read_once(
    kind: str, pair_of: Callable[[str], Pair]
) -> None:
    row = PromptRow("<s>" + ROW.clean, "<s>" + ROW.corrupted, ROW.answers, ROW.foils)
    result = checked(row, pair_of(kind))
    assert encode(row.example(), MAKERS[kind]()) == encode(ROW.example(), MAKERS[kind]())
    assert shown(result, "prompt")[:2] == ["<s>", " When"]
    assert result.warnings[0] == (
        "The clean prompt begins with '<s>', which the tokenizer puts there itself. It is read once."
    )


APART = {
    "no space": ("capitals", "The capital of France is", "Paris", "Rome", ["Paris"], "' Paris' is ' Paris'"),
    "a word in two": ("capitals", "I like straw", "berry", "Paris", ["berry"], "As one text"),
    "digits": ("three digits", "from 1732 to 17", "33", "44", ["33"], "As one text they would be '173' + '3'"),
    "space at the end": ("gpt2", "to Mary and ", "Mark", "John", ["Mar", "k"], "Move the space at the end"),
    "space put by the tokenizer": ("llama", "17", "33", "44", [" ", "3", "3"], "This tokenizer puts a space"),
    "a word in two with a space put": ("t5", "to straw", "berry", "barry", [" b", "er", "ry"], "As one text"),
}


@pytest.mark.parametrize(("kind", "prompt", "answer", "foil", "measured", "advice"), APART.values(), ids=APART)
def test_where_the_text_as_a_whole_would_be_others_it_is_told(
    kind: str, prompt: str, answer: str, foil: str, measured: list[str], advice: str, pair_of: Callable[[str], Pair]
) -> None:
    result = checked(PromptRow(prompt, f"x{prompt}", (answer,), (foil,)), pair_of(kind))
    assert shown(result, "answer") == measured
    (warning,) = result.warnings
    tokens = " + ".join(map(repr, measured))
    assert f"Only {tokens} is measured and counts as solved." in warning and advice in warning


@pytest.mark.parametrize(
    ("answer", "written", "solved"),
    [
        ("Paris", ["Paris"], True),
        ("Paris", ["ĠParis"], False),
        (" Paris", ["ĠParis"], True),
        (" Paris", ["Paris"], False),
        ("Paris", ["Rome"], False),
    ],
)
def test_only_what_is_measured_counts_as_solved(answer: str, written: list[str], solved: bool) -> None:
    row = PromptRow("The capital of France is", "The capital of Italy is", (answer,), ("Rome",))
    task = OwnPrompts([row], "Mine", "tiny", "")
    assert solves(task, row.example(), written, tiny.capitals()) == solved


def test_of_several_right_answers_each_counts_as_its_tokens() -> None:
    row = PromptRow("The capital of France is", "The capital of Italy is", (" Paris", "Paris"), (" Rome",))
    task, tokenizer = OwnPrompts([row], "Mine", "tiny", ""), tiny.capitals()
    solved = {word: solves(task, row.example(), [word], tokenizer) for word in ("ĠParis", "Paris", "ĠRome", "Rome")}
    assert solved == {"ĠParis": True, "Paris": True, "ĠRome": False, "Rome": False}


@pytest.mark.parametrize(
    ("text", "code"), [("Mary\u200f", "U+200F"), ("a\u202eb", "U+202E"), ("a\u00a0b", "U+00A0"), ("\ufeffa", "U+FEFF")]
)
def test_what_cannot_be_seen_is_told(text: str, code: str, pair_of: Callable[[str], Pair]) -> None:
    result = checked(PromptRow(text, "to", (" Mark",), (" John",)), pair_of("gpt2"))
    assert result.warnings[0].startswith(f"The clean prompt holds what cannot be seen or looks like a space: {code}.")


@pytest.mark.parametrize("text", ["👩‍🔬 to", "naïve café", "日本語", "नमस्ते", "a\nb\tc"])
def test_what_can_be_seen_is_not(text: str, pair_of: Callable[[str], Pair]) -> None:
    assert checked(PromptRow(text, "to", (" Mark",), (" John",)), pair_of("gpt2")).warnings == ()


PIECES = [
    "<s>",
    "</s>",
    "<|endoftext|>",
    " ",
    "  ",
    "\n",
    "Mary",
    " Mary",
    "17",
    "1732",
    "é",
    "👩‍🔬",
    "\u202e",
    "▁",
    "Ġ",
]


@pytest.mark.parametrize("kind", MAKERS)
def test_tokens_that_are_not_those_of_the_text_are_never_without_a_word(
    kind: str, pair_of: Callable[[str], Pair]
) -> None:
    rng, pair, tokenizer, passed = random.Random(kind), pair_of(kind), MAKERS[kind](), 0
    for _ in range(60):
        prompt, answer = ("".join(rng.choices(PIECES, k=rng.randrange(4))) + end for end in (" to Mary", " Mary"))
        answer = answer[rng.randrange(2) :]
        row = PromptRow(prompt, prompt.replace("Mary", "John"), (answer,), (answer.replace("Mary", "John"),))
        result = checked(row, pair)
        if result.problems:
            continue
        passed += 1
        encoded, whole = encode(row.example(), tokenizer), tuple(tokenizer(prompt + answer).input_ids)
        assert [c.clean.id for c in result.prompt if c.clean] == list(encoded.prompt)
        if encoded.prompt + encoded.answer != (whole[:-1] if kind in ENDS else whole):
            assert result.warnings, row
    assert passed > 20
