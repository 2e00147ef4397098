"""The tokenizer without transformers gives the ids that transformers gives, and shows tokens as a person reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.light_tokenizer import words_of
from tests.tiny_tokenizers import KINDS, tokenizer_like

TEXTS = ("When Mary and John went", " 12", "odd\nline", "é<b>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
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
