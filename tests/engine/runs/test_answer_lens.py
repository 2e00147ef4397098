"""The lens of answer positions: read from rows in any order, and from which layer on the answer is readable."""

from __future__ import annotations

import numpy as np
import pytest

from engine.runs.answer_lens import at_step, lens_by_position, readable_from


@pytest.mark.parametrize(
    ("rank", "layer"), [([3, 0, 1, 0, 0], 3), ([0, 0, 0], 0), ([2, 1, 0], 2), ([0, 0, 1], None), ([0, 9, 0], 2)]
)
def test_readable_from_the_layer_after_which_nothing_else_is_on_top(rank: list[int], layer: int | None) -> None:
    assert readable_from(np.array(rank)) == layer


def test_a_lens_is_read_by_step_position_and_layer_whatever_the_order_of_rows() -> None:
    rows = [(step, 7 + t, layer) for step in (0, 1) for t in range(step, 3) for layer in range(4)]
    step, target, layer = np.random.default_rng(1).permutation(np.array(rows)).T
    worth = 100 * step + 10 * (target - 7) + layer
    lenses = lens_by_position(
        {
            "step": step, "target": target, "layer": layer, "token": np.array([str(w) for w in worth]),
            "probability": worth / 1000, "answer_probability": worth / 2000, "answer_rank": worth,
        }
    )  # fmt: skip
    assert set(lenses) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)}
    assert lenses[1, 2].rank.tolist() == [120, 121, 122, 123]
    assert lenses[0, 1].tokens == ("10", "11", "12", "13")
    assert lenses[0, 1].answer == pytest.approx([0.005, 0.0055, 0.006, 0.0065])
    assert set(at_step(lenses, 1)) == {1, 2} and at_step(lenses, 1)[2] is lenses[1, 2]
    assert lens_by_position({name: np.array([]) for name in ("step", "target", "layer")}) == {}
