"""Ask the cache, else compute, then store: the only engine module that knows the cache.

1. A spec's key is the hash of everything that changes its numbers (`key_of`).
2. A run with that key is read from the cache (`find`). Where the weights are not here, so that there is no key, the
   newest run of the spec is; runs come from elsewhere in bundles (engine/exchange/bundle.py).
3. Otherwise it is computed (`run`, or engine/runs/jobs.py in another process) and stored whole (`keep`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cache.bundle import BundleError, BundleFile, opened
from cache.keys import hash_of
from cache.store import Bundle, RunPart, RunRow, Store, StoreError
from engine import settings
from engine.circuits.edges import EdgeBlocks, EdgeTable, OverlapCurve, RankedEdges
from engine.errors import UserError
from engine.files.temporary import scratch_folder
from engine.models.pairs import pair_named, weights_id
from engine.models.scorable import refuse_unscorable
from engine.runs import device_plan
from engine.runs.records import Progress, Run, RunMeta, RunTables, short_key
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
from engine.runs.spec import RunSpec
from engine.tasks import task_named

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.circuits.comparison import SplitHalf

__all__ = [
    "EdgeBlocks",
    "EdgeTable",
    "ExampleRow",
    "Head",
    "KeptInput",
    "LayerHistogram",
    "LayerLens",
    "Neuron",
    "NeuronDetail",
    "NeuronTokens",
    "NodeLens",
    "OverlapCurve",
    "RankedEdges",
    "ReadoutRow",
    "RoleAttention",
    "StepAccuracy",
    "TrajectoryStep",
]

METHOD_VERSION = 3  # raised by every change of code that changes a number
HALVES = ("half-a", "half-b")  # parts of a run: its even and its odd examples
MOST_LISTED = 8  # runs that an error names
LIBRARIES = ("torch", "transformers", "transformer-lens")

OnProgress = Callable[[Progress], None]
Compute = Callable[[RunSpec, OnProgress], RunTables]

_opening = threading.Lock()
_computing = threading.Lock()


def ignore(progress: Progress) -> None:
    """The listener of those who don't listen."""


def key_of(spec: RunSpec) -> str:
    """The key of a spec's run: its fields, its pair's weights and settings, the method and the libraries.

    Raises:
        UserError: no such pair, task or checkpoint, or its weights are not there.
    """
    return hash_of(provenance(spec))


def provenance(spec: RunSpec) -> dict[str, Any]:
    """Everything that changes the numbers of a spec's run; the key is its hash. Raises like `key_of`."""
    task_named(spec.task)
    pair = pair_named(spec.pair)
    # The control is read with the MDM's tokenizer, and with the MDM's row of the mask where the ARM has none.
    reader = {"read_as": weights_id(pair.folder("mdm"))} if spec.is_control else {}
    return {
        "spec": spec.as_dict(),
        "method_version": METHOD_VERSION,
        "weights": weights_id(pair.folder(spec.model)),
        "compared_with": None if spec.is_arm else weights_id(pair.folder("arm")),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        **reader,
        **pair.reading(spec.model),
    }


def obstacle(spec: RunSpec) -> str | None:
    """Why a spec cannot be computed here, in a sentence: its weights are not here, can't be scored or are too large.

    None where it can.
    """
    try:
        provenance(spec)
        pair = pair_named(spec.pair)
        for model in dict.fromkeys(("arm", spec.model)):  # an MDM is compared with its ARM
            refuse_unscorable(pair, model)
        shape = device_plan.shape_of(pair)
        if shape is not None:
            device_plan.refuse_too_large(device_plan.plan(shape, (spec.dtype,)), pair.folder(spec.model))
    except UserError as error:
        return str(error)
    return None


def find(spec: RunSpec) -> Run | None:
    """The stored run of a spec, or None.

    Where the weights are here, it is the run with the spec's key, else one that a bundle brought of the same weights,
    whatever the versions of the libraries. Where they are not, it is the newest run of the spec.

    Raises:
        UserError: no such pair or task.
    """
    task_named(spec.task)
    pair_named(spec.pair)
    try:
        wanted = provenance(spec)
    except UserError:
        rows = _rows_of(spec)
    else:
        exact = store().run(hash_of(wanted))
        rows = [exact] if exact else [row for row in _rows_of(spec) if row.imported and _same_models(row, wanted)]
    return _run(rows[0]) if rows else None


def run(spec: RunSpec, on_progress: OnProgress = ignore, compute: Compute | None = None) -> Run:
    """The run of a spec: from the cache, else computed here and stored whole.

    `compute` is engine.compute.compute unless given. One run is computed at a time, and never the same one twice.

    Raises:
        UserError: what the spec asks for is not there, or the cache cannot be opened.
        Whatever `compute` or `on_progress` raises; then nothing is stored.
    """
    with _computing:
        found = find(spec)
        if found:
            return found
        began = time.monotonic()
        tables = (compute or _compute())(spec, on_progress)
        return keep(spec, tables, time.monotonic() - began)


def keep(spec: RunSpec, tables: RunTables, seconds: float) -> Run:
    """Store what was computed for a spec in `seconds`, whole or not at all."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    meta = replace(tables.meta, stored_bytes=sum(table.nbytes for table in tables.tables.values()))
    row = RunRow(
        key=key_of(spec),
        spec=json.dumps(spec.as_dict()),
        meta=json.dumps(asdict(meta)),
        created=now,
        seconds=seconds,
        made_with=json.dumps(provenance(spec)),
    )
    store().add_run(row, tables.tables)
    return get(row.key)


def list_runs() -> list[Run]:
    """Every stored run, newest first; without those whose settings are refused by now, of which `notice` tells."""
    return [_run(row) for row in store().runs() if not _refused(row)]


def get(key: str) -> Run:
    """The stored run of a key; UserError when there is none."""
    row = store().run(key)
    if row is None:
        raise UserError(f"There is no run with the key {key!r} in the cache {settings.database_path()}.")
    return _run(row)


def key_beginning(text: str) -> str:
    """The key of the one stored run whose key begins so.

    Raises:
        UserError: no run's does, or several do; the text lists them.
    """
    runs = list_runs()
    found = [run for run in runs if text and run.key.startswith(text.lower())]
    if len(found) == 1:
        return found[0].key
    shown = [f"{short_key(run.key)} ({run.spec.model} on {run.spec.task})" for run in (found or runs)[:MOST_LISTED]]
    more = len(found or runs) - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more else "")
    if found:
        raise UserError(f"{len(found)} runs have a key that begins with {text!r}: {listed}. Give more of it.")
    there = f"There are {listed}." if runs else "There are no runs yet."
    raise UserError(f"No run in the cache {settings.database_path()} has a key that begins with {text!r}. {there}")


def write_bundle(path: Path, header: str, keys: Sequence[str]) -> None:
    """Write runs to a new file that `opened_bundle` reads, with a header of the caller's.

    Raises:
        UserError: there is something at `path` already, or it cannot be written.
    """
    try:
        store().write_bundle(path, header, keys)
    except StoreError as error:
        raise UserError(str(error)) from error


@contextmanager
def opened_bundle(path: Path) -> Iterator[BundleFile]:
    """A bundle as it is in its file, not yet checked; what it raises, as a UserError that names the file."""
    try:
        with scratch_folder() as scratch, opened(path, scratch) as file:
            yield file
    except (BundleError, UserError) as error:
        raise UserError(f"{path.name} cannot be imported: {str(error).rstrip('.')}.") from error


def add_bundle(bundle: Bundle) -> list[str]:
    """Store what of a bundle is not there yet, runs and comparisons, whole or not at all; the keys of the new runs.

    Raises:
        Whatever reading the bundle raises.
    """
    return store().add_bundle(bundle)


def is_key_of(key: str, description: Mapping[str, Any]) -> bool:
    """Whether a run that was made with this has this key."""
    return hash_of(description) == key


def delete(key: str) -> None:
    """Remove a run, its tables and its comparisons from the cache."""
    if store().run(key) is None:
        get(key)  # says so
    store().delete_run(key)


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


@cache
def library_version(name: str) -> str:
    """A library's version without importing it; "none" when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def store() -> Store:
    """The open cache of this process.

    Raises:
        UserError: another program holds the file, or it cannot be written.
    """
    try:
        with _opening:
            return _store_at(settings.database_path())
    except StoreError as error:
        raise UserError(f"{error} (CIRCUITS_DB names the path.)") from error


def notice() -> str | None:
    """A sentence about the cache that the user has to know, or None."""
    moved = store().set_aside
    if moved:
        return f"The cache could not be read. It was set aside as {moved} and a new one was begun."
    refused = [(row, why) for row in store().runs() if (why := _refused(row))]
    if refused:
        row, why = refused[0]
        return f"Runs of an earlier version that are left out: {len(refused)}. {row.key}: {why}"
    return None


def close() -> None:
    """Close this process's cache, so that another program can open it; the next read opens it again."""
    with _opening:
        if _store_at.cache_info().currsize:
            _store_at(settings.database_path()).close()
            _store_at.cache_clear()


@cache
def _store_at(path: Path) -> Store:
    return Store(path)


def _compute() -> Compute:
    from engine.runs.compute import compute

    chosen: Compute = compute
    return chosen


def _run(row: RunRow) -> Run:
    return Run(
        key=row.key,
        spec=RunSpec(**json.loads(row.spec)),
        meta=RunMeta.of(json.loads(row.meta)),
        created=row.created,
        seconds=row.seconds,
        imported=row.imported,
        provenance=json.loads(row.made_with or "{}"),
    )


def _refused(row: RunRow) -> str | None:
    """Why a run with the settings of a stored one is refused by now; None where it is not."""
    try:
        RunSpec(**json.loads(row.spec))
    except UserError as error:
        return str(error)
    return None


def _rows_of(spec: RunSpec) -> list[RunRow]:
    return store().runs_of(json.dumps(spec.as_dict()))


def _same_models(row: RunRow, wanted: dict[str, Any]) -> bool:
    """Whether a run is of these weights, read in this way by this method; its libraries may be others."""
    found: dict[str, Any] = json.loads(row.made_with or "{}")
    return {**found, "libraries": None} == {**wanted, "libraries": None}


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
