"""Whether a run's tables are whole and agree with each other, beyond what each column can hold.

What passes is a run that the pages can show: every part ranks every edge once, numbers point at nodes, layers, neurons,
examples and inputs that there are, lists that belong together are equally long, and no table that pages read is empty.
Whether the numbers are true nobody can tell without computing them.

Tables are checked in the order of engine/schema/tables.py, as some are held against others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.exchange.column_checks import Sizes, check_columns, lengths_of, numbers_of, refuse, refuse_rows
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KINDS
from engine.schema.tables import TABLES
from engine.schema.vocabulary import BLOCKS, COMMON_PARTS, REGIONS, SAMPLERS, TOTAL

if TYPE_CHECKING:
    import pyarrow as pa


def sizes(spec: RunSpec, meta: RunMeta, readouts: pa.Table | None = None, inputs: pa.Table | None = None) -> Sizes:
    """What the tables of a run are checked against; two of them say how many rows others have."""
    return Sizes(
        graph=meta.graph,
        n=spec.n,
        n_neurons=meta.n_neurons,
        n_sites=meta.n_sites,
        parts=meta.parts,
        is_arm=spec.is_arm,
        n_readouts=0 if readouts is None else readouts.num_rows,
        inputs=() if inputs is None else tuple(lengths_of(inputs, "tokens").tolist()),
    )


def check_tables(spec: RunSpec, meta: RunMeta, tables: Mapping[str, pa.Table]) -> None:
    """UserError, naming table and column, where a run has a table that the pages could not show."""
    of, seen = sizes(spec, meta, tables["readouts"], tables["inputs"]), Seen()
    for name in TABLES:
        refuse_rows(name, tables[name].num_rows, of)
        check(name, tables[name], of, seen)


@dataclass
class Seen:
    """What tables that were checked before say, for those that refer to them."""

    answers: list[int] = field(default_factory=list)  # tokens of each example's answer
    strongest: NDArray[np.int32] | None = None  # edges of the total by rank
    detailed: NDArray[np.int64] | None = None  # layer * n_neurons + neuron of the neurons with detail


def check(name: str, stored: pa.Table, of: Sizes, seen: Seen, kinds: Collection[str] = KINDS) -> pa.Table:
    """A table, as it is; UserError where it is not sound, or not with what was `seen` before.

    `kinds`: the artifacts that are there of its run; columns that others hold are not looked for.
    """
    check_columns(name, stored, of, kinds)
    if name in RELATIONS and stored.num_rows:
        RELATIONS[name](stored, of, seen)
    return stored


def _edges(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    """Every part ranks every edge once, by |score|."""
    import pyarrow.compute as pc

    expected, n_edges = (*COMMON_PARTS, *of.parts), of.graph.n_edges
    counted = {row["values"]: row["counts"] for row in pc.value_counts(stored["part"]).to_pylist()}
    whole = dict.fromkeys(expected, n_edges)
    refuse(counted != whole, f"the table edges does not hold {n_edges:,} edges of each of {len(expected)} parts")
    for part in expected:
        rows = stored.filter(pc.equal(stored["part"], part))
        ranks, edges, scores = (numbers_of(rows, column) for column in ("rank", "edge", "score"))
        order = np.array_equal(ranks, np.arange(n_edges))
        refuse(not order, f"the table edges has a rank of {part} twice or lacks one")
        once = (np.bincount(edges, minlength=n_edges) == 1).all()
        refuse(not once, f"the table edges has an edge of {part} twice or lacks one")
        sizes = np.abs(scores)
        refuse((sizes[1:] > sizes[:-1]).any(), f"the column score of edges has scores of {part} that are not in order")
        if part == TOTAL:
            seen.strongest = edges


def _examples(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    seen.answers = lengths_of(stored, "answer").tolist()


def _readouts(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    tokens = lengths_of(stored, "tokens")
    for column in ("position", "target"):
        beyond = (numbers_of(stored, column) >= tokens).any()
        refuse(beyond, f"the column {column} of readouts is beyond the tokens")


def _edge_blocks(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    edges, lengths = numbers_of(stored, "edge"), np.unique(lengths_of(stored, "scores"))
    refuse(len(np.unique(edges)) < len(edges), "the column edge of edge_blocks has an edge twice")
    blocks = min(BLOCKS, of.n)
    expected = lengths.tolist() == [blocks]
    refuse(not expected, f"the column scores of edge_blocks has lists that do not have {blocks} entries")
    if seen.strongest is not None:
        strongest = np.array_equal(np.sort(edges), np.sort(seen.strongest[: len(edges)]))
        refuse(not strongest, "the column edge of edge_blocks has others than the strongest edges")


def _inputs(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    start, tokens = numbers_of(stored, "start"), lengths_of(stored, "tokens")
    refuse((start >= tokens).any(), "the column start of inputs has an answer beyond the input's end")


def _neurons(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    """What it holds of its circuit needs no more; the rest where it is there."""
    there = set(stored.column_names)
    if "counts" in there:
        low, high = numbers_of(stored, "low"), numbers_of(stored, "high")
        refuse((low > high).any(), "the column low of neurons has numbers above those of the column high")
        nothing = _sums(stored, "counts") < 1
        refuse(nothing.any(), "the column counts of neurons has a histogram of nothing")
    for name in sorted(there & {"promoted", "suppressed"}):
        several = len(np.unique(lengths_of(stored, name))) > 1
        refuse(several, f"the column {name} of neurons has lists of different length")
    for name in sorted(there & {"cos_in", "cos_gate", "cos_out"}):
        nulls, rows = stored[name].null_count, stored.num_rows
        allowed = {rows} if of.is_arm else {0, rows} if name == "cos_gate" else {0}
        refuse(nulls not in allowed, f"the column {name} of neurons lacks values, or has them and should not")


def _neuron_detail(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    seen.detailed = _neuron_numbers(stored, of)
    ordered = (np.diff(seen.detailed) > 0).all()
    refuse(not ordered, "the table neuron_detail has a neuron twice, or neurons out of order")
    every = np.bincount(numbers_of(stored, "layer"), minlength=of.graph.n_layers)
    refuse(len(set(every.tolist())) > 1, "the column layer of neuron_detail has not as many neurons of every layer")
    gates, ups = lengths_of(stored, "gate_tokens"), lengths_of(stored, "up_tokens")
    refuse(not _all_or_none(ups, gates), "the column up_tokens of neuron_detail has lists of different length")


def _neuron_tokens(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    tokens = np.array(of.inputs, dtype=np.int64)[numbers_of(stored, "input")]
    lengths, ups = lengths_of(stored, "activations"), lengths_of(stored, "ups")
    refuse(not np.array_equal(lengths, tokens), "the column activations of neuron_tokens has not one number a token")
    refuse(not _all_or_none(ups, lengths), "the column ups of neuron_tokens has not one number a token")
    if seen.detailed is not None:
        inputs = len(of.inputs)
        place = _neuron_numbers(stored, of) * inputs + numbers_of(stored, "input")
        every = (seen.detailed[:, None] * inputs + np.arange(inputs)).ravel()
        same = np.array_equal(np.sort(place), every)
        refuse(not same, "the column neuron of neuron_tokens has others than the neurons of neuron_detail")


def _neuron_numbers(stored: pa.Table, of: Sizes) -> NDArray[np.int64]:
    return numbers_of(stored, "layer").astype(np.int64) * of.n_neurons + numbers_of(stored, "neuron")


def _histograms(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    layers, regions = numbers_of(stored, "layer").tolist(), stored["region"].to_pylist()
    there = sorted(zip(layers, regions, strict=True))
    every = sorted((layer, region) for layer in range(of.graph.n_layers) for region in REGIONS)
    refuse(there != every, "the column region of activation_histograms has one of a layer twice or lacks one")
    wrong = _sums(stored, "counts") != numbers_of(stored, "n")
    refuse(wrong.any(), "the column n of activation_histograms is not the sum of the column counts")


def _residual_norms(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    layers, offsets = numbers_of(stored, "layer"), numbers_of(stored, "offset")
    width, states = len(offsets) // of.by_name["n_states"], of.by_name["n_states"]
    whole = np.array_equal(layers, np.repeat(np.arange(states), width)) and np.array_equal(
        offsets, np.tile(offsets[0] + np.arange(width), states)
    )
    refuse(not whole, "the column offset of residual_norms has one of a layer twice or lacks one")


def _heads(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    refuse(numbers_of(stored, "node").tolist() != of.heads, "the column node of heads does not hold every head once")


def _attention_roles(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    """Every head has a row for every two roles."""
    queries, keys = stored["query"].to_pylist(), stored["key"].to_pylist()
    roles, heads = set(queries), of.heads
    refuse(roles != set(keys), "the columns query and key of attention_roles have different roles")
    nodes = np.repeat(heads, len(roles) ** 2)
    whole = np.array_equal(numbers_of(stored, "node"), nodes)
    there = set(zip(nodes.tolist(), queries, keys, strict=True)) if whole else set()
    refuse(len(there) != len(nodes), "the column node of attention_roles has two roles of a head twice or lacks them")


def _attention_patterns(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    inputs, nodes = numbers_of(stored, "input"), numbers_of(stored, "node")
    tokens = np.array(of.inputs, dtype=np.int64)[inputs]
    square = np.array_equal(lengths_of(stored, "pattern"), tokens**2)
    refuse(not square, "the column pattern of attention_patterns has one that is not tokens x tokens")
    kept, heads = int(inputs.max()) + 1, of.heads
    there = set(zip(nodes.tolist(), inputs.tolist(), strict=True))
    every = {(node, number) for node in heads for number in range(kept)}
    whole = there == every and len(nodes) == len(every)
    refuse(not whole, "the column node of attention_patterns has a head of an input twice or lacks one")


def _position_lens(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    states = of.by_name["n_states"]
    places = np.stack([numbers_of(stored, column) for column in ("example", "step", "target")])
    layers = numbers_of(stored, "layer")
    whole = len(layers) % states == 0 and np.array_equal(layers, np.arange(len(layers)) % states)
    refuse(not whole, "the column layer of position_lens has one twice or lacks one")
    blocks = places.reshape(3, -1, states)
    whole = bool((blocks == blocks[:, :, :1]).all()) and len(np.unique(blocks[:, :, 0], axis=1).T) == blocks.shape[1]
    refuse(not whole, "the column target of position_lens has a place twice, or only some of its layers")
    late = of.is_arm and places[1].any()
    refuse(late, "the column step of position_lens has steps, where an ARM has none")


def _reveals(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    """Every example's answer is revealed, each token once, in steps that follow each other."""
    examples, steps, indices = (numbers_of(stored, column) for column in ("example", "step", "index"))
    every = [(example, t) for example, length in enumerate(seen.answers) for t in range(length)]
    there = sorted(zip(examples.tolist(), indices.tolist(), strict=True))
    refuse(there != every, "the column index of reveals does not hold every token of every answer once")
    places = np.unique(np.stack([examples, steps]), axis=1)
    first = np.diff(places[0], prepend=-1) > 0  # the first step of an example
    follow = np.where(first, places[1] == 0, np.diff(places[1], prepend=0) == 1)
    refuse(not follow.all(), "the column step of reveals lacks a step")


def _trajectories(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    """Every sampler fills in the same first examples, step by step."""
    samplers, examples = stored["sampler"].to_pylist(), numbers_of(stored, "example")
    answers = np.array(seen.answers)[examples]
    fitting = np.array_equal(lengths_of(stored, "tokens"), answers)
    refuse(not fitting, "the column tokens of trajectories has not one token for each of the answer")
    there = sorted(zip(samplers, examples.tolist(), numbers_of(stored, "step").tolist(), strict=True))
    kept = int(examples.max()) + 1
    every = sorted(
        (sampler, example, step)
        for sampler in SAMPLERS
        for example in range(kept)
        for step in range(seen.answers[example])
    )
    refuse(there != every, "the column step of trajectories has a step of a sampler twice or lacks one")


def _accuracy_steps(stored: pa.Table, of: Sizes, seen: Seen) -> None:
    steps, correct, total = (numbers_of(stored, column) for column in ("steps", "correct", "total"))
    refuse((np.diff(steps) < 1).any(), "the column steps of accuracy_steps has a number twice")
    refuse((correct > total).any(), "the column correct of accuracy_steps has more than the column total")


def _all_or_none(lengths: NDArray[np.int64], full: NDArray[np.int64]) -> bool:
    """Whether lists are all empty, or all as long as others."""
    return not lengths.any() or np.array_equal(lengths, full)


def _sums(stored: pa.Table, column: str) -> NDArray[np.int64]:
    """The sum of each list, all of which are of one length."""
    flat = stored[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.int64).reshape(stored.num_rows, -1).sum(1)


RELATIONS: dict[str, Callable[[Any, Sizes, Seen], None]] = {
    "edges": _edges,
    "examples": _examples,
    "readouts": _readouts,
    "edge_blocks": _edge_blocks,
    "inputs": _inputs,
    "neurons": _neurons,
    "neuron_detail": _neuron_detail,
    "neuron_tokens": _neuron_tokens,
    "activation_histograms": _histograms,
    "residual_norms": _residual_norms,
    "heads": _heads,
    "attention_roles": _attention_roles,
    "attention_patterns": _attention_patterns,
    "position_lens": _position_lens,
    "reveals": _reveals,
    "trajectories": _trajectories,
    "accuracy_steps": _accuracy_steps,
}
