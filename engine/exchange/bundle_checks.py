"""What a bundle says of its runs, checked field by field before any of it is kept; its tables: table_checks.py.

A bundle may come from anybody, so its texts are read within the bounds of engine/files/reading.py.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from engine.circuits import comparison
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.files.checked import checked
from engine.files.reading import Json, read_json_table
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec
from engine.schema.columns import LARGEST, LONGEST_TEXT, MOST_COUNT
from engine.schema.vocabulary import COMMON_PARTS, SITE, STEP

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(rf"({SITE}|{STEP})\d{{2,4}}")
KEY = re.compile(r"[0-9a-f]{20}")
MOST_LAYERS = MOST_HEADS = 512
MOST_EDGES = 10_000_000
MOST_NEURONS = 1_000_000  # of an MLP
MOST_PARTS = 1000
MOST_REMARKS = 20
MOST_VERSIONS = 100
LONGEST_JSON = 20_000_000  # characters
BOUNDS = {  # of the numbers of a run's record
    "n_layers": (1, MOST_LAYERS),
    "n_heads": (1, MOST_HEADS),
    "n_neurons": (1, MOST_NEURONS),
    "n_sites": (1, MOST_COUNT),
    "accuracy": (0, 1),
    "accuracy_n": (1, MOST_COUNT),
    "metric_clean": (-LARGEST, LARGEST),
    "metric_corrupt": (-LARGEST, LARGEST),
    "stored_bytes": (0, 2**50),
}


def spec(text: str, pair: str) -> RunSpec:
    """The spec of a run of `pair`.

    Raises:
        UserError: a field is unknown, missing or of another type, or says what no run can be asked.
    """
    values = json_of(text, "spec")
    for name, value in values.items():
        _refuse(isinstance(value, str) and len(value) > LONGEST_TEXT, f"{name} in spec is a very long text")
        _refuse(isinstance(value, int) and abs(value) >= 2**53, f"{name} in spec is a very large number")
    stated = checked(RunSpec, values, "spec", "in spec")
    if stated.pair != pair:
        raise UserError(f"a run is of the pair {stated.pair!r}, not of {pair!r}")
    return stated


def meta(text: str) -> RunMeta:
    """The record of a run; raises like `spec`."""
    about = checked(RunMeta, json_of(text, "meta"), "meta", "in meta")
    for name, bounds in BOUNDS.items():
        value, (low, high) = getattr(about, name), bounds
        _refuse(not low <= value <= high, f"meta says {name} = {value}. It must be from {low:g} to {high:g}")
    edges = _n_edges(about.n_layers, about.n_heads)
    _refuse(
        edges > MOST_EDGES,
        f"{about.n_layers} layers of {about.n_heads} heads have {edges:,} edges, more than {MOST_EDGES:,}",
    )
    for part in about.parts:
        _refuse(not PART.fullmatch(part), f"meta has a part {part[:40]!r}")
    ordered = 1 <= len(about.parts) <= MOST_PARTS and list(about.parts) == sorted(set(about.parts))
    _refuse(not ordered, "meta has no parts, too many, one twice, or parts out of order")
    _refuse(len(about.versions) > MOST_VERSIONS, f"meta has more than {MOST_VERSIONS} versions")
    _refuse(len(about.remarks) > MOST_REMARKS, f"meta has more than {MOST_REMARKS} remarks")
    texts = (*about.remarks, about.device, about.architecture, *about.versions, *about.versions.values())
    _refuse(any(len(text) > LONGEST_TEXT for text in texts), "meta has a very long text")
    return about


def refuse_other_parts(of: RunSpec, about: RunMeta) -> None:
    """An ARM's run has sites, an MDM's denoising steps."""
    kind = SITE if of.is_arm else STEP
    other = next((name for name in about.parts if not name.startswith(kind)), None)
    _refuse(other is not None, f"meta has a part {other!r}, which a run of {of.model} has not")


def provenance(text: str | None, key: str, of: RunSpec) -> Json:
    """What a run of a spec was made with. Whether its hash is the key: provenance.is_key_of."""
    made_with = json_of(text or "", "made_with")
    _refuse(not KEY.fullmatch(key), f"a run's key is {key[:40]!r}")
    _refuse(made_with.get("spec") != of.as_dict(), f"the run {key} was made with another spec than it says")
    arm = type(None) if of.is_arm else str
    for name, kind in (("method_version", int), ("weights", str), ("compared_with", arm), ("libraries", dict)):
        _refuse(name not in made_with or type(made_with[name]) is not kind, f"the run {key} does not say its {name}")
    _refuse(of.is_control and type(made_with.get("read_as")) is not str, f"the run {key} does not say its read_as")
    return made_with


def when(text: str) -> str:
    """A moment in ISO 8601."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError(f"{text[:40]!r} is no date") from error


def curve(rows: pa.Table, graph: Graph) -> pa.Table:
    """An overlap curve (`k`, `shared`) of two circuits of a graph, as it is; UserError when it can be none."""
    _refuse(any(rows[name].null_count for name in ("k", "shared")), "an overlap curve lacks values")
    k, shared = (rows[name].to_numpy().astype(np.int64) for name in ("k", "shared"))
    _refuse(
        not np.array_equal(k, comparison.curve_sizes(graph.n_edges)), "an overlap curve is not of the K that are kept"
    )
    rises, most = np.diff(shared, prepend=0), 2 * np.diff(k, prepend=0)
    possible = (rises >= 0).all() and (rises <= most).all() and (shared <= k).all() and shared[-1] == graph.n_edges
    _refuse(not possible, "an overlap curve has numbers that no two circuits can have in common")
    return rows


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
    _refuse(
        name not in (*COMMON_PARTS, *of.parts), f"an overlap curve is of the part {name[:40]!r}, which the run has not"
    )
    return name


def json_of(text: str, what: str) -> Json:
    """The table of fields that a text says in JSON."""
    if len(text) > LONGEST_JSON:
        raise UserError(f"{what} is longer than {LONGEST_JSON:,} characters")
    return read_json_table(text, what, exact=True)


def _n_edges(n_layers: int, n_heads: int) -> int:
    """Graph.n_edges, without making the graph."""
    before = [1 + layer * (n_heads + 1) for layer in range(n_layers)]  # sources before a layer
    inner = sum(3 * n_heads * sources + sources + n_heads for sources in before)
    return inner + 1 + n_layers * (n_heads + 1)


def _refuse(wrong: bool | np.bool, why: str) -> None:
    if wrong:
        raise UserError(why)
