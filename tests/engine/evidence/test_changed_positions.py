"""Positions before the first difference are left out, and all evidence is what it is with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.attribution.sites import AttributionInput, Site
from engine.evidence.ablated_pass import Removal
from engine.evidence.changed_positions import first_change, reads_from
from engine.evidence.edge_patching import patch_edges
from engine.evidence.knockouts import CORRUPTED, MEAN, run_without
from engine.evidence.patching import run_circuits
from engine.models.encoding import Encoded
from engine.models.fast_model import blocks_of
from engine.models.model import Model
from tests import tiny
from tests.engine.evidence.test_patching import close, random_masks, wrapped_with_window

REMOVALS = [Removal(nodes, by) for nodes in ((1,), (5,), (2, 7, 10), (6, 9), ()) for by in (CORRUPTED, MEAN)]
MODELS: dict[str, Callable[[], Model]] = {
    **{name: lambda name=name: tiny.model(name, causal=True) for name in tiny.ARCHITECTURES},
    "window": lambda: wrapped_with_window(3),
}
DIFFER = {  # by case, where each prompt differs from its corrupted one, and how long it is
    "late": [((7,), 9), ((7, 8), 9)],
    "of other lengths": [((9,), 11), ((9, 10), 12), ((9,), 10)],
    "mixed": [((8,), 9), ((3, 6), 9), ((5,), 7)],
    "in the first token": [((0,), 6), ((7,), 8)],
    "read before": [((), 8), ((), 8)],  # in the answer alone, whose first site is read before it differs
}


def examples_that_differ(differ: Sequence[tuple[tuple[int, ...], int]]) -> list[Encoded]:
    examples = tiny.random_examples(len(differ), lengths=[length for _, length in differ])
    return [
        replace(
            e,
            corrupt_prompt=tuple(
                (token + 7 - 4) % (tiny.VOCAB - 4) + 4 if i in places else token for i, token in enumerate(e.prompt)
            ),
        )
        for e, (places, _) in zip(examples, differ, strict=True)
    ]


def row(clean: tuple[int, ...], corrupt: tuple[int, ...], *reads: int) -> AttributionInput:
    return AttributionInput(0, "", clean, corrupt, tuple(Site(read, read + 1, (5,), (6,)) for read in reads), 1.0)


def test_the_first_position_that_differs_or_is_read() -> None:
    arm, mdm = (tiny.model("llama", causal) for causal in (True, False))
    late, early = row((5, 6, 7, 8), (5, 6, 7, 9), 3), row((5, 6, 7, 8), (5, 9, 7, 9), 3)
    assert [first_change(arm, rows) for rows in ([late], [early], [late, early], [early, late])] == [3, 1, 1, 1]
    assert first_change(arm, [row((5, 6), (4, 6), 1)]) == 0
    assert first_change(arm, [row((5, 6, 7, 8), (5, 6, 7, 9), 3, 2)]) == 2
    assert first_change(arm, [row((5, 6, 7), (5, 6, 7), 2)]) == 2
    assert first_change(mdm, [late]) == 0


def test_reads_are_counted_from_the_first_position() -> None:
    rows = [row((5, 6, 7, 8), (5, 6, 7, 9), 3, 2)]
    (later,) = reads_from(rows, 2)
    assert [site.read for site in later.sites] == [1, 0] and (later.clean, later.corrupt) == (
        rows[0].clean,
        (5, 6, 7, 9),
    )
    assert reads_from(rows, 0) == rows


def evidence_of(model: Model, rows: list[AttributionInput], n: int) -> dict[str, np.ndarray]:
    circuits = run_circuits(model, rows, n, random_masks(model, (0.2, 0.5, 0.8, 1.0)))
    edges = patch_edges(model, rows, n, np.arange(0, model.graph.n_edges, 3))
    knockouts = run_without(model, rows, n, REMOVALS)
    assert circuits.full is not None
    return {
        "circuits": circuits.circuits.metric,
        **{f"circuits {part}": of for part, of in circuits.circuits.parts.items()},
        "full": circuits.full.metric,
        "corrupted": circuits.corrupted.metric,
        "edges": edges.without,
        "knockouts": knockouts.without.metric,
        **{f"knockouts {part}": of for part, of in knockouts.without.parts.items()},
    }


@pytest.mark.parametrize("case", list(DIFFER))
@pytest.mark.parametrize("name", list(MODELS))
def test_evidence_is_what_it_is_from_the_first_position_on(
    name: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, n = MODELS[name](), len(DIFFER[case])
    rows = tiny.rows_of(model, examples_that_differ(DIFFER[case]))
    measured = evidence_of(model, rows, n)
    for module in ("patching", "edge_patching", "knockouts"):
        monkeypatch.setattr(f"engine.evidence.{module}.first_change", lambda model, rows: 0)
    expected = evidence_of(model, rows, n)
    for of, values in expected.items():
        assert close(measured[of], values), of
    assert np.ptp(expected["circuits"], 0).min() > 0.01  # circuits do differ, and the removals
    assert np.ptp(expected["knockouts"], 0).min() > 0.01


def tokens_of_mlps(model: Model, work: Callable[[], object]) -> list[int]:
    """[layer]: how many tokens its MLP runs."""
    counts = [0] * model.graph.n_layers

    def count(layer: int, read: Any) -> None:
        counts[layer] += read[0].shape[:-1].numel()

    handles = [
        block.mlp.register_forward_pre_hook(lambda module, read, layer=layer: count(layer, read))
        for layer, block in enumerate(blocks_of(model.plain))
    ]
    work()
    for handle in handles:
        handle.remove()
    return counts


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_only_later_positions_are_run(causal: bool) -> None:
    model = tiny.model("llama", causal)
    clean, corrupt = tuple(range(5, 15)), (*range(5, 12), 20, 13, 14)
    rows, graph = [row(clean, corrupt, 9)], model.graph
    whole, later = 10, 3 if causal else 10  # tokens, and those from the first that differs
    circuits = np.ones((4, graph.n_edges), dtype=bool)
    circuits[range(4), range(4)] = False  # those that are the same would be run once
    assert tokens_of_mlps(model, lambda: run_circuits(model, rows, 1, circuits)) == [2 * whole + 4 * later] * 2
    edge = np.array([graph.edge_named("input->a0.h1<k>")])
    assert tokens_of_mlps(model, lambda: patch_edges(model, rows, 1, edge)) == [2 * whole + later, 2 * whole + 1]
    for by, run, mean in ((CORRUPTED, later, 0), (MEAN, whole, whole)):
        counts = tokens_of_mlps(model, lambda by=by: run_without(model, rows, 1, [Removal((1,), by)]))
        assert counts == [mean + 2 * whole + run, mean + 2 * whole + 1]


def test_inputs_that_change_late_are_not_run_with_those_that_change_early() -> None:
    """A batch begins at the first change of all of its rows: here each holds two inputs of 400 tokens."""
    model = tiny.model("gpt2", causal=True)
    model.plain.transformer.wpe = type(model.plain.transformer.wpe)(512, 32)
    clean = tuple(5 + i % 40 for i in range(400))
    rows = []
    for example, differs in enumerate((10, 390, 20, 380)):
        corrupt = (*clean[:differs], 50, *clean[differs + 1 :])
        rows.append(replace(row(clean, corrupt, 399), example=example))
    counts = tokens_of_mlps(model, lambda: run_circuits(model, rows, 4, np.ones((1, model.graph.n_edges), dtype=bool)))
    assert counts == [2 * 4 * 400 + 2 * 390 + 2 * 20] * 2
