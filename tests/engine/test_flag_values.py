"""Values of flags: each text becomes what it says, or an error that says what it should be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from engine import flag_values as values
from engine.runs.spec import LARGEST_SEED
from engine.sweeps.shards import Shard


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.text, "ioi", "ioi"),
        (values.words, "a, b,a", ["a", "b"]),
        (values.model, "step:000100", "step:100"),
        (values.models, "mdm,arm,mdm", ["mdm", "arm"]),
        (values.evidence, "audit,stability", ["audit", "stability"]),
        (values.shard, "3/16", Shard(3, 16)),
        (values.age, "30d", timedelta(days=30)),
        (values.age, "12h", timedelta(hours=12)),
        (values.whole, "0", 0),
        (values.number, " 7 ", 7),
        (values.seed, str(LARGEST_SEED), LARGEST_SEED),
        (values.numbers, "50,200,50", [50, 200]),
    ],
)
def test_a_text_becomes_its_value(kind: Callable[[str], Any], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (values.text, " ", "is empty"),
        (values.words, "a,,b", "has an empty entry"),
        (values.model, "arms", "Choose arm, mdm"),
        (values.models, "arm,step", "Choose arm, mdm"),
        (values.evidence, "proof", "Choose from: faithfulness"),
        (values.shard, "17/16", "as in 3/16"),
        (values.age, "30", "as in 30d or 12h"),
        (values.whole, "-1", "from 0 up"),
        (values.number, "0", "from 1 up"),
        (values.number, "٣", "from 1 up"),
        (values.seed, str(LARGEST_SEED + 1), "from 0 to"),
        (values.numbers, "50,x", "from 1 up"),
    ],
)
def test_what_a_text_cannot_say_is_told(kind: Callable[[str], Any], text: str, sentence: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=sentence):
        kind(text)
