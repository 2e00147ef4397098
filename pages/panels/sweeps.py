"""Sweeps that were computed or collected here: the comparisons of one as a heat map, and its table to download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import streamlit as st

from engine.errors import UserError
from engine.files.csv_text import csv_of_table
from engine.models.pair import CONTROL, model_title
from engine.runs.spec import RunSpec
from engine.sweeps import saved
from engine.sweeps.compared_runs import ComparedRuns, Group, compared_runs
from engine.sweeps.stored_evidence import StoredEvidence
from engine.sweeps.sweep_file import Sweep
from engine.sweeps.table import SIZES, Row, rows_of, table_of
from engine.sweeps.table_file import parquet_of
from pages.figures.caption import captioned
from pages.figures.sweep_map import NOT_THERE, UNABLE, sweep_figure
from pages.panels.sweep_cells import Arranged, Shown, arrange, models_of
from pages.shared import address, clicks, downloads, pickers, state, widgets
from pages.shared.glossary import meaning
from pages.shared.state import BY_CHECKPOINT, BY_SEED, Question, step_of
from pages.shared.synced import synced
from pages.shared.words import listed

CHART = "heat map of the sweep"
CLICKED = "cell of the sweep"  # session only: to be opened
MEASURES = {
    "overlap": "Overlap",
    "faithfulness": "Faithfulness of the ARM's circuit",
    "accuracy": "Accuracy",
}
MEANS = {
    "overlap": "overlap of the ARM's circuit with that of the other model",
    "faithfulness": "faithfulness f of the ARM's circuit when it is run in the other model, which is 1 for the whole "
    "model and 0 for the corrupted run",
    "accuracy": "share of held-out problems that the other model solves",
}
STEP_0 = (
    "The control is the ARM, read as the MDM is. So is step 0 where its checkpoint was saved before any post-training, "
    "as that of the embedded pair was: they differ by the rounding of its weights alone."
)
COLUMNS = {BY_SEED: "Seeds", BY_CHECKPOINT: "Checkpoints"}


@dataclass(frozen=True)
class Stored:
    """A sweep with its runs and the rows of its table, without intervals."""

    sweep: Sweep
    compared: ComparedRuns
    sizes: tuple[int, ...]
    rows: list[Row]


@st.fragment
def show_sweeps() -> None:
    """The section; nothing where no sweep was computed or collected here."""
    sweeps = {sweep.name: sweep for sweep in saved.saved()}
    if not sweeps:
        return
    st.header("Sweeps", "sweeps", divider="gray")
    st.caption(
        "A sweep is a grid of runs: pairs, tasks, models, seeds and settings. Each cell compares the circuit of an ARM "
        "with that of another model; a click opens the comparison."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sweep = sweeps[pickers.select("Sweep", list(sweeps), state.SWEEP, width=220)]
        try:
            stored = read(sweep)
        except UserError as error:
            st.info(widgets.plain(str(error)), icon=":material/info:")
            return
        shown = chosen(stored)
    if stored.compared.missing:
        st.caption(f"{len(stored.compared.missing)} of {len(stored.compared.specs)} runs are not computed yet.")
    arranged = arrange(stored.compared.specs, stored.rows, shown)
    open_clicked(arranged, shown)
    heat_map(stored, arranged, shown)
    offer_table(stored)


def read(sweep: Sweep) -> Stored:
    """What is stored of a sweep. Every group of runs is read once, and again when there is more of it.

    Raises:
        UserError: the sweep compares nothing, or what it names is not here.
    """
    compared, evidence = compared_runs(sweep), StoredEvidence()
    largest = compared.largest_k or max(SIZES)
    sizes = tuple(k for k in SIZES if k <= largest) or (largest,)
    rows = []
    for group in compared.groups:
        rows += _rows(group, sizes, tuple(map(evidence.keys, group.runs)), evidence)
    return Stored(sweep, compared, sizes, rows)


def _fingerprint(group: Group) -> tuple[object, ...]:
    """What tells a group's rows apart, beside evidence: accuracies are measured after circuits are there."""
    return tuple((run.key, run.accuracy) for run in group.runs)


@st.cache_data(show_spinner="Comparing circuits", max_entries=4096, hash_funcs={Group: _fingerprint})
def _rows(
    group: Group, sizes: tuple[int, ...], evidence: tuple[tuple[str, ...], ...], _stored: StoredEvidence
) -> list[Row]:
    """`evidence`: keys of what `_stored` has of the group."""
    return rows_of(group, sizes, _stored, in_full=False)


def chosen(stored: Stored) -> Shown:
    """What the reader wants to see; widgets without a choice are left out."""
    specs = [spec for spec in stored.compared.specs if not spec.is_arm]
    models, seeds = models_of(specs), {spec.seed for spec in specs}
    default = state.DEFAULT_K if state.DEFAULT_K in stored.sizes else stored.sizes[-1]
    k = st.selectbox(
        "K", stored.sizes, format_func=lambda size: f"{size:,}", help=meaning("k"), width=110,
        key=synced(state.SWEEP_K, default, stored.sizes),
    )  # fmt: skip
    measure = pickers.select("Numbers", list(MEASURES), state.SWEEP_SHOWN, MEASURES.__getitem__, width=290)
    by = BY_SEED if len(models) == 1 else BY_CHECKPOINT
    if len(models) > 1 and len(seeds) > 1:
        by = str(
            st.radio(
                "Columns", state.SWEEP_BY, format_func=COLUMNS.__getitem__, horizontal=True,
                key=synced(state.SWEEP_COLUMNS, BY_SEED, state.SWEEP_BY),
            )
        )  # fmt: skip
    model = models[0]
    if by == BY_SEED and len(models) > 1:
        model = pickers.select("ARM with", models, state.SWEEP_MODEL, model_title, width=220)
    return Shown(int(k), measure, by, model)


def heat_map(stored: Stored, arranged: Arranged, shown: Shown) -> None:
    figure = sweep_figure(arranged.drawn, widgets.palette())
    name = stored.sweep.name
    with_model = f"ARM with {model_title(shown.model)}" if shown.by == BY_SEED else "mean over seeds"
    what = " · ".join((f"Sweep {name}", MEASURES[shown.measure], f"K = {shown.k:,}", with_model))
    captioned(figure, [what, _settings(stored.compared.specs)], widgets.palette())
    alt = f"{MEASURES[shown.measure]} at K = {shown.k} by pair, task and {COLUMNS[shown.by].lower()[:-1]}"
    widgets.show_chart(figure, CHART, alt, f"sweep-{name}-k{shown.k}", _keep_click)
    st.caption(" ".join(notes(stored, arranged, shown)))


def notes(stored: Stored, arranged: Arranged, shown: Shown) -> list[str]:
    """What the numbers are, and what to know of them, in sentences (Markdown)."""
    told = [f"The numbers: {MEANS[shown.measure]}."]
    chance = {f"{row['chance']:.3f}" for row in stored.rows if row["k"] == shown.k}
    if shown.measure == "overlap" and chance:
        told.append(f"Two random circuits of this size overlap by {' to '.join(sorted({min(chance), max(chance)}))}.")
    sizes = {row["f_k"] for row in stored.rows if row["k"] == shown.k and row["f_k"]}
    if shown.measure == "faithfulness" and sizes - {shown.k}:
        measured = listed([f"{size:,}" for size in sorted(sizes)])
        told.append(f"Not every circuit was run at K = {shown.k:,}: these are measured at the nearest K, {measured}.")
    specs = stored.compared.specs
    if shown.by == BY_CHECKPOINT and len({spec.seed for spec in specs}) > 1:
        told.append("Each is the mean over seeds.")
    if shown.by == BY_CHECKPOINT and {CONTROL, "step:0"} <= {spec.model for spec in specs}:
        told.append(STEP_0)
    cells = [cell for row in arranged.drawn.cells for cell in row if cell]
    if any(cell.value is None for cell in cells):
        told.append(f"{NOT_THERE} not computed.")
    if any(cell.unable and cell.value is not None for cell in cells):
        told.append(f"\\{UNABLE} a model cannot do the task, so that its circuit is not informative.")
    return told


def _settings(specs: Sequence[RunSpec]) -> str:
    """The settings that are the same in all runs."""
    first, alike = specs[0], []
    for name, form in (("method", "{}"), ("points", "m = {}"), ("metric", "{}"), ("n", "n = {}"), ("dtype", "{}")):
        if len({getattr(spec, name) for spec in specs}) == 1:
            alike.append(form.format(getattr(first, name)))
    return ", ".join(alike)


def _keep_click() -> None:
    st.session_state[CLICKED] = clicks.clicked(CHART)


def open_clicked(arranged: Arranged, shown: Shown) -> None:
    """Go to the circuits of the cell that was clicked."""
    name = st.session_state.pop(CLICKED, None)
    places = {f"{row},{column}": spec for (row, column), spec in arranged.leads_to.items()}
    if name in places:
        address.go("pages/circuits.py", address_of(places[name], shown.k))


def address_of(spec: RunSpec, k: int) -> dict[str, str]:
    """The address of the comparison of an ARM with this run."""
    step = {} if spec.model == "mdm" else {state.STEP: step_of(spec.model)}
    return {**Question.of(spec).address, **step, state.K: str(k)}


def offer_table(stored: Stored) -> None:
    """Buttons for the table with intervals, which are worked out at the click."""
    if not stored.compared.groups:
        return

    def button(title: str, ending: str, make: Callable[[pa.Table], bytes]) -> None:
        downloads.file_button(
            f"Table as {title}", lambda: make(table_of(stored.compared, stored.sizes)),
            f"{stored.sweep.name}.{ending}", key=f"download sweep {ending}",
            help="Every comparison at every K, with 95 % intervals: about a minute for 1,000 comparisons.",
        )  # fmt: skip

    with st.container(horizontal=True):
        button("CSV", "csv", csv_of_table)
        button("Parquet", "parquet", parquet_of)
