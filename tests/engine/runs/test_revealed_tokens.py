"""What a stored trajectory says of every answer token, and the finished answer."""

from __future__ import annotations

from engine.runs.revealed_tokens import final_tokens, state_of
from engine.runs.rows import TrajectoryStep

# Position 2, then 0 and 1 at once, after a step that reveals nothing.
TOKENS = [("a", "b", "c"), ("x", "y", "c"), ("p", "q", "c")]
REVEALED = [(False, False, True), (False, False, False), (True, True, False)]
VISIBLE = [(False, False, False), (False, False, True), (False, False, True)]
STEPS = [
    TrajectoryStep("random", 0, step, TOKENS[step], (0.1, 0.5, 0.9), REVEALED[step], VISIBLE[step], True)
    for step in range(3)
]


def test_the_finished_answer_has_every_token_as_it_was_revealed() -> None:
    assert final_tokens(STEPS) == ["p", "q", "c"]
    assert final_tokens(STEPS[:2]) == ["x", "y", "c"]  # what was never revealed is what the last step predicts


def test_every_token_is_visible_revealed_or_hidden() -> None:
    assert [[state_of(step, position) for position in range(3)] for step in STEPS] == [
        ["hidden", "hidden", "revealed"],
        ["hidden", "hidden", "visible"],
        ["revealed", "revealed", "visible"],
    ]
