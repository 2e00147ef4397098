"""Messages stay readable, whatever value they quote."""

from __future__ import annotations

import pytest

from engine.errors import LONGEST, UserError, cut, shortened

NESTED: list[object] = []
for _ in range(100_000):
    NESTED = [NESTED]


VALUES = {
    "text": "x" * 100_000,
    "line ends": "\n" * 100_000,
    "number": 10**5000,
    "list": list(range(50_000)),
    "table": {"a" * 100_000: 1},
    "bytes": b"\0" * 100_000,
    "nested": NESTED,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_of_any_size_is_quoted_shortly(value: object) -> None:
    assert 0 < len(shortened(value)) <= 160


@pytest.mark.parametrize(("value", "shown"), [("a b", "'a b'"), (12, "12"), (None, "None"), ([1, 2], "[1, 2]")])
def test_a_short_value_is_quoted_whole(value: object, shown: str) -> None:
    assert shortened(value) == shown


def test_a_long_message_keeps_what_was_wrong_and_what_to_do() -> None:
    message = str(UserError(f"k is {'9' * 100_000}. Choose a number of edges from 1 to 200."))
    assert len(message) < LONGEST + 60
    assert message.startswith("k is 999") and message.endswith("Choose a number of edges from 1 to 200.")
    assert "characters left out" in message


def test_a_message_of_ordinary_length_is_untouched() -> None:
    message = "There is no task called 'x'. Choose one of: " + ", ".join(f"own-{n:012x}" for n in range(30)) + "."
    assert str(UserError(message)) == message == cut(message)
