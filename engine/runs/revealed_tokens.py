"""Read a stored trajectory: the state of every answer token at a denoising step, and the finished answer."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runs.rows import TrajectoryStep


def state_of(step: TrajectoryStep, position: int) -> str:
    """Of an answer position at a step: "visible" since an earlier one, "revealed" at this one, or still "hidden"."""
    return "visible" if step.visible[position] else "revealed" if step.revealed[position] else "hidden"


def final_tokens(steps: Sequence[TrajectoryStep]) -> list[str]:
    """[answer position]: the token of the step that revealed it, of the last step where none did."""
    tokens = list(steps[-1].tokens)
    for step in steps:
        for position, revealed in enumerate(step.revealed):
            if revealed:
                tokens[position] = step.tokens[position]
    return tokens
