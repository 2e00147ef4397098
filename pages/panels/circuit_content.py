"""What the circuit component shows of two runs: edges, overlap lines and numbers over K as arrays, words as a header.

1. `arrays_of` reads the edges of both models and works out what the browser cannot: ranks in the other model, the
   overlap lines, and everything above the HERE strongest edges. It is kept between reruns.
2. `header_of` says in words what is shown and chosen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.circuits.along_k import SHARE, along_k, rank_in_other
from engine.circuits.comparison import curve_sizes, jaccard_at, shared_counts_of_prefixes
from engine.circuits.filters import KINDS
from engine.circuits.graph import Graph
from engine.circuits.profiles import early_boundary
from engine.runs import read
from engine.runs.records import Run
from pages.figures.palette import Palette
from pages.panels.references import SPLIT_HALF_HELP, Line, overlap_pairs, solved
from pages.shared import cached_reads, state
from pages.shared.glossary import meaning
from pages.shared.sides import Side, Sides
from pages.shared.state import TOTAL

HERE = 5_000  # edges of either model that the browser has, so that it needs nobody to move K among them
STOP_EVERY = 2  # of the sizes of a curve, above HERE
Arrays = dict[str, NDArray[Any]]
Pair = tuple[str, str, str, str]  # two circuits: key and part of one, key and part of the other
DASHES = {"pair": "solid", "control": "dashed"}  # of overlap lines; the others are dotted


@dataclass(frozen=True)
class Told:
    """What the server tells the component is chosen; `serial` counts these, so that each is taken once."""

    chosen: dict[str, object]
    serial: int


@dataclass(frozen=True)
class Slide:
    """A choice that needs other data: a checkpoint, a denoising step, a site. It can be slid and played."""

    name: str  # what the component calls it
    label: str
    options: list[str]
    value: str


def stops_of(n_edges: int, k: int) -> NDArray[np.int32]:
    """[stop]: the K above HERE with numbers: some of a curve's sizes, the options of the arrow keys, `k`."""
    sizes = [*curve_sizes(n_edges)[::STOP_EVERY], *state.k_options(n_edges), k]
    return np.unique(np.array([size for size in sizes if size > HERE], dtype=np.int32))


@st.cache_resource(show_spinner=False, max_entries=32)
def arrays_of(
    arm: tuple[str, str], mdm: tuple[str, str], lines: tuple[tuple[Pair, ...], ...], k: int, whole: bool
) -> Arrays:
    """Everything but words; `arm`, `mdm`: a run's key and the part of its scores; `lines`: whose mean each line is.

    `k`: a K above HERE that is chosen, else any up to it. `whole` False: nothing above HERE, which is read at once.
    """
    graph = cached_reads.graph_of(arm[0])
    here = min(HERE, graph.n_edges)
    stops = stops_of(graph.n_edges, k) if whole else np.empty(0, np.int32)
    # All edges are read past the cache of reads: what is worked out of them here is kept.
    tables = [read.edge_table(*side) if len(stops) else cached_reads.edges(*side, here) for side in (arm, mdm)]
    arrays: Arrays = {"stops": stops.astype(np.int32)}
    for name, own, other in (("arm", *tables), ("mdm", *reversed(tables))):
        arrays |= {f"{name}_{column}": array for column, array in _edges(graph, own, other, here).items()}
    if len(stops):
        along = along_k(graph, tables[0], tables[1], stops)
        arrays |= {"stop_shared": along.shared, "stop_components": along.components.astype(np.float32)}
        for at, name in enumerate(("arm", "mdm")):
            arrays[f"{name}_early"] = along.early_share[at].astype(np.float32)
            arrays[f"{name}_effective"] = along.effective_number[at].astype(np.float32)
            arrays[f"{name}_profile"] = along.layer_profile[at].astype(np.float32)
    return arrays | {f"line_{at}": _line(pairs, here, stops) for at, pairs in enumerate(lines)}


def _edges(graph: Graph, own: Any, other: Any, here: int) -> Arrays:
    edge = own.edge[:here]
    source, target = graph.endpoints(edge)
    return {
        "source": source.astype(np.uint16),
        "target": target.astype(np.uint16),
        "kind": graph.destination_kind[graph.edge_destination[edge]].astype(np.uint8),
        "score": own.score[:here].astype(np.float32),
        "other": rank_in_other(edge, other.edge),
    }


def _line(pairs: tuple[Pair, ...], here: int, stops: NDArray[np.int32]) -> NDArray[np.float32]:
    """[K - 1 up to `here`, then stop]: the mean Jaccard index of the pairs of circuits."""
    sizes = np.concatenate([np.arange(1, here + 1), stops])
    curves = [jaccard_at(np.concatenate([_shared_up_to(pair, here), _shared_at(pair, stops)]), sizes) for pair in pairs]
    return np.asarray(np.mean(curves, axis=0), dtype=np.float32)


def _shared_up_to(pair: Pair, here: int) -> NDArray[np.int32]:
    key_a, part_a, key_b, part_b = pair
    return shared_counts_of_prefixes(
        cached_reads.edges(key_a, part_a, here).edge, cached_reads.edges(key_b, part_b, here).edge
    )


def _shared_at(pair: Pair, stops: NDArray[np.int32]) -> NDArray[np.int32]:
    """[stop]: shared edges."""
    if not len(stops):
        return np.empty(0, np.int32)
    key_a, part_a, key_b, part_b = pair
    return read.shared_counts(key_a, key_b, part_a, part_b)[stops - 1]


def payload_of(
    sides: Sides, control: Run | None, palette: Palette, told: Told, slides: Sequence[Slide] = (), whole: str = ""
) -> tuple[dict[str, object], Arrays]:
    """The header and the arrays of what the component shows.

    First only what is quickly read; the component asks for the rest when it has drawn that: `whole` is the text by
    which the header called the circuits then.
    """
    lines = overlap_pairs(sides, control)
    of = [(side.run.key, side.part) for side in sides]
    k = sides.k if sides.k > HERE else 0
    circuits = hashlib.sha256(repr((of, lines)).encode()).hexdigest()[:16]
    partial = whole != circuits and sides.graph.n_edges > HERE and not k
    arrays = arrays_of(of[0], of[1], tuple(line.pairs for line in lines), k, not partial)
    about = {
        "circuits": circuits,
        "version": f"{circuits} {k} {partial}",
        "partial": partial,
        "slides": [asdict(slide) for slide in slides],
        **asdict(told),
    }
    return header_of(sides, control, lines, palette) | about, arrays


def header_of(sides: Sides, control: Run | None, lines: list[Line], palette: Palette) -> dict[str, object]:
    """Everything that is not an array and not chosen."""
    graph = sides.graph
    colours = {name: getattr(palette, name) for name in palette.__dataclass_fields__}
    by_style = {
        "pair": palette.shared,
        "control": palette.neutral,
        "control-mdm": palette.neutral,
        "half-pair": palette.text,
    }
    of_line = by_style | {"half-arm": palette.arm, "half-mdm": palette.mdm}
    return {
        "shape": {
            "layers": graph.n_layers,
            "heads": graph.n_heads,
            "edges": graph.n_edges,
            "early": early_boundary(graph.n_layers),
            "core": SHARE,
        },
        "names": graph.node_names,
        "kinds": [state.kind_name(kind) for kind in KINDS],
        "options": state.k_options(graph.n_edges),
        "models": {side.model: {"label": side.label, "title": _title(side)} for side in sides},
        "colours": colours,
        "lines": [
            {**asdict(line), "colour": of_line[line.style], "dash": DASHES.get(line.style, "dotted")} for line in lines
        ],
        "tiles": tiles(sides.arm, sides.mdm),
        "notes": {
            "control": _of_control(sides, control),
            "stands": sides.mdm.run.spec.is_control,
            "halves": _why_no_halves(sides),
            "solved": solved(sides),
        },
        "origin": sides.origin(with_k=False).lines,
        "file": sides.origin(with_k=False).stem("circuits"),
        "guide": {"k": {}, "node": {"node": _first_head(sides)}, "one": {"view": "one"}},
    }


def _title(side: Side) -> str:
    return side.title if side.part == state.TOTAL else f"{side.title}, {side.part}"


def tiles(arm: Side, mdm: Side) -> list[tuple[str, str]]:
    """Name and explanation of each tile of numbers, in the order of words.js (`tilesOf`)."""
    return [
        ("Overlap", f"{meaning('overlap')} Chance: {meaning('chance')}"),
        ("ARM with control", f"{meaning('overlap')} {meaning('control')}"),
        ("Split-half overlap" if arm.part == mdm.part == TOTAL else "Split-half, whole answer", SPLIT_HALF_HELP),
        ("Component overlap", meaning("component_overlap")),
        ("Shared edges", f"Edges that are among the K strongest of both models. {meaning('edge')}"),
        ("Early ratio", f"{meaning('early_ratio')} {meaning('early_share')}"),
        ("Effective number", meaning("effective_number")),
        ("Problems solved", f"{meaning('solved')} {arm.label} / {mdm.label}."),
    ]


def _why_no_halves(sides: Sides) -> str:
    elsewhere = any(run.spec.is_imported for run in sides.runs)
    return "not part of an imported circuit" if elsewhere else "needs two prompts or more"


def _of_control(sides: Sides, control: Run | None) -> str:
    if sides.mdm.run.spec.is_control:
        return "the control stands for the MDM here"
    return f"{sides.arm.label} with the step-0 control" if control else "not computed yet"


def _first_head(sides: Sides) -> str | None:
    """The head through which the strongest edge of the ARM goes."""
    graph = sides.graph
    source, target = graph.endpoints(cached_reads.edges(sides.arm.run.key, sides.arm.part, 50).edge)
    names = (graph.node_names[node] for pair in zip(source, target, strict=True) for node in pair)
    return next((name for name in names if name.startswith("a")), None)
