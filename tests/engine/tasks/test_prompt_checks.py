"""Own prompts: the same tokens as the engine's, what is wrong told exactly, CSV there and back, bad files refused."""

# ruff: noqa: E501  (a file and the sentence that it is answered with stand on one line)

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from engine.errors import UserError
from engine.exchange import prompts_csv
from engine.exchange.prompts_csv import checked_csv, read_csv, write_csv, write_id_csv
from engine.models.encoding import Ids, encode, spell
from engine.models.light_tokenizer import Token, words_of
from engine.models.model import load_tokenizer
from engine.models.pairs import Pair, pair_named
from engine.runs.compute import compute
from engine.runs.lifecycle import ignore
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.alignment import align
from engine.tasks.own_prompts import PromptRow
from engine.tasks.prompt_checks import LONGEST_ANSWER, LONGEST_PROMPT, MOST_ROWS, CheckedRow, check
from engine.tasks.registry import TASKS, examples

ROOT = Path(__file__).resolve().parents[3]
CORPUS = [
    "When Mary and John went to the store, John gave a drink to Mary.",
    "The war lasted from the year 1732 to the year 1745. Ünïcode, naïve café, 日本語 and 🙂.",
    *(e.prompt + " " + e.answer for e in examples(TASKS["ioi"], 30, 0)),
    *["John gave", "Mary gave", "to the store", "a drink", ", é", "33", "34"] * 5,
]
CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
ROW = PromptRow(CLEAN, CORRUPTED, ("Mary",), ("John",))
EMBEDDED = pair_named("embedded")
UNK = "<unk>"
NAMES = {"bos_token": "<|end|>", "eos_token": "<|end|>"}
LLAMA = {"unk_token": UNK, "bos_token": "<s>"}
GPT2 = {"bos_token": "<|endoftext|>"}


def saved(core: Tokenizer, folder: Path, config: dict[str, Any] | None = None, **named: str) -> Path:
    """A tokenizer as transformers saves it, and a model's config beside it."""
    PreTrainedTokenizerFast(tokenizer_object=core, **named).save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **(config or {})}))
    (folder / "config.json").write_text('{"n_positions": 1024}')
    return folder


def byte_level(end: str = "<|end|>") -> Tokenizer:
    """As GPT-2's: bytes, spaces kept in front of words."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[end], initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(CORPUS, trainer)
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    return core


def metaspace() -> Tokenizer:
    """As Llama's: a sign for spaces, one put in front, an unknown token."""
    core = Tokenizer(models.BPE(unk_token=UNK, fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<s>"], show_progress=False)
    core.train_from_iterator([text for text in CORPUS if text.isascii()], trainer)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return core


def with_bos(core: Tokenizer) -> Tokenizer:
    bos = ("<|end|>", core.token_to_id("<|end|>"))
    core.post_processor = processors.TemplateProcessing(single="<|end|> $A", special_tokens=[bos])
    return core


def cut_short(core: Tokenizer) -> Tokenizer:
    core.enable_truncation(3)
    core.enable_padding(length=9)
    core.normalizer = normalizers.NFC()
    return core


def with_added(core: Tokenizer) -> Tokenizer:
    core.add_tokens([AddedToken("<|mask|>", special=True), AddedToken("<tool>", single_word=True)])
    return core


MASK_FIELDS = {"lstrip": True, "normalized": False, "rstrip": False, "single_word": False, "special": True}
TOKENIZERS: dict[str, Callable[[Path], Path]] = {
    "embedded": lambda folder: Path(EMBEDDED.folder("arm")),
    "checkpoint": lambda folder: Path(EMBEDDED.folder("step:0")),
    "byte-level": lambda folder: saved(byte_level(), folder, **NAMES),
    "byte-level with bos": lambda folder: saved(with_bos(byte_level()), folder, **NAMES),
    "bos by config": lambda folder: saved(byte_level(), folder, {"add_bos_token": True}, **NAMES),
    "eos by config": lambda folder: saved(byte_level(), folder, {"add_eos_token": True}, **NAMES),
    "no bos by config": lambda folder: saved(with_bos(byte_level()), folder, {"add_bos_token": False}, **NAMES),
    "bos by config without a bos": lambda folder: saved(byte_level(), folder, {"add_bos_token": True}),
    "truncation and padding": lambda folder: saved(cut_short(byte_level()), folder, **NAMES),
    "added tokens": lambda folder: saved(with_added(byte_level()), folder, **NAMES),
    "added by config": lambda folder: saved(
        byte_level(), folder, {"added_tokens_decoder": {"600": {"content": "<|mask|>", **MASK_FIELDS}}}
    ),
    "named by config": lambda folder: saved(byte_level(), folder, {"mask_token": "<|mask|>"}),
    "GPT-2's class": lambda folder: saved(
        byte_level("<|endoftext|>"), folder, {"tokenizer_class": "GPT2Tokenizer"}, **GPT2
    ),
    "metaspace": lambda folder: saved(metaspace(), folder, **LLAMA),
}
TEXTS = [
    "", " ", "Mary", " Mary", "Mary Mary ", CLEAN, CORRUPTED, "The war lasted from the year 1732", "a\nb\t c\r\n",
    "naïve café", "nai\u0308ve", "日本語", "🙂 and 🙂", "<|mask|>", "to <|mask|> to", "<|end|>", "<bos> a", "<tool>",
    "a<tool>b", "a <|endoftext|>", "<b>x</b>", "<unk>", "▁a", "Ġa", "\x00", "x" * 200, "17 32",
]  # fmt: skip


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TOKENIZERS[request.param](tmp_path_factory.mktemp("tokenizer"))


def test_both_ways_of_reading_a_tokenizer_give_the_same_tokens(source: Path) -> None:
    theirs, ours = load_tokenizer(str(source)), words_of(str(source))
    for text in TEXTS:
        assert (ours.prompt_ids(text), ours.ids(text)) == read_by_the_engine(text, theirs), text
        assert [token.id for token in ours.tokens(text)] == list(ours.ids(text))
        unknown = [token for token in ours.tokens(text) if not token.known]
        assert len(unknown) == (ours.ids(text).count(theirs.unk_token_id) if theirs.unk_token_id is not None else 0)
    assert ours.size == len(theirs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("aMry John to1732,.<|>é🙂\n"), max_size=30))
def test_any_text_gives_the_same_tokens(source: Path, text: str) -> None:
    theirs, ours = load_tokenizer_once(str(source)), words_of(str(source))
    assert (ours.prompt_ids(text), ours.ids(text)) == read_by_the_engine(text, theirs)


def read_by_the_engine(text: str, tokenizer: Any) -> tuple[Ids, Ids]:
    """A text as a prompt and as an answer."""
    tokens = spell(text, text, None, tokenizer)
    return tokens.prompt, tokens.answer


LOADED: dict[str, Any] = {}


def load_tokenizer_once(source: str) -> Any:
    return LOADED.setdefault(source, load_tokenizer(source)) if source not in LOADED else LOADED[source]


def test_a_token_is_shown_as_text_and_found_by_it(source: Path) -> None:
    words = words_of(str(source))
    for token in range(words.size):
        text = words.text_of(token)
        assert text is None or words.ids(text) == (token,)
    assert sum(words.text_of(token) is None for token in range(words.size)) < 0.7 * words.size


def test_tokens_keep_their_leading_space(tmp_path: Path) -> None:
    words = words_of(str(saved(byte_level(), tmp_path, **NAMES)))
    assert [token.text for token in words.tokens("John gave to Mary")] == ["John", " gave", " to", " Mary"]
    assert not words.knows_words_only and words_of(EMBEDDED.folder("arm")).knows_words_only
    llama = words_of(str(saved(metaspace(), tmp_path / "llama", **LLAMA)))
    assert [token.text for token in llama.tokens("John gave")] == [" John", " gave"]
    (half, *_) = words.tokens("🙂")
    assert "\ufffd" not in half.text


@pytest.fixture(scope="module")
def byte_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A pair whose tokenizer is byte-level, with a BOS."""
    base = tmp_path_factory.mktemp("bytes")
    for model in ("arm", "mdm"):
        saved(with_bos(byte_level()), base / model, **NAMES)
    return Pair("bytes", "Bytes", "arm", "mdm", "<|end|>", base=base)


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


def csv_of(*lines: str) -> bytes:
    return "\n".join(lines).encode()


HEAD = "clean,corrupted,answer,foil"
GOOD = f'"{CLEAN}","{CORRUPTED}",Mary,John'
IDS = "clean,corrupted,correct_idx,incorrect_idx"
PAIR_OF = f'"{CLEAN}","{CORRUPTED}"'
NOT_AN_ID = "which is no token id. Write a whole number, as 57, or a list, as [57, 58]."
WOULD_DO = "Lines that would do: clean,corrupted,answer,foil and below it The capital of France is,The capital of Italy is, Paris, Rome"
OWN_LINE = "Lines that would do: clean,corrupted,answer,foil and below it a,b,...,..."
MARY, JOHN = words_of(EMBEDDED.folder("arm")).ids("Mary John")

REFUSED = {
    "empty file": (b"", "The file is empty. Its first row must name the columns clean, corrupted, answer, foil."),
    "blank lines": (b"\n\r\n,,\n", "The file is empty. Its first row must name the columns clean, corrupted, answer, foil."),
    "header only": (csv_of(HEAD), "The file has a header but no rows."),
    "header and blanks": (csv_of(HEAD, "", ",,,", ""), "The file has a header but no rows."),
    "too large": (b"x" * 1_000_001, "The file has more than 1 MB, the most that is read."),
    "not UTF-8": (csv_of(HEAD) + b"\n\xff\xfe", "The file is not UTF-8 text (byte 29). Save it as CSV in UTF-8."),
    "UTF-16": (f"{HEAD}\n{GOOD}".encode("utf-16"), "The file is not UTF-8 text (byte 1). Save it as CSV in UTF-8."),
    "NUL": (csv_of(HEAD, "a\0,b,c,d"), "The file holds a NUL character, so it is not a CSV file."),
    "semicolons": (csv_of(HEAD.replace(",", ";"), "a;b;c;d"), "The columns are separated by semicolons. Save the file with commas."),
    "tabs": (csv_of(HEAD.replace(",", "\t"), "a\tb\tc\td"), "The columns are separated by tabs. Save the file with commas."),
    "unknown column": (csv_of("clean,corupted,answer,foil", GOOD), f"Row 1 names no column corrupted, only 'clean', 'corupted', 'answer', 'foil'. {WOULD_DO}"),
    "no header": (csv_of(GOOD), f"Row 1 names no column clean, only 'When Mary and John w'...'a drink to', 'When Mary and John w'...'a drink to', 'Mary', 'John'. {WOULD_DO}"),
    "HTML for a column": (csv_of("clean,corrupted,<b>x</b>", "a,b,c"), f"Row 1 names no column answer (or correct_idx) and no column foil (or incorrect_idx), only 'clean', 'corrupted', '<b>x</b>'. {OWN_LINE}"),
    "duplicate column": (csv_of("clean,corrupted,answer,foil,Answer", GOOD), "Row 1 names the column answer twice."),
    "duplicate by another name": (csv_of("clean,corrupted,answer,foil,correct", GOOD), "Row 1 names the column answer twice."),
    "no clean": (csv_of("corrupted,answer,foil", "a,b,c"), f"Row 1 names no column clean, only 'corrupted', 'answer', 'foil'. {WOULD_DO}"),
    "no corrupted": (csv_of("clean,answer,foil", "a,b,c"), f"Row 1 names no column corrupted, only 'clean', 'answer', 'foil'. {WOULD_DO}"),
    "no answers": (csv_of("clean,corrupted", "a,b"), f"Row 1 names no column answer (or correct_idx) and no column foil (or incorrect_idx), only 'clean', 'corrupted'. {OWN_LINE}"),
    "no foil": (csv_of("clean,corrupted,answer", "a,b,c"), f"Row 1 names no column foil (or incorrect_idx), only 'clean', 'corrupted', 'answer'. {OWN_LINE}"),
    "no answer": (csv_of("clean,corrupted,foil", "a,b,c"), f"Row 1 names no column answer (or correct_idx), only 'clean', 'corrupted', 'foil'. {OWN_LINE}"),
    "no incorrect_idx": (csv_of("clean,corrupted,correct_idx", "a,b,4"), f"Row 1 names no column foil (or incorrect_idx), only 'clean', 'corrupted', 'correct_idx'. {OWN_LINE}"),
    "ids that are not the texts": (csv_of("clean,corrupted,answer,foil,correct_idx", f"{PAIR_OF},Mary,John,{JOHN}"), f"Row 2: correct_idx {JOHN} is 'John' to the tokenizer of the pair embedded, but answer is 'Mary': the ids belong to another tokenizer. Give the answers as text, in the columns answer and foil alone."),
    "ids that are not the names": (csv_of(IDS, f"{PAIR_OF},4,5"), "Row 2: correct_idx 4 is 'When' to the tokenizer of the pair embedded, but the prompt asks for 'Mary or John': the ids belong to another tokenizer. Give the answers as text, in the columns answer and foil alone."),
    "header after a blank line": (csv_of("", "clean,answer,foil", "a,b,c"), f"Row 2 names no column corrupted, only 'clean', 'answer', 'foil'. {WOULD_DO}"),
    "too few cells in row 3": (csv_of(HEAD, GOOD, "a,b,c"), 'Row 3 has 3 cells, the header 4. Put a text with commas in "quotes".'),
    "too many cells": (csv_of(HEAD, CLEAN + ",a,b,c,d"), 'Row 2 has 6 cells, the header 4. Put a text with commas in "quotes".'),
    "one cell": (csv_of(HEAD, "a"), 'Row 2 has 1 cell, the header 4. Put a text with commas in "quotes".'),
    "quotation never closed": (csv_of(HEAD, GOOD, '"a,b,c,d', "e,f,g,h"), 'Row 3 has a quotation mark (") that is never closed.'),
    "text after a quotation": (csv_of(HEAD, '"a"b,c,d,e'), 'Row 2 has text after a closing quotation mark ("). Inside a quoted cell, write "" for one.'),
    "huge cell": (csv_of(HEAD, "x" * 200_000 + ",b,c,d"), "Row 2 has a cell of more than 131,072 characters."),
    "empty cell": (csv_of(HEAD, GOOD, "", "a,,c,d"), "Row 4 has an empty cell in the column corrupted."),
    "blank cell": (csv_of(HEAD, 'a,b," ",d'), "Row 2 has an empty cell in the column answer."),
    "row after a cell of two lines": (csv_of(HEAD, '"a\nb",c,d,e', "f,g,h,"), "Row 3 has an empty cell in the column foil."),
    "id is a word": (csv_of(IDS, f"{PAIR_OF},Mary,4"), f"Row 2: correct_idx is 'Mary', {NOT_AN_ID}"),
    "id is a fraction": (csv_of(IDS, f"{PAIR_OF},{MARY},4.0"), f"Row 2: incorrect_idx is '4.0', {NOT_AN_ID}"),
    "id is a formula": (csv_of(IDS, f"{PAIR_OF},=1+3,4"), f"Row 2: correct_idx is '=1+3', {NOT_AN_ID}"),
    "id is endless": (csv_of(IDS, f"{PAIR_OF},{'9' * 5000},4"), f"Row 2: correct_idx is '{'9' * 20}'...'{'9' * 10}', {NOT_AN_ID}"),
    "id in other digits": (csv_of(IDS, f"{PAIR_OF},٣٣,4"), f"Row 2: correct_idx is '٣٣', {NOT_AN_ID}"),
    "id out of the vocabulary": (csv_of(IDS, f"{PAIR_OF},239,4"), "Row 2: correct_idx has the token id 239. The tokenizer has ids from 0 to 238."),
    "id is negative": (csv_of(IDS, f"{PAIR_OF},{MARY},-1"), "Row 2: incorrect_idx has the token id -1. The tokenizer has ids from 0 to 238."),
    "empty list of ids": (csv_of(IDS, f"{PAIR_OF},[],4"), "Row 2: correct_idx is an empty list. Give at least one token id."),
    "list with a gap": (csv_of(IDS, f'{PAIR_OF},"[4,,5]",6'), f"Row 2: correct_idx is '[4,,5]', {NOT_AN_ID}"),
    "list of words": (csv_of(IDS, f'{PAIR_OF},"[Mary, John]",4'), f"Row 2: correct_idx is '[Mary, John]', {NOT_AN_ID}"),
    "list in a list": (csv_of(IDS, f"{PAIR_OF},[[4]],4"), f"Row 2: correct_idx is '[[4]]', {NOT_AN_ID}"),
    "list never closed": (csv_of(IDS, f'{PAIR_OF},"[4, 5",4'), f"Row 2: correct_idx is '[4, 5', {NOT_AN_ID}"),
    "list of texts is broken": (csv_of(HEAD, f'{PAIR_OF},"[""33"", 34]",30'), 'Row 2: answer begins like a list but is none. Write ["33", "34"] with straight quotation marks.'),
    "list of texts is endless": (csv_of(HEAD, f'{PAIR_OF},John,"[""a"",{"[" * 50_000}"'), 'Row 2: foil begins like a list but is none. Write ["33", "34"] with straight quotation marks.'),
    "too many rows": (csv_of(HEAD, *[GOOD] * 201), "The file has 201 rows. 200 are the most: choose how many of them (--n 200 for the first)."),
    # What the file says is clear, but the prompts cannot be run.
    "misaligned": (csv_of(HEAD, GOOD, f'"{CLEAN}","{CORRUPTED} the",Mary,John'), "Row 3: The corrupted prompt has 15 tokens, the clean prompt 14: token 15 of the corrupted prompt, 'the', has no counterpart."),
    "unknown word": (csv_of(HEAD, f"{PAIR_OF},Zebra,John"), "Row 2: The tokenizer of the pair embedded doesn't know 'Zebra' (token 1 of the answer)."),
    "equal answers": (csv_of(HEAD, f"{PAIR_OF},John,John"), "Row 2: The answer and the foil are the same: there is nothing to compare."),
    "equal ids": (csv_of(IDS, f"{PAIR_OF},{MARY},{MARY}"), "Row 2: The answer and the foil are the same: there is nothing to compare."),
    "id right and wrong": (csv_of(IDS, f'{PAIR_OF},"[{MARY}, {JOHN}]",{JOHN}'), "Row 2: 'John' is both right and wrong."),
    "id twice": (csv_of(IDS, f'{PAIR_OF},"[{MARY}, {MARY}]",{JOHN}'), "Row 2: 'Mary' is listed twice among the right answers."),
    "too long a prompt": (csv_of(HEAD, GOOD, f"{'the ' * 257},{'the ' * 256}a,Mary,John"), "Row 3: The clean prompt has 257 tokens. 256 are the most."),
    "too long an answer": (csv_of(HEAD, f"{PAIR_OF},Mary{MANY},John{MANY}"), "Row 2: The answer has 18 tokens. 16 are the most."),
    "a formula is text": (csv_of(HEAD, f"{PAIR_OF},=SUM(A1:A9),John"), "Row 2: The tokenizer of the pair embedded doesn't know '=SUM(A1:A9)' (token 1 of the answer)."),
    "HTML is text": (csv_of(HEAD, f"{PAIR_OF},Mary,<img src=x onerror=alert(1)>"), "Row 2: The tokenizer of the pair embedded doesn't know '<img' (token 1 of the foil), 'src=x' (token 2), 'onerror=alert(1)>' (token 3)."),
}  # fmt: skip


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_refused_with_its_own_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        checked_csv(data, EMBEDDED)
    assert str(refused.value) == sentence


def test_columns_come_in_any_order_and_by_their_other_names() -> None:
    for data in (
        csv_of("foil,clean,answer,corrupted", f'John,"{CLEAN}",Mary,"{CORRUPTED}"'),
        csv_of(" Incorrect ,CLEAN,correct,corrupt", f'John,"{CLEAN}",Mary,"{CORRUPTED}"'),
        b"\xef\xbb\xbf" + csv_of(HEAD, "", GOOD, ""),
        csv_of(HEAD, GOOD).replace(b"\n", b"\r\n"),
        csv_of(HEAD, GOOD).replace(b"\n", b"\r"),
        csv_of(IDS, f"{PAIR_OF},{MARY},{JOHN}"),
        csv_of(IDS, f'{PAIR_OF},"[{MARY}]",[ {JOHN} ]'),
    ):
        assert checked_csv(data, EMBEDDED).rows == [ROW]


def test_a_file_of_eap_ig_is_read() -> None:
    """Its first column has no name, and it has one that we don't use."""
    data = csv_of(
        ",clean,corrupted,corrupted_hard,correct_idx,incorrect_idx",
        f'470,"{CLEAN}","{CORRUPTED}","{CORRUPTED}",{MARY},{JOHN}',
    )
    assert read_csv(data, EMBEDDED).rows == {2: ROW}


def test_rows_are_counted_as_in_the_file() -> None:
    assert list(read_csv(csv_of(HEAD, "", GOOD, ",,,", GOOD), EMBEDDED).rows) == [3, 5]


def test_cells_are_text_whatever_they_begin_with(tmp_path: Path) -> None:
    data = csv_of(HEAD, '=1+1,@cmd,"<script>alert(1)</script>","a ""quoted"", word"')
    (row,) = read_csv(data, EMBEDDED).rows.values()
    assert row == PromptRow("=1+1", "@cmd", ("<script>alert(1)</script>",), ('a "quoted", word',))


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
filled = cell.filter(str.strip)
cells = st.lists(filled, min_size=1, max_size=3).map(tuple)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.builds(PromptRow, filled, filled, cells, cells), min_size=1, max_size=4))
def test_text_goes_there_and_back(rows: list[PromptRow]) -> None:
    assert list(read_csv(write_csv(rows), EMBEDDED).rows.values()) == rows
    assert [prompts_csv.row_of_texts(1, prompts_csv.cells_of(row)) for row in rows] == rows


def test_a_single_answer_written_like_a_list_stays_one() -> None:
    row = replace(ROW, answers=('["33", "34"]',), foils=("[33]",))
    assert list(read_csv(write_csv([row]), EMBEDDED).rows.values()) == [row]


def one_token(words: Any) -> Iterator[str]:
    texts = (words.text_of(token) for token in range(words.size))
    return (text for text in texts if text and text.strip())


@pytest.mark.parametrize("which", ["embedded", "bytes"])
def test_token_ids_go_there_and_back(which: str, byte_pair: Pair) -> None:
    pair = EMBEDDED if which == "embedded" else byte_pair
    known = list(one_token(words_of(pair.folder("arm"))))
    rows = [
        PromptRow("to a", "to the", (known[i],), tuple(known[i + 1 : i + 1 + size]))
        for i, size in zip(range(0, len(known) - 6, 6), [1, 2, 5] * 100, strict=False)
    ]
    assert len(rows) > 20
    data = write_id_csv(rows, pair)
    assert data.splitlines()[0] == IDS.encode()
    assert list(read_csv(data, pair).rows.values()) == rows


def test_an_answer_of_two_tokens_has_no_id() -> None:
    with pytest.raises(
        UserError, match=r"^The answer 'Mary John' is 2 tokens, so it cannot be written as a token id\.$"
    ):
        write_id_csv([replace(ROW, answers=("Mary John",))], EMBEDDED)


def test_an_id_without_a_text_of_its_own_is_refused(byte_pair: Pair) -> None:
    words = words_of(byte_pair.folder("arm"))
    part = next(token for token in range(words.size) if words.text_of(token) is None)
    data = csv_of(IDS, f"to a,to the,{part},1")
    with pytest.raises(
        UserError, match=rf"^Row 2: correct_idx has the token id {part} .* no text of its own stands for"
    ):
        read_csv(data, byte_pair)


def test_checked_rows_keep_their_row() -> None:
    assert [checked.row for checked in check([ROW], EMBEDDED)] == [ROW]
    assert isinstance(check([ROW], EMBEDDED)[0], CheckedRow)


@pytest.mark.parametrize("model", ["arm", "mdm"])
def test_a_single_row_of_free_text_is_computed_by_the_real_models(model: str) -> None:
    row = PromptRow("from the  year\n17 32 to 17", "from the  year\n17 01 to 17", ("33", "34"), ("02",))
    kept = own_prompts.save([row], "One row", "embedded")
    made = compute(RunSpec(model=model, task=kept.name, n=1), ignore)
    assert (made.meta.accuracy_n, made.meta.n_sites) == (1, 1)
    total = made.tables["edges"].filter(pc.field("part") == "total")
    scores = total["score"].to_numpy()
    assert np.isfinite(scores).all() and np.abs(scores).max() > 1e-3
    (example,) = made.tables["examples"].to_pylist()
    assert example["prompt"][-7:] == "from the year 17 32 to 17".split()  # behind <bos>, if it is kept
    assert (example["answer"], example["corrupt_answer"]) == (["33"], ["02"])
    assert example["correct"] == (example["predicted"][0] in ("33", "34"))
