"""Every artifact's tables are made alone, with exactly its columns, and record no more than they need."""

from __future__ import annotations

import pyarrow as pa
import pytest

from engine.attribution.edge_scores import attribute
from engine.inspection import observers
from engine.inspection.artifact_tables import activity_tables, circuit_tables, lens_tables, weight_tables
from engine.inspection.observers import inputs_of
from engine.schema.arrow import arrow_schema
from engine.schema.artifacts import tables_in
from tests import tiny

EXAMPLES = 3
each = pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])


@each
def test_tables_have_the_columns_of_their_artifact(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, encoded = tiny.model("llama", causal), tiny.random_examples(EXAMPLES)
    rows = tiny.rows_of(model, encoded)
    inputs, roles = inputs_of(rows, encoded), [("word",) * len(e.prompt + e.answer) for e in encoded]
    recorded: list[str] = []
    recording = observers.recording
    monkeypatch.setattr(observers, "recording", lambda of, names: recorded.extend(names) or recording(of, names))
    done: list[int] = []
    made: dict[str, dict[str, pa.Table]] = {
        "circuit": circuit_tables(model, attribute(model, rows, EXAMPLES, points=1), EXAMPLES, inputs, roles),
    }
    assert {name.split(".", 2)[-1] for name in recorded} == {
        "mlp.hook_post",
        "mlp.hook_pre",
        "mlp.hook_pre_linear",
    }
    recorded.clear()
    made["lens"] = lens_tables(model, inputs, EXAMPLES, done.append)
    assert done == [len(inputs)] and not any("hook_pattern" in name or "hook_post" in name for name in recorded)
    recorded.clear()
    made["activity"] = activity_tables(model, inputs, roles)
    assert not any("hook_mlp_out" in name or "hook_pre_linear" in name for name in recorded)
    recorded.clear()
    made["weights"] = weight_tables(model, None)
    assert not recorded  # no input of a task is run
    for kind, tables in made.items():
        assert set(tables) <= set(tables_in(kind))
        for name, table in tables.items():
            assert table.schema == arrow_schema(name, kind), (kind, name)
            assert len(table)
    for name in ("neurons", "heads"):
        numbers = "node" if name == "heads" else "neuron"
        rows_of = [tables[name][numbers].to_pylist() for tables in made.values() if name in tables]
        assert len(rows_of) > 1 and all(rows == rows_of[0] for rows in rows_of)
