"""Read a stored run: its edges, the overlap of two runs, and the rows of its tables.

`table` reads any table as Arrow, `rows` and `row` as records; the other functions return a shape of their own. A table
whose columns lie in several artifacts (engine/schema/artifacts.py) is joined; what is not computed yet is NotComputed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cache import queries
from engine.circuits.edges import EdgeBlocks, EdgeTable, OverlapCurve, RankedEdges
from engine.errors import UserError
from engine.runs.cache_connection import errors_of_cache, store
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
    Row,
    StepAccuracy,
    TrajectoryStep,
    read_rows,
)
from engine.runs.stored import get, has
from engine.schema.artifacts import Kind, kinds_with, row_numbers
from engine.schema.tables import TABLES
from engine.schema.vocabulary import COMMON_PARTS, HALVES, TOTAL

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.circuits.comparison import SplitHalf

TABLE_OF: dict[type[Any], str] = {
    ExampleRow: "examples",
    ReadoutRow: "readouts",
    NodeLens: "node_lens",
    LayerLens: "residual_lens",
    KeptInput: "inputs",
    Neuron: "neurons",
    NeuronDetail: "neuron_detail",
    NeuronTokens: "neuron_tokens",
    LayerHistogram: "activation_histograms",
    Head: "heads",
    RoleAttention: "attention_roles",
    TrajectoryStep: "trajectories",
    StepAccuracy: "accuracy_steps",
}

Value = int | str | None


class NotComputed(UserError):
    """An artifact of a run is not there yet, or somebody deleted it; `kind` says which."""

    def __init__(self, key: str, kind: Kind) -> None:
        super().__init__(f"The {kind} artifact of the run {short_key(key)} is not computed yet.")
        self.kind = kind


def edge_table(key: str, part: str = TOTAL, limit: int | None = None) -> EdgeTable:
    """The `limit` strongest edges of a part (all: None), strongest first. Reads a prefix of a sorted table.

    Raises:
        UserError: there is no such run or part; a run of one example has no second half.
    """
    _refuse_no_half(key, part)
    with errors_of_cache():
        content = queries.edges(store(), get(key).key, part, limit)
    if not content.num_rows and limit != 0:
        raise _no_part(key, part)
    return EdgeTable(_array(content, "edge"), _array(content, "score"))


def scores(key: str, part: str = TOTAL) -> NDArray[np.float32]:
    """[edge]: the score of every edge of a part. Raises like `edge_table`."""
    table = edge_table(key, part)
    values = np.zeros(len(table.edge), dtype=np.float32)
    values[table.edge] = table.score
    return values


def edges_among(key: str, part: str, edges: NDArray[np.int32]) -> RankedEdges:
    """Those of `edges` [edge] (Graph's indices) that a part has, with rank and score; in no order."""
    import pyarrow as pa

    with errors_of_cache():
        wanted = pa.table({"edge": pa.array(edges, pa.int32())})
        content = queries.edges_among(store(), get(key).key, part, wanted)
    return RankedEdges(*(_array(content, name) for name in ("edge", "rank", "score")))


def overlap_curve(key_a: str, key_b: str, part_a: str = TOTAL, part_b: str = TOTAL) -> OverlapCurve:
    """How much the top K of both have in common at every K of comparison.curve_sizes. Raises like `edge_table`.

    Worked out when it is asked for: 1.6 million edges take less than a tenth of a second.
    """
    from engine.circuits import comparison

    counts = shared_counts(key_a, key_b, part_a, part_b)
    k = comparison.curve_sizes(len(counts))
    return OverlapCurve(k, counts[k - 1])


def shared_counts(key_a: str, key_b: str, part_a: str = TOTAL, part_b: str = TOTAL) -> NDArray[np.int32]:
    """[K - 1]: how many edges the top K of both have in common, at every K. Raises like `edge_table`."""
    from engine.circuits import comparison

    for key, part in ((key_a, part_a), (key_b, part_b)):
        _refuse_no_half(key, part)
    return comparison.shared_counts_of_ranks(*_ranks((key_a, part_a), (key_b, part_b)))


def overlap(key_a: str, key_b: str, k: int, part_a: str = TOTAL, part_b: str = TOTAL) -> float:
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


def table(key: str, name: str, columns: Sequence[str] = (), /, **where: Value) -> pa.Table:
    """The rows of a run's table in its order, where the named columns have the given values (None: any).

    `columns` are those wanted (all: none named). Tables, their columns, types and units: engine/schema/tables.py.

    Raises:
        NotComputed: the artifact that holds one of the columns is not there.
        UserError: no such run, table or column, or a column is asked for a value that it cannot have.
    """
    described = TABLES.get(name)
    if described is None:
        raise UserError(f"There is no table {name!r}. Choose one of: {', '.join(TABLES)}.")
    known = {column.name: column for column in described.columns}
    unknown = sorted({*columns, *where} - set(known))
    if unknown:
        raise UserError(f"The table {name} has no column {unknown[0]!r}. Choose from: {', '.join(known)}.")
    lists = sorted(column for column in where if known[column].items is not None)
    if lists:
        raise UserError(f"The column {lists[0]!r} of {name} holds lists, which cannot be asked for a value.")
    conditions = {column: value for column, value in where.items() if value is not None}
    for column, value in conditions.items():
        if isinstance(value, str) != (known[column].kind == "text"):
            wanted = "texts" if known[column].kind == "text" else "numbers"
            raise UserError(f"The column {column!r} of {name} holds {wanted}; it was asked for {value!r}.")
    run = get(key)
    kinds = kinds_with(name, (*columns, *conditions) if columns else ())
    _refuse_not_computed(run, kinds)
    keys = [run.key_of(kind) for kind in kinds]
    with errors_of_cache():
        return queries.rows(store(), name, keys, row_numbers(described), columns or tuple(known), conditions)


def rows(kind: type[Row], key: str, /, **where: Value) -> list[Row]:
    """The rows of a table as records of `kind` (engine/runs/rows.py), in the table's order. Raises like `table`."""
    return read_rows(kind, table(key, TABLE_OF[kind], **where))


def row(kind: type[Row], key: str, /, **where: Value) -> Row | None:
    """The first of `rows`, or None where there is none. Raises like `table`."""
    return next(iter(rows(kind, key, **where)), None)


def node_lens(key: str, readout: int, node: int) -> NodeLens:
    """The lens of one node; UserError when the run has none for it (`logits` writes nothing)."""
    lens = row(NodeLens, key, readout=readout, node=node)
    if lens is None:
        raise UserError(f"The run {short_key(key)} has no lens of node {node} at readout {readout}.")
    return lens


def neuron(key: str, layer: int, neuron: int) -> Neuron:
    """One neuron; UserError when the model has none of that number."""
    record = row(Neuron, key, layer=layer, neuron=neuron)
    if record is None:
        meta = get(key).meta
        raise UserError(
            f"There is no neuron {neuron} in layer {layer}. Choose a layer from 0 to {meta.n_layers - 1} and a neuron "
            f"from 0 to {meta.n_neurons - 1}."
        )
    return record


def neurons_promoting(key: str, token: str, most: int = 200) -> pa.Table:
    """Neurons among whose most promoted tokens is `token`, the largest |attribution| first.

    With the columns of `neurons` that its circuit and its weights hold. Raises like `table`.
    """
    run = get(key)
    _refuse_not_computed(run, ("weights",))
    with errors_of_cache():
        return queries.neurons_promoting(store(), run.key, run.key_of("weights"), token, most)


def edge_blocks(key: str) -> EdgeBlocks:
    """The strongest edges' scores [edge, block] by block of examples, for intervals (engine/circuits/intervals.py)."""
    content = table(key, "edge_blocks")
    flat = content["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    blocks = len(flat) // max(1, content.num_rows)  # none of a circuit from elsewhere
    return EdgeBlocks(_array(content, "edge"), flat.reshape(content.num_rows, blocks))


def attention_patterns(key: str, node: int) -> dict[int, NDArray[np.float32]]:
    """Attention [query, key] of a head by kept input, to 1/255; as many inputs as were small enough to keep."""
    patterns: dict[int, NDArray[np.float32]] = {}
    for record in table(key, "attention_patterns", node=node).to_pylist():
        flat = np.array(record["pattern"], dtype=np.float32) / np.float32(255)
        patterns[record["input"]] = flat.reshape(round(len(flat) ** 0.5), -1)
    return patterns


def _array(content: pa.Table, column: str) -> Any:
    """[row] -> value of a column."""
    return content[column].combine_chunks().to_numpy(zero_copy_only=False)


def _refuse_not_computed(run: Run, kinds: Sequence[Kind]) -> None:
    for kind in kinds:
        if not has(run, kind):
            raise NotComputed(run.key, kind)


def _refuse_no_half(key: str, part: str) -> None:
    """What is stored as the second half of one example is zeros; a circuit from elsewhere has no halves at all."""
    run = get(key) if part in HALVES else None
    if run and run.spec.is_imported:
        raise UserError(f"The run {short_key(key)} is a circuit from elsewhere, of which there are no halves.")
    if run and part == HALVES[1] and not run.has_halves:
        raise UserError(f"The run {short_key(key)} is of one example, so that it has no second half to compare with.")


def _no_part(key: str, part: str) -> UserError:
    run = get(key)
    parts = (TOTAL,) if run.spec.is_imported else (*COMMON_PARTS, *run.meta.parts)
    return UserError(f"The run {short_key(key)} has no part {part!r}. Choose one of: {', '.join(parts)}.")


def _ranks(*sides: tuple[str, str]) -> list[NDArray[np.int32]]:
    """[edge] -> rank of each side, a run's key and part; UserError when they are not of one architecture."""
    ranks = []
    for key, part in sides:
        with errors_of_cache():
            content = queries.ranks(store(), get(key).key, part)
        if not content.num_rows:
            raise _no_part(key, part)
        rank = np.empty(content.num_rows, dtype=np.int32)
        rank[_array(content, "edge")] = _array(content, "rank")
        ranks.append(rank)
    sizes = [len(rank) for rank in ranks]
    if len(set(sizes)) > 1:
        runs, edges = " and ".join(short_key(key) for key, _ in sides), " and ".join(map(str, sizes))
        raise UserError(f"The runs {runs} have {edges} edges: only circuits of one architecture can be compared.")
    return ranks
