"""The tokenizer without transformers gives the ids that transformers gives, and shows tokens as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers

from engine.errors import UserError
from engine.models.encoding import Ids, spell
from engine.models.light_tokenizer import words_of
from engine.models.model import load_tokenizer
from engine.models.pairs import pair_named
from tests.saved_tokenizers import LLAMA, NAMES, byte_level, load_tokenizer_once, metaspace, saved, with_bos
from tests.tiny_tokenizers import KINDS, tokenizer_like

SHORT_TEXTS = ("When Mary and John went", " 12", "odd\nline", "é<b>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", SHORT_TEXTS)
def test_ids_are_those_of_transformers(tmp_path: Path, kind: str, text: str) -> None:
    theirs = tokenizer_like(kind)
    theirs.save_pretrained(tmp_path)
    words = words_of(str(tmp_path))
    assert list(words.prompt_ids(text)) == theirs(text).input_ids
    assert words.size == len(theirs)


def test_a_token_is_known_by_its_text(tmp_path: Path) -> None:
    tokenizer_like("gpt2").save_pretrained(tmp_path)
    words = words_of(str(tmp_path))
    (mary,) = words.ids(" Mary")
    assert words.shown(mary) == " Mary" and words.text_of(mary) == " Mary" and words.knows(mary)
    assert words.text_of(10**9) is None and not words.knows(-1) and not words.is_special(mary)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    tokenizer_like("gpt2").save_pretrained(tmp_path)
    before = words_of(str(tmp_path))
    assert words_of(str(tmp_path)) is before
    (tmp_path / "config.json").write_text(json.dumps({"n_positions": 77}))
    assert (before.positions, words_of(str(tmp_path)).positions) == (None, 77)


def test_a_folder_without_a_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no tokenizer\.json here, .*Put one into"):
        words_of(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": []}')
    with pytest.raises(UserError, match="cannot be read as a tokenizer"):
        words_of(str(tmp_path))


CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
EMBEDDED = pair_named("embedded")


GPT2 = {"bos_token": "<|endoftext|>"}


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
