"""Texts token by token: what is shown, and that nothing of it is interpreted."""

from __future__ import annotations

from pages.shared.token_text import token_strip


def test_what_a_model_sees_is_shown_as_text() -> None:
    strip = token_strip(["<b>x</b>", "`y`", "\n"], 0, 2)
    assert "&lt;b&gt;x&lt;/b&gt;" in strip
    assert "<b>" not in strip
    assert "⏎" in strip
    assert strip.index("the logits are read here") < strip.index("this token is predicted")
