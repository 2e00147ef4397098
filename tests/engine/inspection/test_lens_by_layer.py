"""Summaries of lenses by layer against the lenses themselves, and against what the model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from engine.inspection import lens_by_layer
from engine.inspection.lens import entropy, lenses, readouts_of
from engine.inspection.lens_by_layer import LensLayers, position_lens
from engine.inspection.observers import inputs_of, survey
from engine.models.decoding import Order, reveal_order
from engine.models.encoding import Encoded
from engine.models.model import Model
from tests import tiny

MASK = 3
BUDGETS = pytest.mark.parametrize("budget", [1, 2**25], ids=["one at a time", "all at once"])


def orders_of(model: Model, encoded: list[Encoded]) -> list[Order]:
    return [] if model.causal else reveal_order(model, encoded, "confidence", 3, seed=0)


@BUDGETS
@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_lens_layers_are_means_of_the_lenses_of_the_sites(
    architecture: str, causal: bool, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens_by_layer, "LOGITS_BUDGET", budget)
    monkeypatch.setattr(lens_by_layer, "COMPONENT_EXAMPLES", 5)
    model, encoded = tiny.model(architecture, causal), tiny.random_examples(7)
    rows = tiny.rows_of(model, encoded)
    observer = LensLayers(model, len(encoded))
    survey(model, inputs_of(rows, encoded), [observer])
    recorded = {(row["example"], row["layer"]): row for row in observer.table().to_pylist()}
    assert list(recorded) == [(example, layer) for example in range(7) for layer in range(2)]
    readouts = readouts_of(rows, 7)
    computed = lenses(model, [r.row.clean for r in readouts], [r.site.read for r in readouts])
    for (example, layer), row in recorded.items():
        mine = [lens for r, lens in zip(readouts, computed, strict=True) if r.row.example == example]
        assert len(mine) == 2
        first = model.graph.head(layer, 0)
        nodes = [lens.components[first : first + 5] for lens in mine]
        residuals = [lens.residuals[layer + 1] for lens in mine]
        expected = {
            "residual_entropy": np.mean([float(entropy(r)) for r in residuals]),
            "residual_top": np.mean([float(r.softmax(-1).max()) for r in residuals]),
            "node_entropy": np.mean([entropy(n).mean().item() for n in nodes]),
            "node_top": np.mean([n.softmax(-1).amax(-1).mean().item() for n in nodes]),
        }
        if example >= 5:
            expected |= {"node_entropy": None, "node_top": None}
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-4)


def open_positions(model: Model, encoded: list[Encoded]) -> dict[tuple[int, int, int], tuple[int, ...]]:
    """(example, step, target) -> what the model sees, for everything still to be said."""
    inputs = {}
    orders = orders_of(model, encoded)
    for i, e in enumerate(encoded[:6]):
        if model.causal:
            inputs |= {(i, 0, e.start + t): e.prompt + e.answer for t in range(len(e.answer))}
            continue
        hidden = set(range(len(e.answer)))
        for step, revealed in enumerate(orders[i]):
            ids = [*e.prompt, *(MASK if t in hidden else e.answer[t] for t in range(len(e.answer)))]
            inputs |= {(i, step, e.start + t): tuple(ids) for t in sorted(hidden)}
            hidden -= set(revealed)
    return inputs


@BUDGETS
@pytest.mark.parametrize("shifted", [True, False], ids=["shifted", "unshifted"])
@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_position_lens_is_the_residuals_lens_and_ends_in_the_models_output(
    architecture: str, causal: bool, shifted: bool, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens_by_layer, "LOGITS_BUDGET", budget)
    model = tiny.model(architecture, causal, shifted)
    encoded = tiny.random_examples(4) + tiny.random_examples(3, seed=1, answer=2)
    rows: dict[tuple[int, int, int], list[dict[str, Any]]] = {}
    for row in position_lens(model, encoded, orders_of(model, encoded)).to_pylist():
        rows.setdefault((row["example"], row["step"], row["target"]), []).append(row)
    expected = open_positions(model, encoded)
    assert list(rows) == list(expected)
    for (example, step, target), ids in expected.items():
        read, answer = model.read_position(target), encoded[example].answer[target - encoded[example].start]
        (lens,) = lenses(model, [ids], [read])
        mine = rows[example, step, target]
        assert [row["layer"] for row in mine] == [0, 1, 2]
        probabilities = model.logits(torch.tensor([ids]))[0, read].softmax(-1)
        for row, p in zip(mine, [*lens.residuals[:2].softmax(-1), probabilities], strict=True):
            assert row["probability"] == pytest.approx(float(p.max()), abs=1e-5)
            assert row["answer_probability"] == pytest.approx(float(p[answer]), abs=1e-5)
            assert row["token"] == model.tokenizer.convert_ids_to_tokens(int(p.argmax()))
            assert row["answer_rank"] == int((p > p[answer]).sum())


def test_only_the_first_examples_have_a_position_lens() -> None:
    model, encoded = tiny.model("llama", causal=True), tiny.random_examples(9)
    assert set(position_lens(model, encoded)["example"].to_pylist()) == set(range(6))
    assert set(position_lens(model, encoded[:1])["example"].to_pylist()) == {0}


def test_columns_have_their_types() -> None:
    model, encoded = tiny.model("llama", causal=True), tiny.random_examples(1)
    observer = LensLayers(model, 1)
    survey(model, inputs_of(tiny.rows_of(model, encoded), encoded), [observer])
    whole, real = pa.int32(), pa.float32()
    types = {"example": whole, "layer": whole} | dict.fromkeys(lens_by_layer.MEASURES, real)
    assert dict(zip(observer.table().column_names, observer.table().schema.types, strict=True)) == types
    table = position_lens(model, encoded)
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        **dict.fromkeys(("example", "step", "target", "layer"), whole),
        "token": pa.string(),
        "probability": real,
        "answer_probability": real,
        "answer_rank": whole,
    }
