"""Tokens as a person can read them."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.models.token_text import _byte_characters, spelled_out, visible


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("ĠMary", "␣Mary"),
        ("▁Mary", "␣Mary"),
        ("▁", "␣"),
        ("Ċ", "⏎"),
        (":ĊĊ", ":⏎⏎"),
        ("<0x0A>", "⏎"),
        ("<0xE6>", "<0xE6>"),  # a part of a character
        ("æĪĳ", "我"),
        ("ĠcafÃ©", "␣café"),
        ("æĪ", "æĪ"),
        ("café", "café"),
        ("日本", "日本"),
        ("Ġ<b>", "␣<b>"),
        ("Ġ\u200b", "Ġ\\u200b"),
    ],
)
def test_tokens_are_read_as_their_vocabulary_means_them(token: str, shown: str) -> None:
    assert visible(token) == shown


def test_every_byte_of_a_byte_level_vocabulary_is_known() -> None:
    assert set(_byte_characters()) == set(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in ("naïve", "€ 我", "ß\u00a0x", "😀"):
        assert spelled_out("".join(core.encode(text).tokens)) == text
