"""What a bundle says of its runs, checked field by field before any of it is kept; its tables: table_checks.py.

A bundle may come from anybody. Its texts are read within bounds: no JSON that nests without end, no number of thousands
of digits or that is none, no field twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from engine.circuits import comparison
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec
from engine.schema.tables import HALVES, LARGEST, LONGEST_TEXT, MOST_COUNT

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(r"(site|step)-\d{2,4}")
KEY = re.compile(r"[0-9a-f]{20}")
MOST_LAYERS = MOST_HEADS = 512
MOST_EDGES = 10_000_000
MOST_NEURONS = 1_000_000  # of an MLP
MOST_PARTS = 1000
MOST_REMARKS = 20
LONGEST_JSON = 20_000_000  # characters
DEEPEST = 50  # lists and tables within each other
MOST_DIGITS = 100  # of a whole number


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
    _refuse(not 0 <= values["accuracy"] <= 1, f"meta says accuracy = {values['accuracy']}")
    for name, most in (("n_neurons", MOST_NEURONS), ("n_sites", MOST_COUNT), ("accuracy_n", MOST_COUNT)):
        _refuse(not 1 <= values.get(name, 0) <= most, f"meta says {name} = {values.get(name)}")
    for name in ("metric_clean", "metric_corrupt"):
        _refuse(not -LARGEST <= values[name] <= LARGEST, f"meta says {name} = {values[name]}")
    _refuse(not 0 <= values.get("stored_bytes", 0) < 2**50, f"meta says stored_bytes = {values.get('stored_bytes')}")
    for part in parts:
        _refuse(type(part) is not str or not PART.fullmatch(part), f"meta has a part {str(part)[:40]!r}")
    ordered = 1 <= len(parts) <= MOST_PARTS and parts == sorted(set(parts))
    _refuse(not ordered, "meta has no parts, too many, one twice, or parts out of order")
    _refuse(len(versions) > 100 or any(type(v) is not str for v in versions.values()), "meta's versions are no texts")
    remarks = values.get("remarks", [])
    sentences = len(remarks) <= MOST_REMARKS and all(type(one) is str for one in remarks)
    _refuse(not sentences, f"meta's remarks are no texts, or more than {MOST_REMARKS}")
    for one in (*remarks, values["device"], values["architecture"], *versions, *versions.values()):
        _refuse(len(one) > LONGEST_TEXT, "meta has a very long text")
    return RunMeta.of(values)


def refuse_other_parts(of: RunSpec, about: RunMeta) -> None:
    """An ARM's run has sites, an MDM's denoising steps."""
    kind = "site-" if of.is_arm else "step-"
    other = next((name for name in about.parts if not name.startswith(kind)), None)
    _refuse(other is not None, f"meta has a part {other!r}, which a run of {of.model} has not")


def provenance(text: str | None, key: str, of: RunSpec) -> dict[str, Any]:
    """What a run of a spec was made with. Whether its hash is the key: provenance.is_key_of."""
    found = json_of(text or "", "made_with")
    _refuse(not KEY.fullmatch(key), f"a run's key is {key[:40]!r}")
    _refuse(found.get("spec") != of.as_dict(), f"the run {key} was made with another spec than it says")
    arm = type(None) if of.is_arm else str
    for name, kind in (("method_version", int), ("weights", str), ("compared_with", arm), ("libraries", dict)):
        _refuse(name not in found or type(found[name]) is not kind, f"the run {key} does not say its {name}")
    _refuse(of.is_control and type(found.get("read_as")) is not str, f"the run {key} does not say its read_as")
    return found


def when(text: str) -> str:
    """A moment in ISO 8601."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UserError(f"{text[:40]!r} is no date") from error


def curve(found: pa.Table, graph: Graph) -> pa.Table:
    """An overlap curve (`k`, `shared`) of two circuits of a graph, as it is; UserError when it can be none."""
    _refuse(any(found[name].null_count for name in ("k", "shared")), "an overlap curve lacks values")
    k, shared = (found[name].to_numpy().astype(np.int64) for name in ("k", "shared"))
    _refuse(
        not np.array_equal(k, comparison.curve_sizes(graph.n_edges)), "an overlap curve is not of the K that are kept"
    )
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
        found = json.loads(
            text, parse_constant=_no_number, parse_int=_whole, parse_float=_real, object_pairs_hook=_table
        )
        json.dumps(found, ensure_ascii=False).encode()  # half a character is none
    except RecursionError as error:
        raise UserError(f"{what} has lists or tables too deep within each other") from error
    except UserError as error:
        raise UserError(f"{what} has {error}") from error
    except ValueError as error:
        raise UserError(f"{what} is not valid JSON") from error
    _refuse(_depth(found) > DEEPEST, f"{what} has lists or tables more than {DEEPEST} deep within each other")
    if not isinstance(found, dict):
        raise UserError(f"{what} is not a table of fields")
    return found


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
    raise UserError(f"{name}, which is no number")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise UserError(f"a number of {len(digits):,} digits")
    return int(digits)


def _real(digits: str) -> float:
    found = float(digits)
    if not isfinite(found):
        raise UserError(f"the number {digits[:40]}, which is beyond all bounds")
    return found


def _table(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) < len(fields):
        names = [name for name, _ in fields]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"the field {twice[:40]!r} twice")
    return found


def _depth(found: Any) -> int:
    """How deep lists and tables lie within each other; level by level, as that has no end of its own."""
    level, depth = [found], 0
    while level and depth <= DEEPEST:
        within = [one for one in level if isinstance(one, dict | list)]
        level = [child for one in within for child in (one.values() if isinstance(one, dict) else one)]
        depth += bool(within)
    return depth


def _refuse(wrong: bool | np.bool, why: str) -> None:
    if wrong:
        raise UserError(why)
