"""Read a stored run: its edges, the overlap of two runs, and the rows of its other tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cache.store import RunPart
from engine.circuits.edges import EdgeBlocks, EdgeTable, OverlapCurve, RankedEdges
from engine.errors import UserError
from engine.runs.cache_connection import store
from engine.runs.lifecycle import get
from engine.runs.records import Run, short_key
from engine.runs.rows import (
    ExampleRow,
    Head,
    KeptInput,
    LayerHistogram,
    LayerLens,
    Neuron,
    NeuronDetail,
    NeuronTokens,
    NodeLens,
    ReadoutRow,
    RoleAttention,
    StepAccuracy,
    TrajectoryStep,
    read_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.circuits.comparison import SplitHalf

HALVES = ("half-a", "half-b")  # parts of a run: its even and its odd examples


def edge_table(key: str, part: str = "total", limit: int | None = None) -> EdgeTable:
    """The `limit` strongest edges of a part (all: None), strongest first. Reads a prefix of a sorted table.

    Raises:
        UserError: there is no such run or part; a run of one example has no second half.
    """
    _refuse_no_half(key, part)
    table = store().edges(RunPart(key, part), limit)
    if not table.num_rows and limit != 0:
        raise _no_part(key, part)
    return EdgeTable(_array(table, "edge"), _array(table, "score"))


def edges_among(key: str, part: str, edges: NDArray[np.int32]) -> RankedEdges:
    """Those of `edges`, which are among a part's n_edges, with rank and score; in no order."""
    import pyarrow as pa

    table = store().edges_among(RunPart(key, part), pa.table({"edge": pa.array(edges, pa.int32())}))
    return RankedEdges(*(_array(table, name) for name in ("edge", "rank", "score")))


def overlap_curve(key_a: str, key_b: str, part_a: str = "total", part_b: str = "total") -> OverlapCurve:
    """How much the top K of both have in common at every K of circuit.curve_sizes; computed once, then kept.

    Raises like `edge_table`.
    """
    from engine.circuits import comparison

    for key, part in ((key_a, part_a), (key_b, part_b)):
        _refuse_no_half(key, part)
    a, b = RunPart(key_a, part_a), RunPart(key_b, part_b)
    kept = store().overlap(a, b)
    if not kept.num_rows:
        counts = comparison.shared_counts_of_ranks(*_ranks(a, b))
        k = comparison.curve_sizes(len(counts))
        kept = _curve(k, counts[k - 1])
        store().add_overlap(a, b, kept)
    return OverlapCurve(_array(kept, "k"), _array(kept, "shared"))


def overlap(key_a: str, key_b: str, k: int, part_a: str = "total", part_b: str = "total") -> float:
    """The Jaccard index of two circuits of `k` edges. Reads the `k` strongest edges of both, whatever else is kept."""
    from engine.circuits.comparison import overlap_of

    return overlap_of(edge_table(key_a, part_a, k).edge, edge_table(key_b, part_b, k).edge)


def split_half(arm: Run, mdm: Run, k: int) -> SplitHalf | None:
    """The like-with-like overlaps of two runs at `k` edges; None where there are no two halves of the examples."""
    from engine.circuits import comparison

    if not (arm.has_halves and mdm.has_halves):
        return None
    of_arm, of_mdm = ([edge_table(run.key, part, k).edge for part in HALVES] for run in (arm, mdm))
    return comparison.split_half((of_arm[0], of_arm[1]), (of_mdm[0], of_mdm[1]))


def examples(key: str) -> list[ExampleRow]:
    return read_rows(ExampleRow, store().examples(get(key).key))


def readouts(key: str) -> list[ReadoutRow]:
    return read_rows(ReadoutRow, store().readouts(get(key).key))


def node_lens(key: str, readout: int, node: int) -> NodeLens:
    """The lens of one node; UserError when the run has none for it (`logits` writes nothing)."""
    found = read_rows(NodeLens, store().node_lens(key, readout, node))
    if not found:
        raise UserError(f"The run {short_key(key)} has no lens of node {node} at readout {readout}.")
    return found[0]


def node_lens_all(key: str, readout: int) -> list[NodeLens]:
    """The lens of every node at a readout, in node order."""
    return read_rows(NodeLens, store().node_lens(key, readout))


def residual_lens(key: str, readout: int) -> list[LayerLens]:
    """The lens of the residual after every layer at a readout, from the embedding on."""
    return read_rows(LayerLens, store().residual_lens(key, readout))


def edge_blocks(key: str) -> EdgeBlocks:
    """The strongest edges' scores by block of examples, for intervals (engine/circuits/intervals.py)."""
    table = store().rows(get(key).key, "edge_blocks")
    flat = table["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return EdgeBlocks(_array(table, "edge"), flat.reshape(table.num_rows, -1))


def inputs(key: str) -> list[KeptInput]:
    """The inputs of which every token's detail is kept."""
    return read_rows(KeptInput, store().rows(key, "inputs"))


def neurons(key: str, layer: int | None = None, columns: Sequence[str] = ()) -> pa.Table:
    """Every neuron (of a layer) with the named columns of records' `neurons` (all: none named), in order."""
    where = {} if layer is None else {"layer": layer}
    return store().rows(key, "neurons", columns, **where)


def neuron(key: str, layer: int, neuron: int) -> Neuron:
    """One neuron; UserError when the model has none of that number."""
    found = read_rows(Neuron, store().rows(key, "neurons", layer=layer, neuron=neuron))
    if not found:
        meta = get(key).meta
        raise UserError(
            f"There is no neuron {neuron} in layer {layer}. Choose a layer from 0 to {meta.n_layers - 1} and a neuron "
            f"from 0 to {meta.n_neurons - 1}."
        )
    return found[0]


def neuron_detail(key: str, layer: int, neuron: int) -> NeuronDetail | None:
    """Detail of a strong neuron; None for those of which none is kept."""
    found = read_rows(NeuronDetail, store().rows(key, "neuron_detail", layer=layer, neuron=neuron))
    return found[0] if found else None


def neuron_tokens(key: str, layer: int, neuron: int) -> list[NeuronTokens]:
    """A strong neuron at every token of the kept inputs, in their order; empty for those of which none is kept."""
    return read_rows(NeuronTokens, store().rows(key, "neuron_tokens", layer=layer, neuron=neuron))


def layer_tokens(key: str, layer: int) -> pa.Table:
    """`input`, `neuron`, `activations` of every strong neuron of a layer."""
    return store().rows(key, "neuron_tokens", ("input", "neuron", "activations"), layer=layer)


def neurons_promoting(key: str, token: str, most: int = 200) -> pa.Table:
    """Neurons among whose most promoted tokens is `token`, the largest |attribution| first."""
    return store().neurons_promoting(key, token, most)


def activation_histograms(key: str) -> list[LayerHistogram]:
    return read_rows(LayerHistogram, store().rows(key, "activation_histograms"))


def residual_norms(key: str) -> pa.Table:
    return store().rows(key, "residual_norms")


def heads(key: str) -> list[Head]:
    return read_rows(Head, store().rows(key, "heads"))


def attention_roles(key: str, node: int) -> list[RoleAttention]:
    return read_rows(RoleAttention, store().rows(key, "attention_roles", node=node))


def attention_patterns(key: str, node: int) -> dict[int, NDArray[np.float32]]:
    """Attention [query, key] of a head by kept input, to 1/255; as many inputs as were small enough to keep."""
    table = store().rows(key, "attention_patterns", node=node)
    patterns: dict[int, NDArray[np.float32]] = {}
    for row in table.to_pylist():
        flat = np.array(row["pattern"], dtype=np.float32) / np.float32(255)
        patterns[row["input"]] = flat.reshape(round(len(flat) ** 0.5), -1)
    return patterns


def lens_layers(key: str) -> pa.Table:
    return store().rows(key, "lens_layers")


def position_lens(key: str, example: int) -> pa.Table:
    """The lens of every masked answer position of an example, over steps and layers."""
    return store().rows(key, "position_lens", example=example)


def reveals(key: str) -> pa.Table:
    """`example`, `step`, `index`: the order in which a run's MDM reveals."""
    return store().rows(key, "reveals")


def trajectories(key: str, sampler: str, example: int) -> list[TrajectoryStep]:
    return read_rows(TrajectoryStep, store().rows(key, "trajectories", sampler=sampler, example=example))


def accuracy_steps(key: str) -> list[StepAccuracy]:
    return read_rows(StepAccuracy, store().rows(key, "accuracy_steps"))


def _array(table: pa.Table, column: str) -> Any:
    return table[column].combine_chunks().to_numpy(zero_copy_only=False)


def _refuse_no_half(key: str, part: str) -> None:
    """What is stored as the second half of one example is zeros."""
    if part == "half-b" and not get(key).has_halves:
        raise UserError(f"The run {short_key(key)} is of one example, so that it has no second half to compare with.")


def _no_part(key: str, part: str) -> UserError:
    parts = ("total", "half-a", "half-b", *get(key).meta.parts)
    return UserError(f"The run {short_key(key)} has no part {part!r}. Choose one of: {', '.join(parts)}.")


def _ranks(*sides: RunPart) -> list[NDArray[np.int32]]:
    """[edge] -> rank of each side; UserError when they are not of one architecture."""
    found = []
    for side in sides:
        table = store().ranks(side)
        if not table.num_rows:
            raise _no_part(side.key, side.part)
        rank = np.empty(table.num_rows, dtype=np.int32)
        rank[_array(table, "edge")] = _array(table, "rank")
        found.append(rank)
    sizes = [len(rank) for rank in found]
    if len(set(sizes)) > 1:
        runs, edges = " and ".join(short_key(side.key) for side in sides), " and ".join(map(str, sizes))
        raise UserError(f"The runs {runs} have {edges} edges: only circuits of one architecture can be compared.")
    return found


def _curve(k: NDArray[np.int32], shared: NDArray[np.int32]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"k": k, "shared": shared})
