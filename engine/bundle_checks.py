"""What a bundle says, checked before any of it is kept: the records of its runs field by field, its tables row by row.

A bundle may come from anybody. Whatever passes here is a run that the pages can show: every part holds every edge once
and in order, numbers point at nodes, layers, neurons and examples that there are, and lists that belong together are
equally long. Whether the numbers are true nobody can tell without computing them.
"""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from engine import circuit
from engine.bins import BINS
from engine.errors import UserError
from engine.graph import Graph
from engine.records import RunMeta
from engine.spec import RunSpec

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(r"(site|step)-\d{2,4}")
KEY = re.compile(r"[0-9a-f]{20}")
HALVES = ("total", "half-a", "half-b")
REGIONS = ("prompt", "answer", "readout")
MOST_LAYERS = MOST_HEADS = 512
MOST_EDGES = 10_000_000
MOST_NEURONS = 1_000_000  # of an MLP
MOST_PARTS = 1000
MOST_REMARKS = 20
MOST_COUNT = 10_000_000  # of tokens, positions, steps, ranks
LONGEST_TEXT = 1000  # characters of a token or a name
LONGEST_JSON = 20_000_000  # characters

# Columns whose numbers are below a size of the run, in whatever table they are. Others are below MOST_COUNT.
BELOW = {
    "edge": "n_edges",
    "rank": "n_edges",
    "example": "n",
    "top_input_example": "n",
    "readout": "n_readouts",
    "input": "n_inputs",
    "node": "n_sources",
    "layer": "n_layers",
    "neuron": "n_neurons",
}
WITH_EMBEDDING = ("residual_lens", "residual_norms", "position_lens")  # whose layer 0 is the embedding
MAY_BE_NEGATIVE = {("residual_norms", "offset")}
MAY_BE_MISSING = {
    ("neurons", "cos_in"),
    ("neurons", "cos_gate"),
    ("neurons", "cos_out"),
    ("heads", "copying"),
    ("activation_histograms", "kurtosis"),
}
# Tables that have a row for everything there is, by the columns that number the rows.
WHOLE = {
    "examples": {"example": "n"},
    "readouts": {"readout": "n_readouts"},
    "inputs": {"input": "n_inputs"},
    "node_lens": {"readout": "n_readouts", "node": "n_sources"},
    "residual_lens": {"readout": "n_readouts", "layer": "n_states"},
    "neurons": {"layer": "n_layers", "neuron": "n_neurons"},
    "lens_layers": {"example": "n", "layer": "n_layers"},
}
ALIKE = {  # lists of a row that have as many entries
    "node_lens": (("promoted", "promoted_logit"), ("suppressed", "suppressed_logit")),
    "residual_lens": (("tokens", "probabilities"),),
    "inputs": (("tokens", "roles"),),
    "neurons": (("promoted", "promoted_logit"), ("suppressed", "suppressed_logit")),
    "neuron_detail": (
        ("top_input_example", "top_part", "top_position", "top_value"),
        ("gate_tokens", "gate_cosine"),
        ("up_tokens", "up_cosine"),
    ),
    "neuron_tokens": (("activations", "gates"),),
    "trajectories": (("tokens", "confidences", "revealed", "visible"),),
}


@dataclass(frozen=True)
class Sizes:
    """How many of everything a run has; `inputs`: how many tokens each of its kept inputs has."""

    graph: Graph
    n: int
    n_neurons: int
    parts: tuple[str, ...]
    n_readouts: int = 0
    inputs: tuple[int, ...] = ()

    @cached_property
    def bounds(self) -> dict[str, int]:
        return {
            "n": self.n,
            "n_layers": self.graph.n_layers,
            "n_states": self.graph.n_layers + 1,
            "n_sources": self.graph.n_sources,
            "n_edges": self.graph.n_edges,
            "n_neurons": self.n_neurons,
            "n_readouts": self.n_readouts,
            "n_inputs": len(self.inputs),
        }


def spec(text: str, pair: str) -> RunSpec:
    """The spec of a run of `pair`.

    Raises:
        UserError: a field is unknown, missing or of another type, or says what no run can be asked.
    """
    values = _record(text, RunSpec, "spec")
    for name, value in values.items():
        _refuse(isinstance(value, str) and len(value) > LONGEST_TEXT, f"{name} in spec is a very long text")
        _refuse(isinstance(value, int) and abs(value) >= 2**53, f"{name} in spec is a very large number")
    found = RunSpec(**values)
    if found.pair != pair:
        raise UserError(f"a run is of the pair {found.pair!r}, not of {pair!r}")
    return found


def meta(text: str) -> RunMeta:
    """The record of a run; raises like `spec`."""
    values = _record(text, RunMeta, "meta")
    parts, versions = values["parts"], values["versions"]
    for name, most in (("n_layers", MOST_LAYERS), ("n_heads", MOST_HEADS)):
        _refuse(not 1 <= values[name] <= most, f"meta says {name} = {values[name]}")
    n_layers, n_heads = values["n_layers"], values["n_heads"]
    edges = _n_edges(n_layers, n_heads)
    _refuse(edges > MOST_EDGES, f"{n_layers} layers of {n_heads} heads have {edges:,} edges, more than {MOST_EDGES:,}")
    _refuse(not 0 <= values.get("n_neurons", 0) <= MOST_NEURONS, f"meta says n_neurons = {values.get('n_neurons')}")
    _refuse(not 0 <= values["accuracy"] <= 1, f"meta says accuracy = {values['accuracy']}")
    for name in ("n_sites", "accuracy_n"):
        _refuse(not 0 <= values[name] <= MOST_COUNT, f"meta says {name} = {values[name]}")
    _refuse(not 0 <= values.get("stored_bytes", 0) < 2**50, f"meta says stored_bytes = {values.get('stored_bytes')}")
    _refuse(len(parts) > MOST_PARTS or len(set(parts)) < len(parts), "meta has too many parts, or one twice")
    for part in parts:
        _refuse(type(part) is not str or not PART.fullmatch(part), f"meta has a part {str(part)[:40]!r}")
    _refuse(len(versions) > 100 or any(type(v) is not str for v in versions.values()), "meta's versions are no texts")
    remarks = values.get("remarks", [])
    sentences = len(remarks) <= MOST_REMARKS and all(type(one) is str for one in remarks)
    _refuse(not sentences, f"meta's remarks are no texts, or more than {MOST_REMARKS}")
    for one in (*remarks, values["device"], values["architecture"], *versions, *versions.values()):
        _refuse(len(one) > LONGEST_TEXT, "meta has a very long text")
    return RunMeta.of(values)


def made_with(text: str | None, key: str, of: RunSpec) -> dict[str, Any]:
    """What a run of a spec was made with. Whether its hash is the key is for the pipeline to say."""
    found = json_of(text or "", "made_with")
    _refuse(not KEY.fullmatch(key), f"a run's key is {key[:40]!r}")
    _refuse(found.get("spec") != of.as_dict(), f"the run {key} was made with another spec than it says")
    arm = type(None) if of.is_arm else str
    for name, kind in (("method_version", int), ("weights", str), ("compared_with", arm), ("libraries", dict)):
        _refuse(name not in found or type(found[name]) is not kind, f"the run {key} does not say its {name}")
    return found


def when(text: str) -> str:
    """A moment in ISO 8601."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError(f"{text[:40]!r} is no date") from error


def sizes(of: RunSpec, about: RunMeta, readouts: pa.Table, inputs: pa.Table) -> Sizes:
    """What the other tables of a run are checked against."""
    return Sizes(
        graph=about.graph,
        n=of.n,
        n_neurons=about.n_neurons,
        parts=about.parts,
        n_readouts=readouts.num_rows,
        inputs=tuple(_lengths(inputs, "tokens").tolist()),
    )


def table(name: str, found: pa.Table, of: Sizes) -> pa.Table:
    """A run's table, as it is; UserError when the pages could not show it."""
    for column in found.column_names:
        _check_column(name, column, found[column].combine_chunks(), of)
    for columns in ALIKE.get(name, ()):
        lengths = [_lengths(found, column) for column in columns]
        same = all(np.array_equal(lengths[0], other) for other in lengths[1:])
        _refuse(not same, f"in {name}, the lists {', '.join(columns)} are not equally long")
    if name in WHOLE:
        _check_whole(name, found, of)
    checks = {
        "edges": _check_edges,
        "edge_blocks": _check_edge_blocks,
        "inputs": _check_inputs,
        "neurons": _check_counts,
        "activation_histograms": _check_counts,
        "neuron_tokens": _check_neuron_tokens,
        "attention_patterns": _check_patterns,
        "heads": _check_heads,
    }
    if name in checks:
        checks[name](name, found, of)
    return found


def curve(found: pa.Table, graph: Graph) -> pa.Table:
    """An overlap curve (`k`, `shared`) of two circuits of a graph, as it is; UserError when it can be none."""
    k, shared = _numbers(found, "k").astype(np.int64), _numbers(found, "shared").astype(np.int64)
    _refuse(not np.array_equal(k, circuit.curve_sizes(graph.n_edges)), "an overlap curve is not of the K that are kept")
    rises, most = np.diff(shared, prepend=0), 2 * np.diff(k, prepend=0)
    possible = (rises >= 0).all() and (rises <= most).all() and (shared <= k).all() and shared[-1] == graph.n_edges
    _refuse(not possible, "an overlap curve has numbers that no two circuits can have in common")
    return found


def text(value: object, what: str, longest: int = LONGEST_TEXT) -> str:
    """A text that is not too long."""
    if not isinstance(value, str) or len(value) > longest:
        raise UserError(f"{what} is no text, or longer than {longest:,} characters")
    return value


def seconds(value: float) -> float:
    """How long something took."""
    _refuse(not 0 <= value < MOST_COUNT, f"a run took {value} seconds")
    return value


def part(name: str, of: RunMeta) -> str:
    """The name of a part that a run has."""
    _refuse(name not in (*HALVES, *of.parts), f"an overlap curve is of the part {name[:40]!r}, which the run has not")
    return name


def json_of(text: str, what: str) -> dict[str, Any]:
    """The table of fields that a text says in JSON."""
    if len(text) > LONGEST_JSON:
        raise UserError(f"{what} is longer than {LONGEST_JSON:,} characters")
    try:
        found = json.loads(text, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode()  # half a character is none
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} is not valid JSON") from error
    if not isinstance(found, dict):
        raise UserError(f"{what} is not a table of fields")
    return found


def _check_column(name: str, column: str, values: Any, of: Sizes) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    where = f"the column {column} of {name}"
    if (name, column) not in MAY_BE_MISSING:
        _refuse(values.null_count > 0, f"{where} lacks values")
    if pa.types.is_list(values.type):
        values = values.flatten()
        _refuse(values.null_count > 0, f"{where} lacks values")
    if not len(values) or pa.types.is_boolean(values.type):
        return
    if pa.types.is_string(values.type):
        _refuse(pc.max(pc.utf8_length(values)).as_py() > LONGEST_TEXT, f"{where} has a very long text")
        if column in ("part", "top_part"):
            unknown = [
                name for name in pc.unique(values).to_pylist() if name not in HALVES and not PART.fullmatch(name)
            ]
            _refuse(bool(unknown), f"{where} has a part {str(unknown)[:40]}, which no run has")
        if column == "region":
            _refuse(not set(pc.unique(values).to_pylist()) <= set(REGIONS), f"{where} has an unknown region")
    elif pa.types.is_floating(values.type):
        _refuse(bool(pc.any(pc.is_inf(values)).as_py()), f"{where} has an infinite number")
    else:
        low, high = pc.min_max(values).as_py().values()
        most = of.bounds[BELOW[column]] if column in BELOW else MOST_COUNT * (1000 if column in ("counts", "n") else 1)
        if column == "layer" and name in WITH_EMBEDDING:
            most += 1
        least = -MOST_COUNT if (name, column) in MAY_BE_NEGATIVE else 0
        _refuse(
            not least <= low <= high < most, f"{where} has numbers from {low:,} to {high:,}, below {most:,} allowed"
        )


def _check_whole(name: str, found: pa.Table, of: Sizes) -> None:
    """That there is a row for every combination of what numbers the rows, in order."""
    counts = {column: of.bounds[size] for column, size in WHOLE[name].items()}
    rows = int(np.prod(list(counts.values())))
    _refuse(found.num_rows != rows, f"{name} has {found.num_rows:,} rows, not {rows:,}")
    place = np.arange(rows)
    for column, count in reversed(counts.items()):
        _refuse(not np.array_equal(_numbers(found, column), place % count), f"{name} has a row twice or lacks one")
        place //= count


def _check_edges(name: str, found: pa.Table, of: Sizes) -> None:
    """That every part ranks every edge once, by |score|."""
    import pyarrow.compute as pc

    expected, n_edges = {*HALVES, *of.parts}, of.graph.n_edges
    counted = {row["values"]: row["counts"] for row in pc.value_counts(found["part"]).to_pylist()}
    whole = dict.fromkeys(expected, n_edges)
    _refuse(counted != whole, f"edges does not hold {n_edges:,} edges of each of {len(expected)} parts")
    for part in expected:
        rows = found.filter(pc.equal(found["part"], part))
        ranks, edges, scores = (_numbers(rows, column) for column in ("rank", "edge", "score"))
        _refuse(not np.array_equal(ranks, np.arange(n_edges)), f"edges has a rank of {part} twice or lacks one")
        _refuse((np.bincount(edges, minlength=n_edges) != 1).any(), f"edges has an edge of {part} twice or lacks one")
        sizes = np.abs(scores)
        sorted_scores = np.isfinite(scores).all() and (sizes[1:] <= sizes[:-1]).all()
        _refuse(not sorted_scores, f"edges has scores of {part} that are not in order")


def _check_edge_blocks(name: str, found: pa.Table, of: Sizes) -> None:
    _refuse(len(np.unique(_numbers(found, "edge"))) < found.num_rows, "edge_blocks has an edge twice")
    _refuse(len(np.unique(_lengths(found, "scores"))) > 1, "edge_blocks has rows of different length")


def _check_inputs(name: str, found: pa.Table, of: Sizes) -> None:
    _refuse((_numbers(found, "start") > _lengths(found, "tokens")).any(), "inputs has an answer beyond its end")


def _check_counts(name: str, found: pa.Table, of: Sizes) -> None:
    _refuse((_lengths(found, "counts") != BINS).any(), f"{name} has histograms that do not have {BINS} bins")


def _check_neuron_tokens(name: str, found: pa.Table, of: Sizes) -> None:
    lengths, ups = _lengths(found, "activations"), _lengths(found, "ups")
    expected = np.array(of.inputs, dtype=np.int64)[_numbers(found, "input")]
    sound = np.array_equal(lengths, expected) and ((ups == 0) | (ups == lengths)).all()
    _refuse(not sound, "neuron_tokens has not one number a token")


def _check_patterns(name: str, found: pa.Table, of: Sizes) -> None:
    tokens = np.array(of.inputs, dtype=np.int64)[_numbers(found, "input")]
    _refuse((_lengths(found, "pattern") != tokens**2).any(), "attention_patterns has one that is not tokens x tokens")


def _check_heads(name: str, found: pa.Table, of: Sizes) -> None:
    graph = of.graph
    every = [graph.head(layer, head) for layer in range(graph.n_layers) for head in range(graph.n_heads)]
    _refuse(_numbers(found, "node").tolist() != every, "heads does not have a row for every head")


def _numbers(found: pa.Table, column: str) -> NDArray[Any]:
    return np.asarray(found[column].combine_chunks().to_numpy(zero_copy_only=False))


def _lengths(found: pa.Table, column: str) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(found[column]).to_numpy(), dtype=np.int64)


def _n_edges(n_layers: int, n_heads: int) -> int:
    """Graph.n_edges, without making the graph."""
    before = [1 + layer * (n_heads + 1) for layer in range(n_layers)]  # sources before a layer
    inner = sum(3 * n_heads * sources + sources + n_heads for sources in before)
    return inner + 1 + n_layers * (n_heads + 1)


def _record(text: str, kind: type, what: str) -> dict[str, Any]:
    """The values of a record's fields; UserError when one is unknown, missing or of another type."""
    found = json_of(text, what)
    types = get_type_hints(kind)
    unknown = set(found) - set(types)
    _refuse(bool(unknown), f"{what} has an unknown field {min(unknown, default='')[:40]!r}")
    for one in fields(kind):
        if one.name not in found:
            _refuse(one.default is MISSING, f"{what} lacks the field {one.name!r}")
            continue
        value, wanted = found[one.name], types[one.name]
        base = getattr(wanted, "__origin__", wanted)
        allowed = {float: (float, int), tuple: (list,)}.get(base, (base,))
        _refuse(type(value) not in allowed, f"{one.name} in {what} is a {type(value).__name__}")
    return found


def _no_number(name: str) -> None:
    raise ValueError(name)


def _refuse(wrong: bool | np.bool, why: str) -> None:
    if wrong:
        raise UserError(why)
