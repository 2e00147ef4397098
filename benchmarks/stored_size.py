"""How much disk a run takes at the size of a 7B pair, by storing synthetic tables of the same schema.

    python benchmarks/stored_size.py

Floats are random, so they compress as badly as floats can; tokens are drawn from a vocabulary of 30,000 by Zipf's law.
Each of two tasks is stored as two runs (ARM and MDM) in a new cache folder, whose files are measured.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.table import Figure  # noqa: E402
from cache.folder import ArtifactFolder  # noqa: E402
from cache.keys import hash_of  # noqa: E402
from cache.layout import Record  # noqa: E402
from engine.circuits.graph import Graph  # noqa: E402
from engine.inspection.bins import BINS  # noqa: E402
from engine.schema.artifacts import KINDS, Kind, columns_in, tables_in  # noqa: E402

EXAMPLES, KEPT = 64, 6
PATTERN_VALUES = 20_000_000
MEGABYTE = 2**20
BAR = 1024.0  # megabytes a task of a pair


@dataclass(frozen=True)
class Shape:
    """A model; `d_mlp` neurons in each MLP."""

    name: str
    layers: int
    heads: int
    d_mlp: int


@dataclass(frozen=True)
class Load:
    """A task: tokens of a prompt and of an answer. An MDM takes as many steps as there are answer tokens."""

    name: str
    prompt: int
    answer: int


SHAPES = (Shape("Qwen2.5-7B / Dream-7B", 28, 28, 18_944), Shape("LLaMA-2-7B / DiffuLLaMA", 32, 32, 11_008))
LOADS = (
    Load("IOI, 20 tokens", 20, 1),
    Load("SUDOKU, 60 + 16 tokens", 60, 16),
    Load("few-shot, 160 + 16 tokens", 160, 16),
)


def main() -> None:
    print(f"{'pair':26} {'task':28} {'stored':>10} {'in memory':>10}   largest tables (in memory)")
    for shape in SHAPES:
        for load in LOADS:
            report(shape, load)


def rows() -> list[Figure]:
    """The largest task of every pair, as stored."""
    return [
        Figure(f"stored runs, {shape.name}, {LOADS[-1].name}", stored(shape, LOADS[-1])[0], "MB", BAR)
        for shape in SHAPES
    ]


def report(shape: Shape, load: Load) -> None:
    megabytes, sizes = stored(shape, load)
    largest = sorted(sizes, key=lambda name: -sizes[name])[:4]
    told = ", ".join(f"{name} {sizes[name] / MEGABYTE:.0f}" for name in largest)
    print(f"{shape.name:26} {load.name:28} {megabytes:7.0f} MB {sum(sizes.values()) / MEGABYTE:7.0f} MB   {told}")


def stored(shape: Shape, load: Load) -> tuple[float, dict[str, int]]:
    """Megabytes on disk of a pair's two runs, and bytes in memory by table."""
    with tempfile.TemporaryDirectory() as folder:
        cache = ArtifactFolder(Path(folder))
        sizes: dict[str, int] = {}
        for number in range(2):
            tables = synthetic(shape, load, np.random.default_rng(number))
            sizes = {name: sizes.get(name, 0) + table.nbytes for name, table in tables.items()}
            for kind in KINDS:
                record = Record(hash_of({"run": number, "kind": kind}), kind, {}, {}, "", 0.0)
                cache.write(record, _held_by(kind, tables))
            del tables
        return cache.size() / MEGABYTE, sizes


def _held_by(kind: Kind, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    return {name: tables[name].select([column.name for column in columns_in(kind, name)]) for name in tables_in(kind)}


def synthetic(shape: Shape, load: Load, rng: np.random.Generator) -> dict[str, pa.Table]:
    """Tables as engine/runs/records.py describes them, with as many rows as a run of 64 examples has."""
    graph, steps = Graph(shape.layers, shape.heads), load.answer
    length, readouts = load.prompt + load.answer, KEPT * load.answer
    kept = 9 if steps > 1 else KEPT
    patterns = max(1, min(kept, PATTERN_VALUES // (shape.layers * shape.heads * length**2)))
    words = Words(rng)
    detailed = shape.layers * max(64, 4096 // shape.layers)
    heads = shape.layers * shape.heads
    every = shape.layers * shape.d_mlp
    lens_rows = KEPT * steps * (steps + 1) // 2 * (shape.layers + 1)
    trajectories = 8 * KEPT * steps

    def floats(rows: int) -> pa.Array:
        return pa.array(rng.standard_normal(rows), pa.float32())

    def ints(rows: int, most: int) -> pa.Array:
        return pa.array(rng.integers(0, most, rows), pa.int32())

    def texts(rows: int) -> pa.Array:
        return words(rows)

    def lists(rows: int, most: int, values: Callable[[int], pa.Array] = floats) -> pa.Array:
        offsets = pa.array(np.arange(rows + 1) * most, pa.int32())
        return pa.ListArray.from_arrays(offsets, values(rows * most))

    def counted(rows: int, most: int) -> pa.Array:
        return lists(rows, most, lambda n: pa.array(rng.poisson(30, n), pa.int32()))

    def bools(rows: int) -> pa.Array:
        return pa.array(rng.integers(0, 2, rows), pa.bool_())

    def repeated(values: int, times: int) -> pa.Array:
        return pa.array(np.repeat(np.arange(values), times), pa.int32())

    def tiled(values: int, times: int) -> pa.Array:
        return pa.array(np.tile(np.arange(values), times), pa.int32())

    parts = ["total", "half-a", "half-b", *(f"step-{step:02d}" for step in range(steps))]
    return {
        "edges": pa.concat_tables([_edges(graph, part, rng) for part in parts]),
        "examples": pa.table(
            {"example": tiled(EXAMPLES, 1)}
            | {name: lists(EXAMPLES, load.prompt, texts) for name in ("prompt", "corrupt_prompt")}
            | {name: lists(EXAMPLES, load.answer, texts) for name in ("answer", "corrupt_answer", "predicted")}
            | {"correct": bools(EXAMPLES), "metric_clean": floats(EXAMPLES), "metric_corrupt": floats(EXAMPLES)}
        ),
        "readouts": pa.table(
            {name: tiled(readouts, 1) for name in ("readout", "example", "position", "target")}
            | {"part": texts(readouts), "tokens": lists(readouts, length, texts)}
            | {"answer": texts(readouts), "foil": texts(readouts)}
        ),
        "node_lens": pa.table(
            {"readout": repeated(readouts, graph.n_sources), "node": tiled(graph.n_sources, readouts)}
            | {
                name: floats(readouts * graph.n_sources)
                for name in ("answer_logit", "foil_logit", "entropy", "top_probability")
            }
            | {name: lists(readouts * graph.n_sources, 10, texts) for name in ("promoted", "suppressed")}
            | {name: lists(readouts * graph.n_sources, 10) for name in ("promoted_logit", "suppressed_logit")}
        ),
        "residual_lens": pa.table(
            {"readout": repeated(readouts, shape.layers + 1), "layer": tiled(shape.layers + 1, readouts)}
            | {
                name: floats(readouts * (shape.layers + 1))
                for name in ("answer_probability", "foil_probability", "entropy")
            }
            | {name: ints(readouts * (shape.layers + 1), 1000) for name in ("answer_rank", "foil_rank")}
            | {"tokens": lists(readouts * (shape.layers + 1), 5, texts)}
            | {"probabilities": lists(readouts * (shape.layers + 1), 5)}
        ),
        "edge_blocks": pa.table({"edge": tiled(4096, 1), "scores": lists(4096, 32)}),
        "inputs": pa.table(
            {name: tiled(kept, 1) for name in ("input", "example", "start")}
            | {"part": texts(kept), "tokens": lists(kept, length, texts), "roles": lists(kept, length, texts)}
        ),
        "neurons": pa.table(
            {"layer": repeated(shape.layers, shape.d_mlp), "neuron": tiled(shape.d_mlp, shape.layers)}
            | {name: floats(every) for name in ("attribution", "half_a", "half_b", "mean", "std", "low", "high")}
            | {"active": floats(every), "counts": counted(every, BINS)}
            | {name: lists(every, 5, texts) for name in ("promoted", "suppressed")}
            | {name: lists(every, 5) for name in ("promoted_logit", "suppressed_logit")}
            | {name: floats(every) for name in ("cos_in", "cos_gate", "cos_out")}
        ),
        "neuron_detail": pa.table(
            {"layer": repeated(shape.layers, detailed // shape.layers), "neuron": ints(detailed, shape.d_mlp)}
            | {name: lists(detailed, 5, lambda n: ints(n, EXAMPLES)) for name in ("top_input_example", "top_position")}
            | {name: lists(detailed, 5, texts) for name in ("top_part", "gate_tokens", "up_tokens")}
            | {name: lists(detailed, 5) for name in ("top_value", "gate_cosine", "up_cosine")}
        ),
        "neuron_tokens": pa.table(
            {"input": repeated(kept, detailed), "layer": ints(kept * detailed, shape.layers)}
            | {"neuron": ints(kept * detailed, shape.d_mlp)}
            | {name: lists(kept * detailed, length) for name in ("activations", "gates", "ups")}
        ),
        "activation_histograms": pa.table(
            {"layer": tiled(shape.layers, 3), "region": texts(3 * shape.layers)}
            | {"counts": counted(3 * shape.layers, BINS), "n": ints(3 * shape.layers, 1000)}
            | {name: floats(3 * shape.layers) for name in ("mean", "std", "kurtosis", "active")}
        ),
        "residual_norms": pa.table(
            {"layer": repeated(shape.layers + 1, length), "offset": tiled(length, shape.layers + 1)}
            | {name: floats((shape.layers + 1) * length) for name in ("mean", "std")}
            | {"n": ints((shape.layers + 1) * length, EXAMPLES)}
        ),
        "heads": pa.table(
            {"node": tiled(heads, 1)}
            | {name: floats(heads) for name in ("norm_prompt", "norm_answer", "norm_readout", "previous_token")}
            | {name: floats(heads) for name in ("duplicate_token", "induction", "copying")}
        ),
        "attention_roles": pa.table(
            {"node": repeated(heads, 64), "query": texts(64 * heads), "key": texts(64 * heads)}
            | {"weight": floats(64 * heads), "queries": ints(64 * heads, 1000)}
        ),
        "attention_patterns": pa.table(
            {"input": repeated(patterns, heads), "node": tiled(heads, patterns)}
            | {
                "pattern": lists(
                    patterns * heads,
                    length**2,
                    lambda n: pa.array((255 * rng.beta(0.1, 2, n)).astype(np.uint8)),
                )
            }
        ),
        "lens_layers": pa.table(
            {"example": repeated(EXAMPLES, shape.layers), "layer": tiled(shape.layers, EXAMPLES)}
            | {name: floats(EXAMPLES * shape.layers) for name in ("residual_entropy", "residual_top")}
            | {name: floats(EXAMPLES * shape.layers) for name in ("node_entropy", "node_top")}
        ),
        "position_lens": pa.table(
            {name: ints(lens_rows, 16) for name in ("example", "step", "target", "layer", "answer_rank")}
            | {"token": texts(lens_rows), "probability": floats(lens_rows), "answer_probability": floats(lens_rows)}
        ),
        "reveals": pa.table({name: ints(EXAMPLES * steps, steps) for name in ("example", "step", "index")}),
        "trajectories": pa.table(
            {"sampler": texts(trajectories), "example": ints(trajectories, KEPT), "step": ints(trajectories, steps)}
            | {"tokens": lists(trajectories, load.answer, texts), "confidences": lists(trajectories, load.answer)}
            | {name: lists(trajectories, load.answer, bools) for name in ("revealed", "visible")}
            | {"correct": bools(trajectories)}
        ),
        "accuracy_steps": pa.table({name: ints(8, 200) for name in ("steps", "correct", "total")}),
    }


def _edges(graph: Graph, part: str, rng: np.random.Generator) -> pa.Table:
    scores = rng.standard_t(1.5, graph.n_edges).astype(np.float32)
    order = np.argsort(-np.abs(scores), kind="stable").astype(np.int32)
    name = pa.array([part], pa.string()).take(pa.array(np.zeros(len(order), np.int32)))
    return pa.table(
        {"part": name, "rank": np.arange(len(order), dtype=np.int32), "edge": order, "score": scores[order]}
    )


class Words:
    """Tokens of a vocabulary, the frequent ones often."""

    def __init__(self, rng: np.random.Generator) -> None:
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        self._words = pa.array([" " + "".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(30_000)])
        self._rng = rng

    def __call__(self, rows: int) -> pa.Array:
        drawn = (self._rng.pareto(0.7, rows) * 20).clip(0, len(self._words) - 1)
        return self._words.take(pa.array(drawn.astype(np.int32)))


if __name__ == "__main__":
    main()
