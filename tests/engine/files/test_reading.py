"""Text, JSON and TOML that somebody else wrote: read, or refused in a sentence within a moment."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.files.reading import DEEPEST, MOST_TOML, read_json, read_text, read_toml

DEEP, DIGITS, DOTS = "lists or tables more than 100 deep", "more than 100 digits", "more than 1000 dots in line"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, DEEP),
        ("[" * 100_000 + "]" * 100_000, DEEP),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, DEEP),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), DEEP),
        ("9" * 5_000, DIGITS),
        ("[-" + "9" * 5_000 + "]", DIGITS),
        ("9" * 101, DIGITS),
        ('{"a": {"b": [' + "9" * 101 + "]}}", DIGITS),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"\\uDFFF": 1}', "half a character"),
        ("", "not valid JSON"),
        ("\0", "not valid JSON"),
        ("[1", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
    ],
    ids=count(),
)
def test_json_beyond_its_bounds_is_a_sentence(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        read_json(text, "The file x.json")
    assert str(refused.value).startswith("The file x.json ") and len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 100_000 + "]" * 100_000, DEEP),
        ("a = " + "{b = " * 40_000 + "1" + "}" * 40_000, DEEP),
        (".".join("a" * 900) + " = 1", DEEP),
        (".".join("a" * 20_000) + " = 1", DOTS),
        ("[" + ".".join("a" * 20_000) + "]", DOTS),
        ("a = " + "9" * 5_000, DIGITS),
        ("a = 0x" + "f" * 5_000, DIGITS),
        ("[a]\nb = [1, " + "9" * 101 + "]", DIGITS),
        ("# " + "x" * MOST_TOML, "250000 are the most"),
        ("a = 'x", "not valid TOML"),
        ("a = 1\na = 2", "not valid TOML"),
        ("a = 2026-02-30", "not valid TOML"),
        ("\0", "not valid TOML"),
    ],
    ids=count(),
)
def test_toml_beyond_its_bounds_is_a_sentence(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        read_toml(text, "The file x.toml")
    assert str(refused.value).startswith("The file x.toml ") and len(str(refused.value)) < 300


def test_what_models_ship_is_read() -> None:
    assert read_json('{"model_max_length": 1000000000000000019884624838656}', "x")["model_max_length"] > 10**30
    assert read_json("[" * DEEPEST + "]" * DEEPEST, "x")
    assert read_json('["\\ud83d\\ude00"]', "x") == ["😀"]
    assert read_toml('[mine]\nsteps = [0, 100]\n[mine.mdm_keys]\n"a.b" = "c."', "x")["mine"]["mdm_keys"] == {
        "a.b": "c."
    }


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"ab\xff")
    (tmp_path / "long").write_bytes(b"x" * 11)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbfa")
    for name, message in (
        ("pipe", "it is no file"),
        ("bytes", r"not UTF-8 text \(byte 3\)"),
        ("long", "11 bytes. 10 are the most"),
        ("loop", "cannot be read"),
        ("missing", "there is no such file"),
        (".", "it is no file"),
        ("x" * 300, "cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            read_text(tmp_path / name, "The file", most=10)
    assert read_text(tmp_path / "marked", "The file") == "a"
