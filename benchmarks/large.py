"""Synthetic runs at the size of a 7B pair: what the pages have to carry, without a model.

    CIRCUITS_CACHE=FOLDER CIRCUITS_PAIRS=FOLDER/pairs.toml python -m benchmarks.large llama FOLDER ioi countdown

Everything that tools/synthetic_runs.py makes, on a graph of 28 x 28 or 32 x 32 heads, with as many neurons as the real
MLPs have and tokens from a vocabulary of 30,000. The same spec gives the same run.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.stored_size import SHAPES, Shape, Words
from engine.circuits.graph import Graph
from engine.inspection.bins import BINS
from engine.runs import lifecycle
from engine.runs.records import Progress, Run, RunTables
from engine.runs.spec import RunSpec
from tools.synthetic_runs import by_kind, fake_run, register_fake_pair

PAIRS = {"qwen": SHAPES[0], "llama": SHAPES[1]}  # by the name of the pair
FLOAT, INT = pa.float32(), pa.int32()


def register(folder: Path, name: str) -> Path:
    """Write the pair `name` of PAIRS into a new folder; returns the file for CIRCUITS_PAIRS."""
    return register_fake_pair(folder, name=name, steps=())


def store(name: str, tasks: Sequence[str], models: Sequence[str] = ("arm", "mdm")) -> list[Run]:
    """Make and store the runs of a registered pair in the cache of the environment."""
    specs = [RunSpec(pair=name, task=task, model=model) for task in tasks for model in models]
    compute = by_kind(lru_cache(maxsize=1)(large_run))  # a run is made once for all of its artifacts
    return [lifecycle.run(spec, compute=compute) for spec in specs]


def large_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """A complete run of `spec`, whose pair is one of PAIRS."""
    shape = PAIRS[spec.pair]
    small = fake_run(spec, on_progress, Graph(shape.layers, shape.heads))
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(repr(spec).encode()).digest()[:8], "big"))
    words = Words(np.random.default_rng(0))
    tables = small.tables | neuron_tables(spec, shape, small.tables["inputs"], rng, words)
    return RunTables(replace(small.meta, n_neurons=shape.d_mlp), small.accuracy, tables)


def neuron_tables(
    spec: RunSpec, shape: Shape, inputs: pa.Table, rng: np.random.Generator, words: Words
) -> dict[str, pa.Table]:
    """`neurons` of every neuron; `neuron_detail` and `neuron_tokens` of each layer's strongest."""
    rows = shape.layers * shape.d_mlp
    both = np.random.default_rng(len(spec.task)).standard_t(2, rows) / 20  # what the two models have in common
    attribution = both + rng.normal(0, 0.03, rows)
    wobble = rng.normal(0, 0.02, rows)
    kept = _strongest(attribution.reshape(shape.layers, -1), max(64, 4096 // shape.layers))
    cosines = ("cos_in", "cos_gate", "cos_out")
    neurons = {
        **_places(np.repeat(np.arange(shape.layers), shape.d_mlp), np.tile(np.arange(shape.d_mlp), shape.layers)),
        **{name: pa.array(value, FLOAT) for name, value in (("attribution", attribution), ("mean", 2 * wobble))},
        **{name: pa.array(attribution + sign * wobble, FLOAT) for name, sign in (("half_a", 1), ("half_b", -1))},
        **{name: _floats(rng, rows) for name in ("std", "low", "high", "active")},
        "counts": _lists(rows, BINS, pa.array(rng.poisson(30, rows * BINS), INT)),
        **{name: _lists(rows, 5, words(5 * rows)) for name in ("promoted", "suppressed")},
        **{name: _lists(rows, 5, _floats(rng, 5 * rows)) for name in ("promoted_logit", "suppressed_logit")},
        **{name: pa.nulls(rows, FLOAT) if spec.is_arm else _floats(rng, rows) for name in cosines},
    }
    return {
        "neurons": pa.table(neurons),
        "neuron_detail": _detail(kept, spec, rng, words),
        "neuron_tokens": pa.concat_tables(
            _tokens(kept, number, len(tokens), rng)
            for number, tokens in zip(inputs["input"].to_pylist(), inputs["tokens"].to_pylist(), strict=True)
        ),
    }


def _strongest(attribution: np.ndarray, most: int) -> dict[str, pa.Array]:
    """`layer` and `neuron` of the `most` strongest of every row of [layer, neuron]."""
    strongest = np.sort(np.argsort(-np.abs(attribution), axis=1)[:, :most], axis=1)
    return _places(np.repeat(np.arange(len(strongest)), most), strongest.ravel())


def _detail(kept: dict[str, pa.Array], spec: RunSpec, rng: np.random.Generator, words: Words) -> pa.Table:
    rows = len(kept["layer"])
    part = "site-00" if spec.is_arm else "step-00"
    return pa.table(
        {
            **kept,
            "top_input_example": _lists(rows, 5, pa.array(rng.integers(0, spec.n, 5 * rows), INT)),
            "top_part": _lists(rows, 5, pa.array([part] * (5 * rows))),
            "top_position": _lists(rows, 5, pa.array(rng.integers(0, 8, 5 * rows), INT)),
            **{name: _lists(rows, 5, _floats(rng, 5 * rows)) for name in ("top_value", "gate_cosine", "up_cosine")},
            **{name: _lists(rows, 5, words(5 * rows)) for name in ("gate_tokens", "up_tokens")},
        }
    )


def _tokens(kept: dict[str, pa.Array], number: int, length: int, rng: np.random.Generator) -> pa.Table:
    rows = len(kept["layer"])
    lists = {name: _lists(rows, length, _floats(rng, rows * length)) for name in ("activations", "gates", "ups")}
    return pa.table({"input": pa.array(np.full(rows, number), INT), **kept, **lists})


def _places(layers: np.ndarray, neurons: np.ndarray) -> dict[str, pa.Array]:
    return {"layer": pa.array(layers, INT), "neuron": pa.array(neurons, INT)}


def _floats(rng: np.random.Generator, count: int) -> pa.Array:
    return pa.array(rng.random(count), FLOAT)


def _lists(rows: int, most: int, values: pa.Array) -> pa.ListArray:
    """`values` as lists of `most` entries."""
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * most, INT), values)


if __name__ == "__main__":
    pair, folder, *tasks = sys.argv[1:]
    register(Path(folder), pair)
    store(pair, tasks)
