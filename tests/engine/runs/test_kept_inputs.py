"""Kept inputs: which examples both runs keep, activations on their prompts, tokens that a model saw."""

from __future__ import annotations

import numpy as np
import pytest

from engine.runs.kept_inputs import MASK, activation_correlations, kept_pairs, prompt_activations, seen_tokens
from engine.runs.rows import ExampleRow, KeptInput

EXAMPLE = ExampleRow(7, ("p", "q"), ("x", "y", "z"), ("p", "r"), ("x", "y", "w"), ("x", "y", "z"), True, 1.0, -1.0)
REVEALS = {"example": np.array([7, 7, 7, 8]), "step": np.array([0, 1, 2, 0]), "index": np.array([2, 0, 1, 1])}


def kept(number: int, example: int, part: str, tokens: tuple[str, ...] = ("p", "q", "x"), start: int = 2) -> KeptInput:
    return KeptInput(number, example, part, tokens, ("other",) * len(tokens), start)


def test_pairs_are_the_examples_of_both_with_every_step_in_order() -> None:
    arm = [kept(0, 3, "site-00"), kept(1, 1, "site-00"), kept(2, 5, "site-00")]
    mdm = [kept(0, 1, "step-00"), kept(1, 1, "step-02"), kept(2, 3, "step-00"), kept(3, 4, "step-00")]
    pairs = kept_pairs(arm, mdm)
    assert [pair.example for pair in pairs] == [1, 3]
    assert [entry.part for entry in pairs[0].mdm] == ["step-00", "step-02"]
    assert pairs[1].arm is arm[0]
    assert pairs[0].same_prompt
    (other,) = kept_pairs(arm[:1], [kept(0, 3, "step-00", ("p", "r", "x"))])
    assert not other.same_prompt


def test_activations_of_prompts_are_joined_in_the_order_asked_for() -> None:
    rows = [
        {"input": 0, "neuron": 4, "activations": [1.0, 2.0, 3.0]},
        {"input": 2, "neuron": 4, "activations": [4.0, 5.0, 6.0]},
        {"input": 1, "neuron": 9, "activations": [7.0]},
    ]
    joined = prompt_activations(rows, [2, 0], [1, 2])
    assert {neuron: values.tolist() for neuron, values in joined.items()} == {4: [4.0, 1.0, 2.0]}


def test_correlations_are_over_prompts_alone_and_of_neurons_kept_in_both() -> None:
    pairs = kept_pairs(
        [kept(0, 1, "site-00"), kept(1, 2, "site-00"), kept(2, 3, "site-00", ("p", "other", "x"))],
        [kept(0, 1, "step-00"), kept(1, 1, "step-01"), kept(2, 2, "step-00"), kept(3, 3, "step-00")],
    )
    rng = np.random.default_rng(0)
    arm = {(at, neuron): rng.normal(size=3) for at in range(3) for neuron in (0, 5)}
    mdm = {(at, neuron): rng.normal(size=3) for at in range(4) for neuron in (5, 6)}

    def rows(values: dict[tuple[int, int], np.ndarray]) -> list[dict[str, object]]:
        return [{"input": at, "neuron": neuron, "activations": row} for (at, neuron), row in values.items()]

    by_neuron, tokens = activation_correlations(pairs, rows(arm), rows(mdm))
    a = [*arm[0, 5][:2], *arm[1, 5][:2]]
    b = [*mdm[0, 5][:2], *mdm[2, 5][:2]]  # example 3 has another prompt
    assert tokens == 4
    assert by_neuron == {5: pytest.approx(np.corrcoef(a, b)[0, 1])}


def test_an_mdm_saw_what_was_revealed_before_the_step_and_an_arm_the_whole_answer() -> None:
    inputs = [kept(0, 7, "step-00", ("<bos>", "p", "q", MASK, MASK, MASK), 3)]
    assert seen_tokens(inputs, [EXAMPLE], REVEALS, 7, "step-00") == list(inputs[0].tokens)
    assert seen_tokens(inputs, [EXAMPLE], REVEALS, 7, "step-02") == ["<bos>", "p", "q", "x", MASK, "z"]
    assert seen_tokens(inputs, [EXAMPLE], {}, 7, "site-01") == ["<bos>", "p", "q", "x", "y", "z"]


def test_where_words_are_not_tokens_nothing_is_known() -> None:
    pieces = [kept(0, 7, "site-00", ("<s>", "p", "q1", "q2"), 4)]
    assert seen_tokens(pieces, [EXAMPLE], {}, 7, "site-01") is None
    assert seen_tokens([], [EXAMPLE], {}, 7, "site-01") is None
