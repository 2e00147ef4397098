"""The two circuits of a task side by side: slide K, watch the overlap, click a node and see its lens in both models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st

from engine.circuits import comparison, profiles
from engine.circuits.filters import CLASSES, KINDS, SIGNS, Chosen, Filters, choose
from engine.exchange.export import FORMATS, Other, file_name, file_stem
from engine.models.pair import CONTROL
from engine.models.pairs import Pair
from engine.runs import lifecycle
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.tasks import measured_on, task_named
from pages.figures import charts
from pages.figures import circuit as drawing
from pages.figures.caption import captioned
from pages.figures.palette import Palette
from pages.panels import references
from pages.panels.node import node_panel
from pages.panels.references import Tile
from pages.shared import address, cached_reads, job_queue, run_selector, state, widgets
from pages.shared.entry import show
from pages.shared.provenance import origin, title
from pages.shared.run_selector import Asked
from pages.shared.sides import Side, Sides
from pages.shared.state import TOTAL, Question

TILE = 200  # pixels: six in a row of a wide window, and in as many rows as it takes of a narrow one


def page() -> None:
    st.title("Two circuits, side by side")
    with widgets.user_errors():
        asked = run_selector.both_runs()
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    parts, filters = choose_filters(asked.arm, asked.mdm)
    sides = Sides(asked.graph, asked.k, Side("arm", asked.arm, parts[0]), Side("mdm", asked.mdm, parts[1]))
    control = cached_reads.run_of(asked.question.spec(CONTROL))
    numbers(sides, control)
    if control is None:
        run_selector.offer_control(asked.question, asked.pair)
    elif not asked.mdm.spec.is_control:
        run_selector.mark_runs(control)
    graphs_and_node(sides, filters)
    curves(sides, control)
    drift(sides, asked.question, asked.pair)
    downloads(sides, filters)


@st.fragment
def graphs_and_node(sides: Sides, filters: Filters) -> None:
    """Both graphs and what the chosen node does: all that a click changes, so that nothing else runs again."""
    with widgets.user_errors():
        address.check(state.NODE, sides.graph.node_names)
        st.selectbox(
            "Node",
            sides.graph.node_names,
            index=None,
            placeholder="Click a node in a graph, or choose one here",
            key=state.NODE,
            bind=state.URL,
        )
        above, below = st.container(), st.container()
        with below:  # first, as it is what a click asks for
            node_panel(sides)
        with above:
            graphs(sides, filters)


def choose_filters(arm: Run, mdm: Run) -> tuple[tuple[str, str], Filters]:
    """The part of the answer and of the edges to look at."""
    with st.popover("Filters", icon=":material/filter_alt:"):
        show = st.segmented_control(
            "Edges", CLASSES, default="all", required=True, key=state.SHOW, bind=state.URL,
            help="shared: among the K strongest of both models; only: of one.",
        )  # fmt: skip
        sign = st.segmented_control(
            "Sign", SIGNS, default="both", required=True, key=state.SIGN, bind=state.URL,
            help="positive: pushes towards the right answer.",
        )  # fmt: skip
        kinds = st.pills(
            "Read as", KINDS, selection_mode="multi", default=KINDS, format_func=drawing.kind_name, key=state.KINDS,
            bind=state.URL,
            help="Where an edge arrives: a head's queries, keys or values, an MLP, or the logits.",
        )  # fmt: skip
        pruned = st.toggle(
            "Prune dead ends", key=state.PRUNE, bind=state.URL,
            help="Leave out edges that don't lie on a path from input to logits within the circuit.",
        )  # fmt: skip
        parts = (part_box("ARM: site", arm, state.ARM_PART), part_box("MDM: denoising step", mdm, state.MDM_PART))
    return parts, Filters(tuple(kinds), str(sign), str(show), bool(pruned))


def part_box(label: str, run: Run, key: str) -> str:
    address.check(key, (TOTAL, *run.meta.parts))
    return str(
        st.selectbox(
            label, [TOTAL, *run.meta.parts], format_func=str, key=key, bind=state.URL,
            help="Scores of one position of the answer (ARM) or one step of denoising (MDM) instead of all.",
        )
    )  # fmt: skip


def numbers(sides: Sides, control: Run | None) -> None:
    """The figures at K that a reader came for, and what they are read against."""
    arm, mdm, k = sides.arm, sides.mdm, sides.k
    at = cached_reads.comparison(arm.run.key, mdm.run.key, arm.part, mdm.part, k)
    problems = measured_on(arm.run.spec.task)
    at_step_0 = references.control_at(sides, control)
    tiles: tuple[Tile, ...] = (
        (
            f"Overlap at K = {k:,}",
            f"{at.jaccard:.3f}",
            f"chance {at.chance:.3f}",
            f"Jaccard: {at.shared:,} edges are among the {k:,} strongest of both models.",
        ),
        references.control_tile(at_step_0, control),
        references.halves_tile(sides),
        ("Shared edges", f"{at.shared:,} of {k:,}", f"{k - at.shared:,} in one only", None),
        (
            "Early share, ratio",
            comparison.printed(at.early_ratio, ".2f"),
            f"MDM {comparison.printed(at.mdm.early_share, '.0%')}, ARM {comparison.printed(at.arm.early_share, '.0%')}",
            "Share of component importance in the first third of the layers, MDM / ARM."
            + (
                f" Of the control and the ARM: {comparison.printed(at_step_0.early_ratio, '.2f')}." if at_step_0 else ""
            ),
        ),
        (
            "Problems solved",
            f"{arm.run.meta.accuracy:.0%} / {mdm.run.meta.accuracy:.0%}",
            f"ARM / MDM, {problems.removesuffix(' problems')}",
            f"Of {arm.run.meta.accuracy_n} {problems}.",
        ),
    )
    with st.container(horizontal=True, gap="small"):
        for label, value, note, said in tiles:
            st.metric(label, value, note, delta_color="off", delta_arrow="off", help=said, width=TILE)


def graphs(sides: Sides, filters: Filters) -> None:
    """Draw both circuits."""
    look, node = widgets.look(), state.chosen_node()
    for column, side in zip(st.columns(2), sides, strict=True):
        figure, chosen = picture(sides, side.model, filters, look, node)
        with column:
            st.subheader(side.title)
            if not len(chosen):
                st.warning(drawn_note(chosen, filters), icon=":material/filter_alt:")
            draw_graph(figure, side, sides, filters)
            with st.container(horizontal=True, vertical_alignment="center"):
                if len(chosen):
                    st.caption(drawn_note(chosen, filters))
                st.download_button(
                    "Picture (HTML)",
                    _picture(sides, side, filters, look, node),
                    file_name=file_name(side.run, sides.k, "html", side.part, filters),
                    key=f"download {side.model} html",
                    icon=":material/image:",
                    on_click="ignore",
                    help="The graph as it is drawn here, with what hovering over it shows.",
                )
    st.caption(
        "Circles are heads, squares MLPs; size is importance. Filled green: in both circuits. A line's width is its "
        "|score|. Colour and size are those of the whole circuits, whatever filters leave to draw. Click a node to see "
        "what it writes."
    )
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in sides))


def picture(sides: Sides, model: str, filters: Filters, look: Palette, node: str | None) -> tuple[go.Figure, Chosen]:
    """A model's graph, and what the filters leave of its edges."""
    (own, edges), (_, others) = sorted(sides.classified, key=lambda found: found[0].model != model)
    chosen = chosen_of(sides, edges, filters)
    in_other = drawing.nodes_in(sides.graph, others)
    figure = drawing.circuit_figure(sides.graph, model, edges, in_other, look, node, chosen.keep)
    told = [f"circuit of the {own.title}"]
    drawn = min(len(chosen), drawing.DRAWN_MOST)
    if drawn < len(edges):
        told += [f"{drawn:,} of {len(edges):,} edges drawn", *filters.words]
    return captioned(figure, sides.origin(*told).lines, look), chosen


def chosen_of(sides: Sides, edges: drawing.Edges, filters: Filters) -> Chosen:
    return choose(sides.graph, edges.edge, edges.score, filters, edges.shared)


def draw_graph(figure: go.Figure, side: Side, sides: Sides, filters: Filters) -> None:
    key, alt = f"graph {side.model}", f"Circuit of the {side.title} at K = {sides.k}"
    file = file_stem(side.run, sides.k, side.part, filters)
    widgets.show_chart(figure, key, alt, file, lambda: state.take_click(key))


def drawn_note(chosen: Chosen, filters: Filters) -> str:
    """How many edges of a circuit are drawn, and why not the others."""
    k, left = len(chosen.keep), len(chosen)
    shown, others = min(left, drawing.DRAWN_MOST), k - left - chosen.pruned
    sentences = [f"{shown:,} of {k:,} edges drawn." if left else f"None of the {k:,} edges is drawn."]
    if chosen.pruned:
        whole = "all of them" if chosen.pruned == k else f"{chosen.pruned:,}"
        sentences.append(f"Pruning leaves out {whole}: on no path from input to logits within the circuit.")
    if others:
        words = ", ".join(word for word in filters.words if word != "pruned")
        sentences.append(
            f"{others:,} more are not among those asked for ({words})."
            if chosen.pruned
            else f"{others:,} are not among those asked for ({words})."
        )
    if left > shown:
        sentences.append(f"The weaker {left - shown:,} are not drawn but count for the nodes' size.")
    if filters.active:
        sentences.append(f"Overlap and all other numbers speak of all {k:,}.")
    return " ".join(sentences)


def curves(sides: Sides, control: Run | None) -> None:
    """The overlap at every K with what it is read against, and the layer profile."""
    arm, mdm, look = sides.arm, sides.mdm, widgets.look()
    left, right = st.columns(2)
    with left:
        st.subheader("Overlap at every K")
        here = cached_reads.overlap(arm.run.key, mdm.run.key, arm.part, mdm.part, sides.k)
        lines = references.overlap_lines(sides, control)
        figure = charts.overlap_figure(lines, sides.graph.n_edges, sides.k, here, look)
        shown = sides.origin()
        drawn = [line.style for line in lines]
        if control and "control" in drawn:
            shown = replace(shown, runs=(*shown.runs, (title(control), control)))
        widgets.chart(figure, "overlap", "Overlap of the two circuits at every K", "overlap", shown)
        st.caption(curves_note("control" in drawn, "half-pair" in drawn))
    with right:
        st.subheader("Importance by layer")
        shares = [cached_reads.layer_shares(side.run.key, side.part, sides.k) for side in (arm, mdm)]
        early = profiles.early_boundary(sides.graph.n_layers)
        figure = charts.profile_figure(shares[0], shares[1], early, look)
        widgets.chart(figure, "profile", "Share of importance by layer, ARM and MDM", "layers", sides.origin())
        at = cached_reads.comparison(arm.run.key, mdm.run.key, arm.part, mdm.part, sides.k)
        st.caption(
            f"At K = {sides.k:,}. Early share: ARM {comparison.printed(at.arm.early_share, '.1%')}, MDM "
            f"{comparison.printed(at.mdm.early_share, '.1%')}, ratio {comparison.printed(at.early_ratio, '.2f')}. "
            f"Effective number of components: ARM {at.arm.effective_number:.1f}, MDM {at.mdm.effective_number:.1f}."
        )


def curves_note(with_control: bool, with_halves: bool) -> str:
    """What the curves of overlap are of, of those that are drawn."""
    halves = (
        "Halves: of half of the prompts each, so that these three compare with each other only."
        if with_halves
        else "There are no halves of a single prompt."
    )
    control = " and with its control" if with_control else ""
    return f"Overlap is the Jaccard index. ARM with MDM{control}: circuits of all prompts. {halves}"


def drift(sides: Sides, asked: Question, pair: Pair) -> None:
    """How the circuit left the ARM's along post-training, where at least two checkpoints are computed."""
    found = [(step, cached_reads.run_of(asked.spec(f"step:{step}"))) for step in pair.steps]
    points = [(step, run) for step, run in found if run]
    missing = [asked.spec(f"step:{step}") for step, run in found if run is None]
    if not pair.steps:
        return
    st.subheader(f"Along post-training, K = {sides.k:,}")
    if len(points) > 1:
        overlap = [cached_reads.overlap(sides.arm.run.key, run.key, TOTAL, TOTAL, sides.k) for _, run in points]
        halves = [cached_reads.split_half(sides.arm.run, run, sides.k) for _, run in points]
        solved = [run.meta.accuracy for _, run in points]
        figure = charts.drift_figure([step for step, _ in points], overlap, halves, solved, widgets.look())
        runs = origin([sides.arm.run, *(run for _, run in points)], sides.k)
        widgets.chart(figure, "drift", "Overlap with the ARM along post-training", "drift", runs)
        unable = [f"{step:,}" for step, run in points if not can_do(task_named(asked.task), run.meta).can]
        if unable:
            st.caption(
                f"Checkpoints that cannot do this task, so that their circuits explain little: after "
                f"{run_selector.listed(unable)} steps."
            )
    open_specs = {spec for job in job_queue.queue().jobs() if job.is_open for spec in job.specs}
    if missing and not set(missing) <= open_specs and not lifecycle.obstacle(missing[0]):
        st.button(
            f"Compute the missing checkpoints ({len(missing)})",
            icon=":material/play_arrow:",
            key="compute checkpoints",
            on_click=widgets.submit,
            args=(missing, f"{pair.title}, {task_named(asked.task).title}: checkpoints"),
            help="Then this place shows how the circuit moved away from the ARM's, step by step.",
        )


def downloads(sides: Sides, filters: Filters) -> None:
    """Files of what is shown: the filtered circuits, which say so in their names and within."""
    st.header("Download", divider="gray")
    st.caption("The edges drawn above, filters included. The camera on every figure saves it as an SVG picture.")
    chosen = f" ({', '.join(filters.words)})" if filters.active else ""
    for side, edges in sides.classified:
        count = f"{sides.k:,}"
        if filters.active:
            count = f"{len(chosen_of(sides, edges, filters)):,} of {count}"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{side.title}, {count} edges{chosen}:")
            for kind in FORMATS:
                st.download_button(
                    kind.upper() if kind != "graphml" else "GraphML",
                    _exporter(sides, side, kind, filters),
                    file_name=file_name(side.run, sides.k, kind, side.part, filters),
                    key=f"download {side.model} {kind}",
                    icon=":material/download:",
                    on_click="ignore",
                )


def _exporter(sides: Sides, side: Side, kind: str, filters: Filters) -> Callable[[], bytes]:
    other = sides.mdm if side.model == "arm" else sides.arm
    return lambda: cached_reads.exported(
        side.run.key, sides.k, kind, side.part, filters, Other(other.run.key, other.part)
    )


def _picture(sides: Sides, side: Side, filters: Filters, look: Palette, node: str | None) -> Callable[[], bytes]:
    """`look` and `node` as they are now: a download is made outside the reader's session."""
    name = file_stem(side.run, sides.k, side.part, filters)
    return lambda: widgets.picture(picture(sides, side.model, filters, look, node)[0], name, look)


show(page)
