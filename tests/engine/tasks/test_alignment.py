"""Two texts aligned token by token: every token once, in its order, and what has no counterpart named."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.light_tokenizer import Token
from engine.tasks.alignment import align


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
