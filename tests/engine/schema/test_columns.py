"""Columns and the short ways of describing them."""

from __future__ import annotations

import pytest

from engine.schema.columns import SLACK, Column, Stored, cosine, count, index, positive, real, share, text


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ("bool", "bool"),
        ("uint8", "int"),
        ("int32", "int"),
        ("int64", "int"),
        ("float32", "float"),
        ("text", "text"),
        ("part", "text"),
    ],
)
def test_a_kind_does_not_depend_on_how_large_numbers_are(stored: Stored, kind: str) -> None:
    assert Column("x", stored).kind == kind


def test_bounds_are_those_of_what_a_column_holds() -> None:
    assert (index("node", "n_sources").low, index("node", "n_sources").high) == (0, "n_sources")
    assert (share("p").low, share("p").high) == (-SLACK, 1 + SLACK)
    assert (cosine("c").low, cosine("c").high) == (-1 - SLACK, 1 + SLACK)
    assert positive("norm", "norm").low == -SLACK < 0 < positive("norm", "norm").high
    assert real("score").low < -1e9
    assert count("rank", "tokens").low == 0 and count("rank", "tokens").type == "int32"
    assert text("role", one_of=("a", "b")).one_of == ("a", "b")
