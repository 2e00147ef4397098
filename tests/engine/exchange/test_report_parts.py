"""Tables are rectangular."""

from __future__ import annotations

import pytest

from engine.exchange.report_parts import Grid


def test_a_row_of_another_length_is_refused() -> None:
    assert Grid("a caption", ("a", "b"), [("1", "2")]).texts == (0,)
    with pytest.raises(ValueError, match="'a caption' has not as many cells"):
        Grid("a caption", ("a", "b"), [("1", "2"), ("1",)])
