"""The tokenizer of a GGUF file: text is split and put together as llama.cpp's regular expressions say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from engine.errors import UserError
from engine.models.gguf_tokenizer import write_tokenizer
from tests.gguf_writer import FIELDS, SPECIAL, TOKENS

# llama.cpp, src/llama-vocab.cpp, of LLAMA_VOCAB_PRE_TYPE_SMOLLM and GPT2, for text of ASCII letters.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"


def pieces(text: str, pre: str) -> list[str]:
    """How a text is split before pairs are merged, by our own regular expressions."""
    parts = re.split(r"([0-9])", text) if pre == "smollm" else [text]
    return [piece for part in parts for piece in re.findall(GPT2, part)]


def written(folder: Path, **changed: Any) -> Tokenizer:
    fields = {**FIELDS, **{f"tokenizer.ggml.{name}": value for name, value in changed.items()}}
    write_tokenizer(Path("a.gguf"), fields.get, folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("pre", ["smollm", "gpt-2"])
def test_text_is_split_as_the_file_says(pre: str, tmp_path: Path) -> None:
    core = written(tmp_path, pre=pre)

    @given(st.text(alphabet="the 0192'sx+\n.", max_size=20))
    def holds(text: str) -> None:
        by_piece = [token for piece in pieces(text, pre) for token in core.model.tokenize(_as_bytes(piece))]
        assert core.encode(text).tokens == [token.value for token in by_piece]
        assert core.decode(core.encode(text).ids) == text

    holds()


def _as_bytes(piece: str) -> str:
    return piece.replace(" ", "Ġ").replace("\n", "Ċ")


def test_digits_stand_alone_where_the_file_says_so(tmp_path: Path) -> None:
    smollm = written(tmp_path)
    assert smollm.encode("the  12\n\n3").tokens == ["t", "he", "ĠĠ", "1", "2", "ĊĊ", "3"]
    assert smollm.encode("a the").tokens == ["a", "Ġthe"]
    assert written(tmp_path, pre="gpt-2").encode("x  1\n\n3").tokens == ["x", "Ġ", "Ġ", "1", "Ċ", "Ċ", "3"]


def test_special_tokens_are_whole_and_named(tmp_path: Path) -> None:
    written(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))
    assert tokenizer.tokenize("<|im_start|>x") == ["<|im_start|>", "x"]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer("the").input_ids == [TOKENS.index("t"), TOKENS.index("he")]  # nothing is put around a text
    assert tokenizer.chat_template == "{{ messages }}"
    assert {token["content"] for token in json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]} == set(
        SPECIAL
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "llama"}, r"of the kind llama.*Only byte-level BPE \(gpt2\), split as smollm or gpt-2"),
        ({"pre": "llama-bpe"}, "split as llama-bpe"),
        ({"pre": None}, "split as None"),
        ({"add_bos_token": True}, "puts a token before every text"),
    ],
)
def test_other_tokenizers_are_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        written(tmp_path, **changed)
    assert list(tmp_path.iterdir()) == []
