"""Tasks as plain text: in tokenizers that cut words, numbers and spaces as GPT-2's, Qwen2.5's and Llama 2's do."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from functools import cache

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from engine.errors import UserError
from engine.inspection.heads import token_roles
from engine.models.encoding import Encoded, encode, spell
from engine.models.example import Example
from engine.tasks.accuracy import solves
from engine.tasks.base import END, OTHER, Split, Task
from engine.tasks.countdown.problems import PublishedProblem, is_solved
from engine.tasks.countdown.published import few_shot
from engine.tasks.greater_than import YEARS
from engine.tasks.ioi import FEWEST_NAMES, IOI, NAMES
from engine.tasks.natural import SHOT, SHOTS, TRIES, Natural, cut_alike, variant_for
from engine.tasks.registry import TASKS, examples
from engine.tasks.sudoku import DIGITS, INSTRUCTION
from engine.training.word_tokenizer import UNKNOWN, build_tokenizer
from tests.tiny_tokenizers import KINDS, bytes_only, ends_too, names_of, three_digits, tokenizer_like

N = 60


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@cache
def drawn(name: str, kind: str) -> tuple[Task, list[Example], list[Encoded]]:
    tokenizer = tokenizer_like(kind)
    task = variant_for(TASKS[name], None, tokenizer)
    sampled = examples(task, N, seed=1)
    return task, sampled, [encode(e, tokenizer) for e in sampled]


def words_of(tokens: list[str]) -> list[str]:
    return [token.strip("Ġ▁") for token in tokens]


def test_the_embedded_pairs_examples_have_never_changed() -> None:
    """They are what its models were trained on."""
    known = {
        "ioi": "540caaf7e878eaf6",
        "greater_than": "4242934fbca7e469",
        "countdown": "b1e6c3fe1a92ced1",
        "sudoku": "3f32b5db76290c22",
    }
    for name, digest in known.items():
        lines = (
            f"{e.prompt}|{e.answer}|{e.corrupt_prompt}|{e.corrupt_answer}|{e.content}|{e.right}|{e.wrong}"
            for e in examples(variant_for(TASKS[name], None, build_tokenizer()), 200, 0)
        )
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


def test_a_pair_gets_the_variant_it_wants() -> None:
    words, qwen = build_tokenizer(), tokenizer_like("qwen")
    task = TASKS["ioi"]
    assert variant_for(task, None, words) is variant_for(task, "words", qwen) is task
    assert isinstance(variant_for(task, None, qwen), Natural) and isinstance(
        variant_for(task, "natural", qwen), Natural
    )
    natural = variant_for(task, None, qwen)
    assert variant_for(natural, "natural", qwen) is natural
    with pytest.raises(UserError, match=r"names this tokenizer cuts only 0 .*; 10 are needed"):
        variant_for(task, "natural", _knows_nothing())


def _knows_nothing() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({UNKNOWN: 0, "When": 1}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token=UNKNOWN)


# What holds for every task in every tokenizer


def test_tokens_are_those_of_the_whole_text_and_the_prompts_come_first(task: Task, kind: str) -> None:
    tokenizer = tokenizer_like(kind)
    _, sampled, encoded = drawn(task.name, kind)
    for e, ids in zip(sampled, encoded, strict=True):
        for prompt, answer, prompt_ids, answer_ids in (
            (e.prompt, e.answer, ids.prompt, ids.answer),
            (e.corrupt_prompt, e.corrupt_answer, ids.corrupt_prompt, ids.corrupt_answer),
        ):
            whole = f"{prompt}{e.join}{answer}"
            assert prompt_ids + answer_ids == tuple(tokenizer(whole).input_ids)
            assert list(prompt_ids) in (tokenizer(prompt).input_ids, tokenizer(prompt + e.join).input_ids)
            assert tokenizer.decode(answer_ids).strip() == answer
        assert len(ids.prompt) == len(ids.corrupt_prompt) and len(ids.answer) == len(ids.corrupt_answer)
        assert ids.contrasts and ids.prompt != ids.corrupt_prompt


def test_answers_solve_their_problem_and_corrupted_answers_do_not(task: Task, kind: str) -> None:
    tokenizer = tokenizer_like(kind)
    natural, sampled, encoded = drawn(task.name, kind)
    for e, ids in zip(sampled, encoded, strict=True):
        own, corrupted = (tokenizer.convert_ids_to_tokens(list(answer)) for answer in (ids.answer, ids.corrupt_answer))
        assert solves(natural, e, own, tokenizer) and not solves(natural, e, corrupted, tokenizer)
        assert natural.check(e.corrupt_prompt, e.corrupt_answer)


def test_examples_are_distinct_and_a_function_of_the_seed(task: Task, kind: str) -> None:
    natural, sampled, _ = drawn(task.name, kind)
    assert examples(natural, 20, seed=1) == sampled[:20] != examples(natural, 20, seed=2)
    assert len({e.prompt for e in sampled}) == N
    assert (natural.name, natural.title, natural.parallel) == (task.name, task.title, task.parallel)


def test_every_token_has_a_role_and_the_last_of_the_prompt_is_its_end(task: Task, kind: str) -> None:
    tokenizer = tokenizer_like(kind)
    natural, sampled, encoded = drawn(task.name, kind)
    names = set()
    for e, ids in zip(sampled, encoded, strict=True):
        prompt, answer = token_roles(natural, e, ids, tokenizer)
        assert (len(prompt), len(answer)) == (len(ids.prompt), len(ids.answer))
        assert prompt[-1] == END and END not in answer
        names |= {*prompt, *answer}
    assert len(names) <= 10 and all(len(name) <= 15 for name in names)


# IOI


def test_ioi_is_written_as_people_write_and_asks_for_single_tokens(kind: str) -> None:
    _, sampled, encoded = drawn("ioi", kind)
    assert all(len(ids.answer) == 1 for ids in encoded)
    assert all(re.fullmatch(r"[A-Z][a-z]+(,? [A-Za-z]+|\. [A-Z][a-z]+)+ to", e.prompt) for e in sampled)


def test_ioi_roles_follow_into_tokens(kind: str) -> None:
    tokenizer = tokenizer_like(kind)
    natural, sampled, encoded = drawn("ioi", kind)
    for e, ids in zip(sampled, encoded, strict=True):
        tokens = words_of(tokenizer.convert_ids_to_tokens(list(ids.prompt)))
        roles = token_roles(natural, e, ids, tokenizer)[0]
        named = {role: token for token, role in zip(tokens, roles, strict=True)}
        assert (named["indirect object"], named["subject"]) == (e.answer, e.corrupt_answer)
        assert named["second subject"] == e.corrupt_answer and named[END] == "to"


def test_names_that_are_cut_are_left_out(kind: str) -> None:
    gone = ("Mary", "John", "Fiona", "Simon")
    tokenizer = tokenizer_like(kind, gone)
    assert set(NAMES) - set(gone) == set(names_of(tokenizer))
    text = " ".join(e.prompt for e in examples(variant_for(IOI(), None, tokenizer), N, 0))
    assert not any(name in text for name in gone) and "Alice" in text


def test_where_no_name_is_one_token_those_of_one_length_are_used() -> None:
    tokenizer = bytes_only()
    sampled = examples(variant_for(IOI(), None, tokenizer), 20, 0)
    lengths = {len(name) for e in sampled for name in (e.answer, e.corrupt_answer)}
    commonest, _ = Counter(map(len, NAMES)).most_common(1)[0]
    assert lengths == {commonest}
    for e in sampled:
        ids = encode(e, tokenizer)
        assert len(ids.answer) == commonest  # the space before it belongs to the prompt
        assert ids.contrasts == [i for i in range(commonest) if e.answer[i] != e.corrupt_answer[i]]


def test_too_few_names_are_an_error_that_lists_them() -> None:
    tokenizer = tokenizer_like("gpt2", tuple(NAMES[3:]))
    assert names_of(tokenizer) == NAMES[:3]
    single = [name for name in NAMES if name in NAMES[:3]]
    with pytest.raises(UserError, match=rf"Of 3 names .* only 3 .*\({', '.join(single)}\); {FEWEST_NAMES} are needed"):
        cut_alike(single, "names", FEWEST_NAMES, tokenizer)


# Greater-than


def test_a_number_that_is_one_token_is_a_candidate_of_its_own() -> None:
    tokenizer = tokenizer_like("gpt2")
    _, sampled, encoded = drawn("greater_than", "gpt2")
    for e, ids in zip(sampled, encoded, strict=True):
        start = re.search(r"\d\d(\d\d) to", e.prompt)[1]
        right, wrong = ({*tokenizer.convert_ids_to_tokens(list(side))} for side in (ids.right, ids.wrong))
        assert right <= {year for year in YEARS if year > start} and wrong <= {year for year in YEARS if year <= start}
        assert e.answer in right and e.corrupt_answer in wrong and len(right | wrong) >= 30
        assert e.corrupt_prompt == e.prompt.replace(f"{start} to", "01 to") and e.corrupt_answer > "01"


@pytest.mark.parametrize("kind", ["qwen", "llama"])
def test_where_digits_are_tokens_the_first_one_is_compared_and_the_doubtful_one_left_out(kind: str) -> None:
    tokenizer = tokenizer_like(kind)
    natural, sampled, encoded = drawn("greater_than", kind)
    for e, ids in zip(sampled, encoded, strict=True):
        tens, ones = re.search(r"\d\d(\d)(\d) to", e.prompt).groups()
        right, wrong = (sorted(tokenizer.convert_ids_to_tokens(list(side))) for side in (ids.right, ids.wrong))
        assert right == [str(d) for d in range(int(tens) + 1, 10)]
        assert wrong == [str(d) for d in range(int(tens) + (ones == "9"))]  # after 1739 no year 173x is later
        assert len(ids.answer) == 2 and ids.contrasts == [0]
        assert e.answer[1] == e.corrupt_answer[1]
        roles = token_roles(natural, e, ids, tokenizer)[0]
        digits = tokenizer.convert_ids_to_tokens(list(ids.prompt))
        assert [d for d, role in zip(digits, roles, strict=True) if role == "start year"] == [tens, ones]


def test_years_that_run_together_are_an_error_that_counts_them() -> None:
    with pytest.raises(UserError, match=r"cuts too few years .*11 0, 12 0, .*300 are needed, .* 30 or more and 01"):
        variant_for(TASKS["greater_than"], None, three_digits())


# COUNTDOWN


def test_countdown_is_the_published_format(kind: str) -> None:
    instruction = "Given 4 numbers, use +-*/ to operate over the first three numbers to achieve the last number."
    shot = r"Input: (?:\d+,){3}\d\d\nOutput: (?:\d+[-+*/]\d+=\d+,?){2}\n\n"
    for e in drawn("countdown", kind)[1]:
        assert re.fullmatch(
            rf"{re.escape(instruction)}\n\n({shot}){{{SHOTS}}}Input: (\d+,){{3}}\d\d\nOutput:", e.prompt
        )
        assert re.fullmatch(r"\d+[-+*/]\d+=(\d+),\d+[-+*/]\d+=\d\d", e.answer)
        assert e.join == " "  # the published prompt ends in one


def test_countdowns_worked_examples_are_solved_and_not_held_out(kind: str) -> None:
    _, sampled, _ = drawn("countdown", kind)
    shots = re.findall(r"Input: (.*)\nOutput: (.*)\n\n", sampled[0].prompt)
    assert len(set(shots)) == SHOTS
    for asked, answer in shots:
        *operands, target = map(int, asked.split(","))
        assert is_solved(operands, target, answer)
    asked = {e.prompt.rpartition("Input: ")[2].partition("\n")[0] for e in sampled}
    assert not asked & {numbers for numbers, _ in shots}


def test_countdowns_corrupted_answer_has_its_numbers_and_signs_at_the_same_places(kind: str) -> None:
    for e in drawn("countdown", kind)[1]:
        assert re.sub(r"\d", "0", re.sub("[-+*/]", "+", e.answer)) == re.sub(
            r"\d", "0", re.sub("[-+*/]", "+", e.corrupt_answer)
        )
        clean, corrupted = (prompt.rpartition("Input: ")[2].split(",") for prompt in (e.prompt, e.corrupt_prompt))
        assert clean[:3] == corrupted[:3] and clean[3] != corrupted[3]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("86+28=114,114-18=96", True),
        ("28+86=114,114-18=96\n\nInput: 1,2,3", True),
        (" 86+28=114,114-18=96 ", True),
        ("86+28=114,114-18=96,", False),
        ("86+28=114", False),
        ("86+28=114,114-18=97", False),
        ("86+28=115,115-18=97", False),
        ("86+10=96", False),
        ("86+28=114;114-18=96", False),
        ("86 + 28 = 114, 114 - 18 = 96", False),
        ("", False),
    ],
)
def test_countdowns_checker_reads_the_first_line(answer: str, right: bool) -> None:
    row = PublishedProblem((86, 28, 18), 96, "86+28=114,114-18=96")
    natural = variant_for(TASKS["countdown"], "natural", tokenizer_like("qwen"))
    assert natural.check(few_shot(row, row).prompt, answer) == right


def test_countdown_roles_follow_into_digits() -> None:
    row, corrupted = (
        PublishedProblem((86, 28, 18), 96, "86+28=114,114-18=96"),
        PublishedProblem((86, 28, 18), 76, "86-28=058,058+18=76"),
    )
    tokenizer, e = tokenizer_like("qwen"), few_shot(row, corrupted)
    natural = variant_for(TASKS["countdown"], "natural", tokenizer)
    ids = encode(e, tokenizer)
    prompt, answer = token_roles(natural, e, ids, tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(list(ids.prompt))
    of = {
        role: [token for token, own in zip(tokens, prompt, strict=True) if own == role]
        for role in ("operand", "target", END)
    }
    assert of == {"operand": list("862818"), "target": list("96"), END: [":", "Ġ"]}
    assert prompt.index(SHOT) > 10 and prompt.count(SHOT) > 20 * SHOTS
    used, made, sign = ["used operand"] * 2, ["result"] * 3, ["punctuation"]
    first = [*used, "operator", *used, *sign, *made, *sign]
    assert list(answer) == [*first, "used operand", *used, "operator", *used, *sign, *["final result"] * 2]


# SUDOKU


def test_sudoku_is_the_published_format_with_a_token_a_cell(kind: str) -> None:
    tokenizer, (natural, sampled, encoded) = tokenizer_like(kind), drawn("sudoku", kind)
    gap = " " if kind == "gpt2" else ""  # where "0321" is "03" and "21"
    row = gap.join([r"\d"] * 4)
    grid = "\n".join([row] * 4)
    shots = rf"(Input:\n{grid}\nOutput:\n{grid}\n\n){{{SHOTS}}}"
    for e, ids in zip(sampled, encoded, strict=True):
        assert re.fullmatch(rf"{re.escape(INSTRUCTION)}\n\n{shots}Input:\n{grid}\nOutput:", e.prompt)
        assert re.fullmatch(grid, e.answer) and e.join == "\n"
        prompt, answer = token_roles(natural, e, ids, tokenizer)
        digits = words_of(tokenizer.convert_ids_to_tokens(list(ids.answer)))
        assert len([d for d in digits if d in DIGITS]) == 16 and len(digits) == 19
        assert Counter(prompt)["clue"] + Counter(prompt)["blank"] == 16
        assert Counter(answer)["given cell"] == Counter(prompt)["clue"] > 0
        assert [role == OTHER for role in answer] == [d not in DIGITS for d in digits]


def test_sudokus_answer_ends_at_an_empty_line() -> None:
    natural, sampled, _ = drawn("sudoku", "qwen")
    for e in sampled[:10]:
        assert natural.check(e.prompt, e.answer + "\n\nInput:\n0000")
        assert not natural.check(e.prompt, e.answer + "\n0000")
        assert not natural.check(e.prompt, e.answer[:-1])


# Boundaries


def test_tokens_that_a_tokenizer_puts_behind_a_text_are_left_out() -> None:
    tokenizer = ends_too()
    assert tokenizer("to Mary").input_ids[-1] == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    for name in TASKS:
        mine, plain = (examples(variant_for(TASKS[name], None, t), 10, 1) for t in (tokenizer, tokenizer_like("qwen")))
        assert mine == plain
        assert [encode(e, tokenizer) for e in mine] == [encode(e, tokenizer_like("qwen")) for e in plain]


def test_an_answer_that_runs_together_with_its_prompt_is_refused() -> None:
    with pytest.raises(UserError, match=r"^The answer '32' runs together with its prompt 'from 17' .*around 'Ġ173'"):
        spell("from 17", "32", "", three_digits())


def test_candidates_that_begin_alike_on_both_sides_are_refused() -> None:
    example = Example("in 17", "32", "in 18", "31", "x", right=("32",), wrong=("31",), join="")
    with pytest.raises(UserError, match="begin with the same tokens"):
        encode(example, tokenizer_like("qwen"))


def test_a_difference_behind_the_first_token_cannot_have_candidates() -> None:
    example = Example("in 17", "32", "in 18", "21", "x", right=("32",), wrong=("21",), join="")
    with pytest.raises(UserError, match="differ in more than their first token"):
        encode(example, tokenizer_like("qwen"))


def test_the_error_of_a_task_that_never_aligns_names_what_does_not() -> None:
    class Crooked(Natural, IOI):
        tries = 0

        def draw(self, rng: random.Random, split: Split) -> Example:
            self.tries += 1
            return Example("When Mary", "John", "When the Mary", "Alice", "x", join=" ")

    crooked = Crooked(tokenizer_like("qwen"))
    with pytest.raises(
        UserError, match=r"none of 500 .*prompt 'When Mary' is 2 tokens but the corrupted prompt 'When the Mary' is 3"
    ):
        examples(crooked, 1, 0)
    assert crooked.tries == TRIES


def test_a_long_prompt_is_quoted_by_its_end() -> None:
    text = "When " * 200 + "Mary"
    with pytest.raises(UserError, match=r"The prompt \.\.\.'.{110,130}Mary' is 201 tokens") as caught:
        encode(Example(text, "John", f"{text} the", "Alice", "x", join=" "), tokenizer_like("qwen"))
    assert len(str(caught.value)) < 450


def test_an_unknown_word_in_the_corrupted_prompt_is_refused_too() -> None:
    with pytest.raises(UserError, match="does not know 'zebra' in 'make 24 from zebra'"):
        encode(Example("make 24 from 9", "5", "make 24 from zebra", "3", "x"), build_tokenizer())
