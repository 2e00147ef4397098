"""Show how much the overlap of both circuits depends on what should not matter, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.circuits.comparison import printed
from engine.circuits.intervals import Estimate
from engine.models.pair import CONTROL
from engine.runs import evidence, stability
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.runs.stability import COLUMNS, DEFAULT, Controls, HeatMap, Overlaps, Setting
from pages.figures.transfer import matrix_figure
from pages.panels.evidence_data import in_words
from pages.panels.evidence_faithfulness import COLUMN
from pages.panels.evidence_missing import offer_runs
from pages.shared import cached_reads, downloads, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked

ROW = 30  # pixels


def stable(asked: Asked) -> None:
    """The section: overlaps by setting as a heat map, what they are compared with, a button for missing circuits."""
    st.header("Is the overlap stable?", "stability", divider="gray", help=meaning("stability"))
    settings = stability.settings_of(asked.mdm.spec)
    specs = list(dict.fromkeys(spec for setting in settings for spec in (setting.arm, setting.mdm)))
    keys = tuple(run.key if (run := cached_reads.run_of(spec)) else "" for spec in specs)
    missing = [spec for spec, key in zip(specs, keys, strict=True) if not key]
    if missing:
        offer_runs(
            asked, missing, what="circuits with other settings", key="compute settings", noun="circuit",
            plan=partial(evidence.plan_circuits, missing), kinds=("circuit",),
        )  # fmt: skip
    by_setting(asked, _heat_map(tuple(settings), asked.k, keys))
    control = cached_reads.run_of(replace(asked.mdm.spec, model=CONTROL))
    references(asked, (asked.arm.key, *keys, control.key if control else ""))


def by_setting(asked: Asked, read: HeatMap) -> None:
    """Overlaps of edges and of components, a row for every setting of which anything is there."""
    there = [i for i in range(len(read.names)) if not np.isnan(read.edges[i]).all()]
    names = ["these settings" if read.names[i] == DEFAULT else read.names[i] for i in there]
    grid = st.grid(2, min_column_width=COLUMN, gap=24)
    for name, values in (("Edge overlap", read.edges), ("Component overlap", read.components)):
        with grid.cell():
            st.subheader(f"{name}, K = {asked.k:,}", help=meaning(name.lower().replace("edge ", "").replace(" ", "_")))
            figure = matrix_figure(
                names, [column.replace(" ", "\n", 1) for column in COLUMNS], _estimates(values[there]),
                [[f"{setting}: {column}" for column in COLUMNS] for setting in names], widgets.palette(), cell=ROW,
            )  # fmt: skip
            key = name.lower().replace(" ", "-")
            widgets.chart(
                figure, f"stability {key}", f"{name} by setting at K = {asked.k:,}", key, asked.sides.origin()
            )
    st.caption(
        "How to read it: each row is a setting. First column: ARM with MDM, both under that setting. The others: each "
        "model's circuit under that setting with its own under the settings above. If the first column hardly changes "
        "down the rows, and is well below the other two, the difference of ARM and MDM is no accident of the settings."
    )
    downloads.table_button(
        "Overlaps by setting", lambda: _records(names, read.edges[there], read.components[there]),
        asked.sides.origin(), "stability",
    )  # fmt: skip


def references(asked: Asked, keys: tuple[str, ...]) -> None:
    """The overlap with its interval, edges ranked anew in every draw of the prompts, and its controls.

    `keys`: of the runs that are stored, those of other seeds and the control's among them.
    """
    controls = _controls(asked.mdm.spec, asked.k, keys)
    if controls is None:
        return
    st.dataframe(reference_rows(asked, controls), hide_index=True, alt="The overlap and what it is compared with")
    st.caption(
        "In brackets after the overlap and the split-half overlaps: 95 % intervals over prompts, with the edges ranked "
        "anew in every draw. After permuted heads: the range over random permutations of the MDM's heads within their "
        "layers, what an overlap of layers alone would give.",
        help=f"{meaning('split_half')} {meaning('control')}",
    )


def reference_rows(asked: Asked, controls: Controls) -> list[dict[str, str]]:
    pair, halves = _intervals(asked.arm, asked.mdm, asked.k)
    of_edges, of_components = controls.permuted_edges, controls.permuted_components
    rows = [
        ("ARM with MDM", in_words(pair, ".3f"), _components(controls.pair)),
        *((f"Split-half: {name}", in_words(half, ".3f"), "") for name, half in halves),
        ("ARM with the step-0 control", _edges(controls.step_0), _components(controls.step_0)),
        ("MDM with the step-0 control", _edges(controls.mdm_with_step_0), _components(controls.mdm_with_step_0)),
        (
            "ARM with the MDM, heads permuted",
            in_words(Estimate(of_edges.mean, of_edges.low, of_edges.high), ".3f"),
            in_words(Estimate(of_components.mean, of_components.low, of_components.high), ".3f"),
        ),
        ("ARM with itself at another seed", _edges(controls.arm_other_seed), _components(controls.arm_other_seed)),
        ("MDM with itself at another seed", _edges(controls.mdm_other_seed), _components(controls.mdm_other_seed)),
        ("Chance", f"{controls.chance:.3f}", ""),
    ]
    return [dict(zip(("Circuits", "Edge overlap", "Component overlap"), row, strict=True)) for row in rows]


@st.cache_data(show_spinner=False, max_entries=64)
def _heat_map(settings: tuple[Setting, ...], k: int, keys: tuple[str, ...]) -> HeatMap:
    """`keys`: of the runs that are stored."""
    return stability.heat_map(stability.overlaps(settings, [k]), k)


@st.cache_data(show_spinner=False, max_entries=64)
def _controls(spec: RunSpec, k: int, keys: tuple[str, ...]) -> Controls | None:
    """`keys`: of the runs that are stored."""
    return stability.controls(spec, k)


def _intervals(arm: Run, mdm: Run, k: int) -> tuple[Estimate, list[tuple[str, Estimate]]]:
    """Of the pair's overlap, and of the three split-half overlaps where there are halves."""
    pair, halves = _redrawn(arm, mdm, k)
    return pair, [(name, half) for name, half in zip(("ARM with MDM", "ARM", "MDM"), halves, strict=False)]


@st.cache_data(show_spinner="Drawing the prompts anew", max_entries=64, hash_funcs={Run: lambda run: run.key})
def _redrawn(arm: Run, mdm: Run, k: int) -> tuple[Estimate, list[Estimate]]:
    (pair,) = stability.pair_redrawn(arm, mdm, k=k)
    halves = stability.halves_redrawn(arm, mdm, k)
    return pair.estimate, [half.estimate for half in (halves.pair, halves.arm, halves.mdm)] if halves else []


def _estimates(values: NDArray[np.float64]) -> list[list[Estimate | None]]:
    return [[None if np.isnan(value) else Estimate(float(value), None, None) for value in row] for row in values]


def _records(
    names: Sequence[str], edges: NDArray[np.float64], components: NDArray[np.float64]
) -> list[dict[str, object]]:
    """A row for every setting and column that is there."""
    return [
        {"setting": name, "circuits": column, "edge_overlap": edges[i, j], "component_overlap": components[i, j]}
        for i, name in enumerate(names)
        for j, column in enumerate(COLUMNS)
        if not np.isnan(edges[i, j])
    ]


def _edges(overlaps: Overlaps | None) -> str:
    return printed(overlaps.edges, ".3f") if overlaps else "not computed yet"


def _components(overlaps: Overlaps | None) -> str:
    return printed(overlaps.components, ".3f") if overlaps else ""
