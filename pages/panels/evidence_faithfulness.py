"""Show how faithful both models' circuits are over K: does a circuit alone do what the whole model does?"""

from __future__ import annotations

import streamlit as st

from engine.circuits.intervals import Estimate
from engine.runs.evidence_summary import nearest_size
from engine.schema.vocabulary import TOTAL
from pages.figures.faithfulness import Line, Mark, Style, curves_figure
from pages.panels.evidence_data import (
    CIRCUIT_WORDS,
    Measured,
    Rows,
    at_size,
    chosen_part,
    in_words,
    measured,
    sizes_in,
)
from pages.shared import downloads, evidence, pickers, state, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.synced import synced
from pages.shared.words import listed

COLUMN = 400  # pixels: the narrowest of two columns
FAITHFULNESS, RIGHT = state.LINES_SHOWN
CURVES: tuple[Style, ...] = ("own", "signed", "random", "complement")
AREAS = ("own", "signed", "other", "random")
MEASURES = {FAITHFULNESS: "faithfulness f", RIGHT: "share of right tokens"}


def faithfulness(asked: Asked) -> None:
    """The section: lines over K of every model that is measured, numbers, and a button for what is not."""
    st.header("Is the circuit faithful?", "faithful", divider="gray", help=meaning("faithfulness"))
    models = measured(asked)
    evidence.offer("faithfulness", asked.runs, asked.steps, "faithfulness")
    at_single_sizes(asked)
    if not models:
        return
    tau, measure = choices()
    part = chosen_part(asked)
    grid = st.grid(2, min_column_width=COLUMN, gap=24)
    for model in models:
        with grid.cell():
            curves(asked, model, tau, measure, part)
    st.caption(how_to_read(measure, part))
    if any(model.there.meta.get("areas") for model in models):
        areas(models)
    with st.container(horizontal=True):
        for model in models:
            downloads.table_button(
                f"Circuits that were run, {model.side.title}",
                lambda model=model: model.rows(),  # type: ignore[misc]
                model.side.origin(), "circuit-runs", key=f"download circuit-runs {model.model}",
            )  # fmt: skip


def at_single_sizes(asked: Asked) -> None:
    """Of models whose faithfulness is measured, but not over K: at which sizes, and where that is shown."""
    labels: dict[str, list[str]] = {}
    for side in asked.sides:
        there = evidence.faithfulness_of(side.run, asked.steps)
        if sizes := evidence.single_sizes(there):
            labels.setdefault(sizes, []).append(side.label)
            if remark := there[0].meta.get("remark"):
                st.warning(widgets.plain(f"{side.label}: f is not given. {remark}"), icon=":material/report:")
    if labels:
        measured_at = "; ".join(f"{listed(names)} at {sizes}" for sizes, names in labels.items())
        st.markdown(
            f"Measured at single sizes only: {measured_at}. [Whose circuit in which model](#transfer) shows f where "
            "both models were measured at the same size."
        )


def choices() -> tuple[float, str]:
    """Tau, and what the lines show."""
    of_tau, of_lines = st.columns([1, 2], gap="medium")
    with of_tau:
        options, default = state.TAU_OPTIONS, str(state.DEFAULT_TAU)
        tau = float(pickers.slide("Faithfulness tau", options, default, state.TAU, help=meaning("tau")))
    with of_lines:
        measure = st.segmented_control(
            "Lines show", state.LINES_SHOWN, format_func=MEASURES.__getitem__, required=True,
            key=synced(state.LINES, FAITHFULNESS, state.LINES_SHOWN),
        )  # fmt: skip
    return tau, str(measure)


def curves(asked: Asked, model: Measured, tau: float, measure: str, part: str) -> None:
    """One model's lines over K, and what they say at the chosen K and at tau."""
    part = part if model.model == "mdm" and measure == FAITHFULNESS else TOTAL
    st.subheader(model.side.title if part == TOTAL else f"{model.side.title}, {part}")
    if model.remark and measure == FAITHFULNESS:
        st.warning(widgets.plain(f"f is not given. {model.remark}"), icon=":material/report:")
        return
    rows = model.rows(part=part)
    if not rows:
        st.info("No circuit was run at this step alone.")
        return
    shown: tuple[Style, ...] = CURVES if part == TOTAL else ("own", "other")
    lines = [line for circuit in shown if (line := line_of(rows, circuit, measure))]
    smallest = smallest_at(model, tau)
    marks = [Mark(asked.k, f"K = {asked.k:,}", strong=False)]
    if smallest and part == TOTAL and measure == FAITHFULNESS:
        marks.append(Mark(smallest, f"f = {tau:g} at K = {smallest:,}", strong=True))
    full = 1.0 if measure == FAITHFULNESS else float(model.there.meta["right_full"])
    widgets.chart(
        curves_figure(lines, marks, model.model, measure, full, widgets.palette()),
        f"faithfulness {model.model}",
        f"{MEASURES[measure]} of circuits of the {model.side.title} over their number of edges K",
        f"faithfulness-{model.model}",
        model.side.origin(*([] if part == TOTAL else [part]), k=asked.k),
    )
    st.markdown(sentence_at(rows, asked.k, measure, part))
    at_tau(model, tau, smallest)


def line_of(rows: Rows, circuit: Style, measure: str) -> Line | None:
    """A circuit at all its sizes above 0; None where nothing is known of it."""
    sizes = sorted({int(row["size"]) for row in rows if row["circuit"] == circuit and row["size"] > 0})
    known = [(size, estimate) for size in sizes if (estimate := at_size(rows, circuit, size, measure))]
    if not known:
        return None
    name = CIRCUIT_WORDS[circuit] + (" (mean, range)" if circuit == "random" else "")
    return Line(
        name, circuit, [size for size, _ in known], [e.value for _, e in known], [e.low for _, e in known],
        [e.high for _, e in known],
    )  # fmt: skip


def sentence_at(rows: Rows, k: int, measure: str, part: str) -> str:
    """What was measured at K, or at the nearest size (Markdown)."""
    size = nearest_size(sizes_in(rows), k)
    if size is None:
        return "No circuit with an edge was run."
    form = ".2f" if measure == FAITHFULNESS else ".0%"
    own, random, without = (
        in_words(at_size(rows, circuit, size, measure), form) for circuit in ("own", "random", "complement")
    )
    name = "f" if measure == FAITHFULNESS else "right tokens"
    instead = "" if size == k else f", the measured size nearest to K = {k:,}"
    text = f"Measured at K = {size:,}{instead}: **{name} {own}** with the circuit alone"
    if part != TOTAL:
        return f"{text}."
    return f"{text}; {random} with as many random edges; {without} with everything but the circuit."


def smallest_at(model: Measured, tau: float) -> int | None:
    """The smallest measured K at which the own circuit reaches tau."""
    rows = evidence.rows(model.there, "smallest_circuits", circuit="own")
    sizes = [row["size"] for row in rows if abs(row["tau"] - tau) < 1e-6]
    return int(sizes[0]) if sizes and sizes[0] is not None else None


def at_tau(model: Measured, tau: float, smallest: int | None) -> None:
    """How large the circuit has to be for tau, and a button that goes there."""
    n_edges = model.side.run.meta.graph.n_edges
    if smallest is None:
        st.markdown(f"No circuit of the grid reaches f = {tau:g}.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        share = f"{smallest / n_edges:.2%} of {n_edges:,} edges"
        st.markdown(
            f"Of the sizes of the grid and of the search between them, the smallest with f = {tau:g} or more is "
            f"**K = {smallest:,}** ({share}).",
            width="content",
        )
        st.button(f"Set K to {smallest:,}", key=f"k at tau {model.model}", on_click=_set_k, args=(smallest,))


def areas(models: list[Measured]) -> None:
    """CPR and CMD of every model that has them."""
    st.dataframe(areas_rows(models), hide_index=True, alt="Areas CPR and CMD by circuit and model")
    st.caption(
        "Two numbers for the whole line: **CPR** is the area under f from 0.1 % to 100 % of the edges (near 1: even "
        "small circuits do what the model does), **CMD** the area between f and 1 (near 0: the circuit does exactly "
        "that, neither less nor more). In brackets: 95 % intervals over examples. Random edges: mean of five draws."
    )


def areas_rows(models: list[Measured]) -> list[dict[str, str]]:
    rows = []
    for circuit in AREAS:
        row = {"Circuit": CIRCUIT_WORDS[circuit]}
        for model in models:
            known = model.there.meta.get("areas", {}).get(circuit)
            for area in ("cpr", "cmd"):
                row[f"{area.upper()}, {model.side.label}"] = in_words(Estimate(*known[area]) if known else None, ".3f")
        rows.append(row)
    return rows


def how_to_read(measure: str, part: str) -> str:
    """In words (Markdown)."""
    what = (
        "f = 1: the circuit alone, with every other edge patched to the corrupted prompt, does what the whole model "
        "does; f = 0: no more than on the corrupted prompt."
        if measure == FAITHFULNESS
        else "Of the scored tokens, those whose most probable token is right when only the circuit runs as usual; the "
        "upper line is the whole model."
    )
    bands = (
        "Bands: 95 % intervals over examples; of random edges the range of five draws."
        if measure == FAITHFULNESS
        else "Band: of random edges the range of five draws."
    )
    if part != TOTAL and measure == FAITHFULNESS:
        return f"How to read it: {what} Of one denoising step only the own circuit and the other model's are measured."
    return (
        f"How to read it: {what} A true circuit rises early and stays up, far above **random edges**; **everything but "
        f"it** (K edges left out) should fall. {bands}"
    )


def _set_k(k: int) -> None:
    st.session_state[state.K] = k
