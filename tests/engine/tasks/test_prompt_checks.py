"""Own prompts before they are saved: their tokens aligned, and what is wrong with them in exact sentences."""

# ruff: noqa: E501  (a file and the sentence that it is answered with are on one line)

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.models.encoding import encode
from engine.models.light_tokenizer import words_of
from engine.models.pairs import Pair, pair_named
from engine.runs.compute import compute
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow
from engine.tasks.prompt_checks import LONGEST_ANSWER, LONGEST_PROMPT, MOST_ROWS, CheckedRow, check
from tests.saved_tokenizers import LLAMA, NAMES, byte_level, load_tokenizer_once, metaspace, saved

ROOT = Path(__file__).resolve().parents[3]
CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
ROW = PromptRow(CLEAN, CORRUPTED, ("Mary",), ("John",))
EMBEDDED = pair_named("embedded")


def problems(*rows: PromptRow, pair: Pair = EMBEDDED) -> list[str]:
    return [problem for checked in check(rows, pair) for problem in checked.problems]


WORDS = "When Mary John the store , to Zebra 17 33 <mask> <bos>".split()
PIECES = [*WORDS, " Mary", " John", " the", " to", "é", "  "]
texts = st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join)
answers = st.lists(st.sampled_from([*PIECES, "Mary John", ""]), min_size=1, max_size=2).map(tuple)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.builds(PromptRow, texts, texts, answers, answers), which=st.sampled_from(["embedded", "bytes"]))
def test_what_passes_can_be_encoded_and_what_cannot_be_is_told(byte_pair: Pair, row: PromptRow, which: str) -> None:
    pair = EMBEDDED if which == "embedded" else byte_pair
    (checked,) = check([row], pair)
    try:
        encoded = encode(row.example(), load_tokenizer_once(pair.folder("arm")))
    except UserError:
        assert checked.problems
        return
    if not checked.problems:
        assert encoded.contrasts
        assert bool(encoded.right) == bool(encoded.wrong) == row.has_candidates
        assert len(checked.prompt) == len(encoded.prompt) and len(checked.answer) == len(encoded.answer)


def test_a_good_row_is_aligned_and_its_change_marked() -> None:
    (checked,) = check([ROW], EMBEDDED)
    assert checked.problems == ()
    kinds = [column.kind for column in checked.prompt]
    assert kinds == ["changed" if i == 10 else "same" for i in range(15)]
    assert [column.clean.text for column in checked.prompt if column.clean] == ["<bos>", *CLEAN.split()]
    assert [column.clean.added for column in checked.prompt if column.clean] == [True] + [False] * 14
    assert [column.kind for column in checked.answer] == ["changed"]


def test_the_misaligned_token_is_marked() -> None:
    (checked,) = check([replace(ROW, corrupted=CORRUPTED.replace("Mary and", "Mary and Anna"))], EMBEDDED)
    alone = [c.corrupted for c in checked.prompt if c.kind == "alone"]
    assert [(token.text, token.known) for token in alone if token] == [("Anna", False)]


LONG = "the " * 300
MANY = " the" * 17
TOLD = [
    (replace(ROW, clean=""), ["The clean prompt is empty."]),
    (replace(ROW, corrupted=" \n"), ["The corrupted prompt is empty."]),
    (replace(ROW, answers=("",)), ["The answer is empty."]),
    (replace(ROW, answers=("Mary", " ")), ["The answer is empty."]),
    (replace(ROW, foils=("",)), ["The foil is empty."]),
    (PromptRow("", "", ("",), ("",)), [
        "The clean prompt is empty.", "The corrupted prompt is empty.", "The answer is empty.", "The foil is empty.",
    ]),
    (replace(ROW, clean=CLEAN.replace("and John", "and Zebra")), [
        "The tokenizer of the pair embedded doesn't know 'Zebra' (token 4 of the clean prompt).",
    ]),
    (replace(ROW, corrupted=CORRUPTED.replace("and John went", "Zebra 'x' went")), [
        "The tokenizer of the pair embedded doesn't know 'Zebra' (token 3 of the corrupted prompt), \"'x'\" (token 4).",
    ]),
    (replace(ROW, answers=("Zebra",)), ["The tokenizer of the pair embedded doesn't know 'Zebra' (token 1 of the answer)."]),
    (replace(ROW, foils=("<b>x</b>",)), ["The tokenizer of the pair embedded doesn't know '<b>x</b>' (token 1 of the foil)."]),
    (replace(ROW, corrupted=CORRUPTED.replace("Mary and", "Mary and the")), [
        "The corrupted prompt has 15 tokens, the clean prompt 14: token 4 of the corrupted prompt, 'the', has no counterpart.",
    ]),
    (replace(ROW, clean=CLEAN + " the store"), [
        "The clean prompt has 16 tokens, the corrupted prompt 14: token 15 of the clean prompt, 'the', and 1 more have no counterpart.",
    ]),
    (replace(ROW, foils=("John Mary",)), [
        "The foil has 2 tokens, the answer 1: token 1 of the foil, 'John', has no counterpart.",
    ]),
    (replace(ROW, answers=("Mary Mary John",)), [
        "The answer has 3 tokens, the foil 1: token 1 of the answer, 'Mary', and 1 more have no counterpart.",
    ]),
    (replace(ROW, corrupted=CLEAN), ["The clean prompt and the corrupted prompt are the same: nothing is corrupted."]),
    (replace(ROW, corrupted=CLEAN.replace(" ", "  ")), [
        "The clean prompt and the corrupted prompt are the same: nothing is corrupted.",
    ]),
    (replace(ROW, foils=("Mary",)), ["The answer and the foil are the same: there is nothing to compare."]),
    (replace(ROW, clean=LONG + "a", corrupted=LONG + "to"), [
        "The clean prompt has 301 tokens. 256 are the most.",
        "The corrupted prompt has 301 tokens. 256 are the most.",
        "Prompt and answer have 303 tokens together. The models of the pair embedded read 64 at most.",
    ]),
    (replace(ROW, clean="the " * 62 + "a", corrupted="the " * 62 + "to"), [
        "Prompt and answer have 65 tokens together. The models of the pair embedded read 64 at most.",
    ]),
    (replace(ROW, answers=("Mary" + MANY,), foils=("John" + MANY,)), [
        "The answer has 18 tokens. 16 are the most.", "The foil has 18 tokens. 16 are the most.",
    ]),
    (replace(ROW, answers=("Mary", "Mary John")), [
        "Where several answers are right or wrong, each must be one token. 'Mary John' is 2.",
    ]),
    (replace(ROW, answers=("Mary", "Alice"), foils=("John", "Alice")), ["'Alice' is both right and wrong."]),
    (replace(ROW, answers=("Mary", " Mary")), ["' Mary' is listed twice among the right answers."]),
    (replace(ROW, foils=("John", "Bob", "Bob")), ["'Bob' is listed twice among the wrong answers."]),
    (replace(ROW, answers=("<mask>",)), ["The answer contains the mask '<mask>', which stands for what is not known yet."]),
    (replace(ROW, clean="a\0"), ["It holds a NUL or half a character, which is no text."]),
    (replace(ROW, answers=("\ud83d",)), ["It holds a NUL or half a character, which is no text."]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "sentences"), TOLD, ids=[sentences[0][:60] for _, sentences in TOLD])
def test_what_is_wrong_is_told_exactly(row: PromptRow, sentences: list[str]) -> None:
    assert problems(row) == sentences


def test_limits_are_the_last_that_pass() -> None:
    fits = replace(ROW, clean="the " * 61 + "a", corrupted="the " * 61 + "to")  # with <bos> and the answer: 64
    assert problems(fits) == []
    long = " ".join(["the"] * (LONGEST_ANSWER - 1))
    assert problems(replace(ROW, answers=(f"Mary {long}",), foils=(f"John {long}",))) == []
    assert problems(*[ROW] * MOST_ROWS) == []
    with pytest.raises(UserError, match=r"^There are 201 rows\. 200 are the most\.$"):
        check([ROW] * (MOST_ROWS + 1), EMBEDDED)


def test_the_limit_of_a_prompt_is_the_same_in_a_model_that_reads_more(byte_pair: Pair) -> None:
    words = words_of(byte_pair.folder("arm"))
    row = PromptRow("," + " the" * (LONGEST_PROMPT - 1), "." + " the" * (LONGEST_PROMPT - 1), (" Mary",), (" John",))
    assert len(words.ids(row.clean)) == LONGEST_PROMPT
    assert problems(row, pair=byte_pair) == []
    longer = replace(row, clean=row.clean + " the", corrupted=row.corrupted + " the")
    assert problems(longer, pair=byte_pair)[0] == "The clean prompt has 257 tokens. 256 are the most."


def test_all_rows_need_answers_of_one_length() -> None:
    other = replace(ROW, answers=("Mary the",), foils=("John the",))
    checked = check([ROW, other, ROW], EMBEDDED)
    problem = "The answer has 2 tokens and that of the first row 1. All rows need as many."
    assert [row.problems for row in checked] == [(), (problem,), ()]


def test_both_models_of_a_pair_have_to_read_a_row(tmp_path: Path) -> None:
    saved(byte_level(), tmp_path / "arm", **NAMES)
    saved(metaspace(), tmp_path / "mdm", **LLAMA)
    pair = Pair("two", "Two", "arm", "mdm", base=tmp_path)
    row = PromptRow(" to é", " to ,", (" Mary",), (" John",))
    assert problems(replace(row, clean=" to the"), pair=pair) == []
    assert problems(row, pair=Pair("one", "One", "arm", "arm", base=tmp_path)) == []
    problem = "The tokenizer of the pair two doesn't know 'é' (token 3 of the clean prompt)."
    assert problems(row, pair=pair)[0] == problem


def test_a_model_without_a_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    for name, message in (("arm", "has no tokenizer.json here"), ("some/where", "was not downloaded to")):
        with pytest.raises(UserError, match=message):
            check([ROW], Pair("none", "None", name, name, base=tmp_path))
    (tmp_path / "arm" / "tokenizer.json").write_text('{"added_tokens": []}')
    with pytest.raises(UserError, match="cannot be read as a tokenizer"):
        check([ROW], Pair("none", "None", "arm", "arm", base=tmp_path))


@pytest.mark.parametrize(("config", "mask"), [({"mask_token": ","}, ","), ({}, None)])
def test_the_mask_that_the_models_files_name_is_refused(
    tmp_path: Path, config: dict[str, str], mask: str | None
) -> None:
    saved(byte_level(), tmp_path / "arm", config, **NAMES)
    pair = Pair("files", "Files", "arm", "arm", base=tmp_path)
    row = PromptRow(" to the,", " to a,", (" Mary",), (" John",))
    message = f"contains the mask {mask!r}, which stands for what is not known yet."
    expected = [f"The clean prompt {message}", f"The corrupted prompt {message}"] if mask else []
    assert [problem for problem in problems(row, pair=pair) if "mask" in problem] == expected


def test_a_hub_model_is_read_from_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--some--where"
    saved(byte_level(), cached / "snapshots" / "abc", **NAMES)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots" / "abc" / "config.json").write_text("{}")
    row = PromptRow(" to é", " to ,", (" Mary",), (" John",))
    assert len(check([row], Pair("hub", "Hub", "some/where", "some/where"))[0].prompt) == 2


def test_checking_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\n"
        "from engine.models.pairs import pair_named\n"
        "from engine.exchange.prompts_csv import checked_csv, write_id_csv\n"
        "pair = pair_named('embedded')\n"
        "rows = checked_csv(b'clean,corrupted,answer,foil\\na to,the to,Mary,John\\n', pair).rows\n"
        "write_id_csv(rows, pair)\n"
        "print(*sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout.strip()) == (0, ""), process.stderr


def test_checked_rows_keep_their_row() -> None:
    assert [checked.row for checked in check([ROW], EMBEDDED)] == [ROW]
    assert isinstance(check([ROW], EMBEDDED)[0], CheckedRow)


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_a_single_row_of_free_text_is_computed_by_the_real_models(model: str) -> None:
    row = PromptRow("from the  year\n17 32 to 17", "from the  year\n17 01 to 17", ("33", "34"), ("02",))
    kept = own_prompts.save([row], "One row", "embedded")
    made = compute(RunSpec(model=model, task=kept.name, n=1), ignore)
    assert (made.accuracy.accuracy_n, made.meta.n_sites) == (1, 1)
    total = made.tables["edges"].filter(pc.field("part") == "total")
    scores = total["score"].to_numpy()
    assert np.isfinite(scores).all() and np.abs(scores).max() > 1e-3
    (example,) = made.tables["examples"].to_pylist()
    assert example["prompt"][-7:] == "from the year 17 32 to 17".split()  # behind <bos>, if it is kept
    assert (example["answer"], example["corrupt_answer"]) == (["33"], ["02"])
    assert example["correct"] == (example["predicted"][0] in ("33", "34"))
