"""How the MDM fills in an answer: what it reveals when, each step's circuit, when the answer becomes readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from engine.circuits import comparison
from engine.circuits.shared_edges import classify, nodes_of
from engine.models.token_text import visible
from engine.runs.rows import ExampleRow, StepAccuracy, TrajectoryStep
from pages.figures import circuit as graph_drawing
from pages.figures import denoising as drawing
from pages.figures.denoising import LensAt
from pages.panels import trajectories
from pages.panels.trajectories import SAMPLERS, Look
from pages.shared import address, cached_reads, run_selector, state, token_text, widgets
from pages.shared.entry import show
from pages.shared.provenance import Origin
from pages.shared.run_selector import Asked
from pages.shared.state import TOTAL

PLAY_SECONDS = 1.5
STEPS = "denoising steps"  # the fragment that a step changes
GRAPH_HEIGHT, GRAPH_ROW = 470, 21  # pixels: at least, and a layer

_PLAYS, _SHOWN = "denoising plays", "denoising step shown"  # session only
_START = "start"  # as the step shown: play from the start
_CLICKED = "last clicked position in "


def page() -> None:
    st.title("Denoising, step by step")
    with widgets.user_errors():
        asked = run_selector.both_runs()
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    kept = trajectories.kept_examples(asked.mdm.key)
    if not kept:
        st.info("This run keeps no trajectories. Compute it again on the Runs page to see how it denoises.")
        return
    rows = {row.example: row for row in cached_reads.rows(ExampleRow, asked.mdm.key)}
    address.check(state.EXAMPLE, kept)
    example = st.selectbox(
        "Example",
        kept,
        format_func=str,
        key=state.EXAMPLE,
        bind=state.URL,
        help="Trajectories and lenses are kept for the first examples of a run.",
    )
    steps = int(cached_reads.columns(asked.mdm.key, "reveals")["step"].max(initial=0)) + 1
    look = Look(asked, example, rows[example], steps)
    trajectory(look, kept)
    step_by_step(look)
    between_steps(look)
    readable(look)
    accuracy(asked)
    downloads(look)


@st.fragment
@widgets.user_errors()
def trajectory(look: Look, kept: Sequence[int]) -> None:
    """What the MDM would say at every step, and what it reveals; another sampler draws nothing else anew."""
    st.header("What is revealed when", divider="gray")
    st.caption("The prompt, and below it the right answer")
    st.html(token_text.token_strip(look.row.prompt, -1, -1))
    st.html(token_text.token_strip(look.answer, -1, -1))
    if len(look.answer) == 1:
        one_token(look, kept)
        return
    key = look.asked.mdm.key
    known = [
        sampler for sampler in SAMPLERS if cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=look.example)
    ]
    address.check(state.SAMPLER, known)
    sampler = st.selectbox(
        "Sampler: which masked positions a step reveals", known, format_func=str, key=state.SAMPLER, bind=state.URL
    )
    walk = cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=look.example)
    st.caption(SAMPLERS[sampler])
    figure = drawing.walk_figure(walk, look.answer, widgets.palette())
    widgets.chart(
        figure, "trajectory", f"Trajectory of the MDM under {sampler} on example {look.example}",
        f"trajectory-example{look.example}-{sampler}",
        look.asked.sides.mdm.origin(f"example {look.example}", f"sampler {sampler}"),
    )  # fmt: skip
    ended, right = " ".join(visible(token) for token in drawing.final_tokens(walk)), walk[-1].correct
    with st.container(horizontal=True, vertical_alignment="center"):
        if right:
            st.badge("solved", icon=":material/check:", color="green")
        else:
            st.badge("not solved", icon=":material/close:", color="orange")
        st.caption(widgets.plain(f"The MDM's answer: {ended}"))
    st.caption(
        "Boxed and bold: revealed at this step. Italic and paler: still hidden, what the MDM would say there. Plain: "
        "stands already. Any right answer counts as solved, not only the one above the columns."
    )
    compare_samplers(key, tuple(kept))


def one_token(look: Look, kept: Sequence[int]) -> None:
    """Where nothing is left to choose: what the MDM says in the one step that there is."""
    st.caption("Here the answer is one token, revealed at once, so every sampler does the same.")
    key = look.asked.mdm.key
    rows = {row.example: row for row in cached_reads.rows(ExampleRow, key)}
    table = []
    for example in [number for number in kept if len(rows[number].answer) == 1]:
        step = cached_reads.rows(TrajectoryStep, key, sampler=next(iter(SAMPLERS)), example=example)[0]
        table.append(
            {
                "Example": example,
                "Prompt": " ".join(visible(token) for token in rows[example].prompt),
                "Right answer": visible(rows[example].answer[0]),
                "The MDM says": visible(step.tokens[0]),
                "Confidence": step.confidences[0],
                "Solved": "✓" if step.correct else "no",
            }
        )
    number = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        table, hide_index=True, height="content", column_config={"Confidence": number}, alt="The MDM's answers"
    )


def compare_samplers(key: str, kept: tuple[int, ...]) -> None:
    found = trajectories.solved_by(key, kept)
    rows = [
        {
            "Sampler": sampler,
            "Solved": f"{sum(right)} of {len(right)}",
            **{f"Example {e}": "✓" if ok else "no" for e, ok in zip(kept, right, strict=True)},
        }
        for sampler, right in found.items()
    ]
    with st.expander("Which sampler solves which of these examples"):
        st.dataframe(rows, hide_index=True, height="content", alt="Examples solved by each sampler")
        st.caption(f"{len(kept)} examples say little about a sampler; they show where samplers part ways.")


@st.fragment(key=STEPS)
def step_by_step(look: Look) -> None:
    """All that a step changes. While it plays, an inner fragment reruns by itself and nothing else does."""
    if st.session_state.get(_PLAYS) and look.steps > 1:
        playing(look)
    else:
        resting(look)


@st.fragment
def resting(look: Look) -> None:
    """A fragment like `playing`, so that everything keeps its place when playing begins and ends."""
    at_step(look)


@st.fragment(run_every=PLAY_SECONDS)
def playing(look: Look) -> None:
    """Go on by a step, unless the reader has just chosen one; at the end stop the clock."""
    at = st.session_state.get(state.AT, 0)
    shown = st.session_state.pop(_SHOWN, None)
    if shown == _START:
        st.session_state[state.AT] = 0
    elif shown == at:
        if at + 1 >= look.steps:
            st.session_state[_PLAYS] = False
            st.rerun()  # only a run of what is around this fragment stops its clock
        st.session_state[state.AT] = at + 1
    at_step(look)
    st.session_state[_SHOWN] = st.session_state.get(state.AT, 0)


def toggle_play(steps: int) -> None:
    """The callback of the play button: play from here, or from the start when this is the end; or pause.

    The step itself is left to `playing`: rerunning a fragment reads the address again, which has the old step.
    """
    starts = not st.session_state.get(_PLAYS)
    at_end = st.session_state.get(state.AT, 0) + 1 >= steps
    st.session_state[_PLAYS] = starts
    st.session_state[_SHOWN] = _START if starts and at_end else None
    st.rerun(STEPS)


@widgets.user_errors()
def at_step(look: Look) -> None:
    step = choose_step(look)
    step_circuit(look, step)
    lens_section(look, step)


def start_with(key: str, value: int) -> None:
    """What a widget shows at first, where neither the reader nor the address has said anything."""
    if key not in st.session_state and key not in st.query_params:
        st.session_state[key] = value


def choose_step(look: Look) -> int:
    """The step looked at; 0 where there is only one."""
    st.header("One step", divider="gray")
    address.check(state.AT, range(look.steps))
    if look.steps == 1:
        return 0
    parts = look.asked.mdm.meta.parts
    start_with(state.AT, int(parts[0].partition("-")[2]) if parts else 0)
    button, slider = st.columns([1, 6], vertical_alignment="bottom")
    plays = bool(st.session_state.get(_PLAYS))
    with button:
        st.button(
            "Pause" if plays else "Play", icon=":material/pause:" if plays else ":material/play_arrow:",
            key="play steps", on_click=toggle_play, args=(look.steps,), width="stretch",
        )  # fmt: skip
    with slider:
        return int(
            st.select_slider(
                "Denoising step, in the order that this run explains",
                list(range(look.steps)),
                key=state.AT,
                bind=state.URL,
                help="Steps count from 0. At each, the answer's tokens revealed before stand there, all others are "
                "masked. The order is the run's setting; the trajectory above may reveal in another.",
            )
        )


def step_circuit(look: Look, step: int) -> None:
    """The circuit of one step and how much of it is elsewhere."""
    asked, part = look.asked, f"step-{step:02d}"
    if look.steps == 1:
        st.caption("The whole answer is revealed at one step, so its circuit is the one on the Circuits page.")
        return
    st.subheader(f"The circuit of step {step}")
    if part not in asked.mdm.meta.parts:
        there = ", ".join(name.partition("-")[2].lstrip("0") or "0" for name in asked.mdm.meta.parts)
        st.info(
            f"At step {step} no token is revealed in which the clean and the corrupted answers differ, so there is no "
            f"contrast to explain. Steps with a circuit: {there}.",
            icon=":material/compare_arrows:",
        )
        return
    site, words = matching_site(look, step)
    graph, numbers = st.columns([3, 2], gap="large")
    with numbers:
        step_numbers(asked, part, site)
        st.caption(words)
    with graph:
        own = cached_reads.edges(asked.mdm.key, part, asked.k)
        other = cached_reads.edges(asked.arm.key, site or TOTAL, asked.k)
        edges = classify(own.edge, own.score, other.edge)
        everywhere = nodes_of(asked.graph, other.edge)
        figure = graph_drawing.circuit_figure(asked.graph, "mdm", edges, everywhere, widgets.palette())
        figure.update_layout(height=max(GRAPH_HEIGHT, GRAPH_ROW * asked.graph.n_layers))
        title = asked.sides.mdm.title
        widgets.chart(
            figure, "step graph", f"Circuit of step {step} of the MDM at K = {asked.k}", f"circuit-{part}",
            asked.sides.origin(f"circuit of the {title}, {part}", f"shared: with the ARM's {site or 'whole answer'}"),
        )  # fmt: skip
        st.caption(f"Shared: also among the {asked.k:,} strongest of the ARM's {site or 'whole answer'}.")


def matching_site(look: Look, step: int) -> tuple[str | None, str]:
    """The ARM's part for the token that this step reveals, and a sentence about it."""
    match = drawing.matching(cached_reads.columns(look.asked.mdm.key, "reveals"), step)
    if match is None:
        return None, "No example reveals anything at this step."
    site = f"site-{match.index:02d}"
    words = f"At step {step}, {match.share:.0%} of the examples reveal answer position {match.index}"
    if match.share < 1:
        words += ", more than any other (each example has its own order)"
    if site not in look.asked.arm.meta.parts:
        return None, f"{words}; there the answers don't differ, so the ARM has no circuit of that site."
    return site, f"{words}: the ARM's matching site is {site}."


def step_numbers(asked: Asked, part: str, site: str | None) -> None:
    """Overlaps of a step's circuit at K."""
    parts, key = asked.mdm.meta.parts, asked.mdm.key
    before = parts[parts.index(part) - 1] if parts.index(part) else None
    chance = f"chance {comparison.chance(asked.k, asked.graph.n_edges):.3f}"
    pairs = [(f"With {before}", key, before), ("With the MDM's whole run", key, TOTAL)]
    pairs.append((f"With the ARM's {site}", asked.arm.key, site))
    for label, other, name in pairs:
        if name:
            value = trajectories.overlaps(key, other, (part,), (name,), asked.k)[0, 0]
            st.metric(
                label, f"{value:.3f}", chance, delta_color="off", delta_arrow="off",
                help=f"Jaccard overlap of the {asked.k:,} strongest edges.",
            )  # fmt: skip


@st.fragment
def lens_section(look: Look, step: int) -> None:
    """The right answer through both models' layers at a step; a click on a cell draws nothing but this."""
    st.subheader("When is the answer readable?" if look.steps == 1 else f"Through the layers at step {step}")
    found = {
        "arm": trajectories.lenses(look.asked.arm.key, look.example),
        "mdm": trajectories.lenses(look.asked.mdm.key, look.example),
    }
    if not all(found.values()):
        st.info("These runs keep no lens of this example. Choose another example, or compute the runs again.")
        return
    at = {"arm": _at_step(found["arm"], 0), "mdm": _at_step(found["mdm"], step)}
    position = choose_position(look)
    panel, maps = st.container(), st.container()
    with panel:
        position_panel(look, found, step, position)
    with maps:
        lens_maps(look, at, step, position)


def choose_position(look: Look) -> int:
    """An answer position: clicked in a map, or chosen here."""
    address.check(state.POSITION, range(len(look.answer)))
    if len(look.answer) == 1:
        return 0
    options = list(range(len(look.answer)))
    reveals = cached_reads.columns(look.asked.mdm.key, "reveals")
    ours = reveals["example"] == look.example
    last = int(reveals["index"][ours][reveals["step"][ours].argmax()]) if ours.any() else 0
    start_with(state.POSITION, last)
    return int(
        st.selectbox(
            "Answer position: click a cell below, or choose here",
            options,
            format_func=str,
            key=state.POSITION,
            bind=state.URL,
            help="At first the position that is revealed last, which has a lens at every step.",
        )
    )


def position_panel(look: Look, found: dict[str, dict[tuple[int, int], LensAt]], step: int, position: int) -> None:
    """Both models' layers at one position, as lines and in words."""
    steps = [s for s, t in found["mdm"] if t == position and s <= step]
    lines = {}
    if (0, position) in found["arm"]:
        lines["arm"] = found["arm"][0, position]
    if steps:
        lines["mdm"] = found["mdm"][max(steps), position]
    if not lines:
        st.info("No lens is kept for this position.")
        return
    widgets.chart(
        drawing.position_figure(lines, widgets.palette()), "position lens",
        f"Probability and rank of the right answer over layers at position {position}",
        f"lens-example{look.example}-step{step}-position{position}",
        look.asked.sides.origin(f"example {look.example}, step {step}, answer position {position}", with_k=False),
    )  # fmt: skip
    said = [_readable_said(name, lines[model]) for model, name in (("arm", "ARM"), ("mdm", "MDM")) if model in lines]
    if steps and max(steps) < step:
        said.append(f"At step {step} this token stands already: the MDM's lens is that of step {max(steps)}.")
    st.markdown(
        f"Position {position}, right answer **{widgets.plain(visible(look.answer[position]))}**. " + " ".join(said)
    )


def lens_maps(look: Look, at: dict[str, dict[int, LensAt]], step: int, position: int) -> None:
    for column, side in zip(st.columns(2), look.asked.sides, strict=True):
        with column:
            when = "every position teacher-forced" if side.model == "arm" else "masked positions"
            st.caption(f"{side.title}: probability of the right token, with the top token as text; {when}")
            key = f"lens map {side.model}"
            figure = drawing.lens_figure(at[side.model], look.answer, position, side.model, widgets.palette())
            about = f"example {look.example}" + ("" if side.model == "arm" else f", step {step}")
            widgets.chart(
                figure, key, f"Logit lens of the {side.title}: layers by answer positions",
                f"lens-map-{about.replace(', ', '-').replace(' ', '')}", side.origin("logit lens", about), _taker(key),
            )  # fmt: skip


def take_position(chart: str) -> None:
    """The callback of a map: look at the position whose cell was clicked.

    Plotly toggles: a click on the cell that it still holds as selected arrives as an empty selection.
    """
    points = st.session_state[chart]["selection"]["points"]
    names = [point["customdata"] for point in points if "customdata" in point]
    clicked = names[0] if names else st.session_state.get(_CLICKED + chart)
    if isinstance(clicked, list):
        clicked = clicked[0]
    if clicked is not None:
        st.session_state[_CLICKED + chart] = clicked
        st.session_state[state.POSITION] = int(clicked)


def between_steps(look: Look) -> None:
    """Overlaps of every two steps and with every site of the ARM, and where in the layers each step's circuit is."""
    asked, parts, sites = look.asked, look.asked.mdm.meta.parts, look.asked.arm.meta.parts
    if look.steps == 1 or not parts:
        return
    colours = widgets.palette()
    st.header("All steps", divider="gray")
    chance = comparison.chance(asked.k, asked.graph.n_edges)
    st.caption(
        f"Overlap (Jaccard, in percent) of the {asked.k:,} strongest edges of every two parts; a stronger colour is "
        f"more. Two random circuits of that size have {chance:.1%}. With itself a step has 100."
    )
    left, right = st.columns(2)
    with left:
        st.subheader("Step with step")
        values = trajectories.overlaps(asked.mdm.key, asked.mdm.key, parts, parts, asked.k)
        figure = drawing.overlap_figure(values, parts, parts, colours.mdm, colours)
        widgets.chart(
            figure, "steps", "Overlap of every two steps' circuits", "overlap-steps",
            asked.sides.mdm.origin("overlap of the circuits of its steps, in percent", k=asked.k),
        )  # fmt: skip
    with right:
        st.subheader("Step with the ARM's site")
        values = trajectories.overlaps(asked.mdm.key, asked.arm.key, parts, sites, asked.k)
        figure = drawing.overlap_figure(values, parts, sites, colours.shared, colours)
        widgets.chart(
            figure, "sites", "Overlap of every step's circuit with that of every site of the ARM", "overlap-sites",
            asked.sides.origin("overlap of the circuits of steps and sites, in percent"),
        )  # fmt: skip
    st.subheader("Importance by layer, in percent")
    profiles = {
        "arm": np.array([cached_reads.layer_shares(asked.arm.key, part, asked.k) for part in sites]),
        "mdm": np.array([cached_reads.layer_shares(asked.mdm.key, part, asked.k) for part in parts]),
    }
    highest = max(float(profile.max(initial=0.0)) for profile in profiles.values())
    for column, side, names in zip(st.columns(2), asked.sides, (sites, parts), strict=True):
        with column:
            st.caption(f"{side.title}, circuits of its {'sites' if side.model == 'arm' else 'steps'}")
            figure = drawing.layers_figure(profiles[side.model], names, side.model, highest, colours)
            widgets.chart(
                figure, f"layers {side.model}", f"Importance by layer of each part of the {side.title}",
                "layers-parts", side.origin("importance by layer, in percent", k=asked.k),
            )  # fmt: skip


def readable(look: Look) -> None:
    """Over all steps: from which layer on the right answer can be read."""
    mdm, arm = (
        trajectories.lenses(look.asked.mdm.key, look.example),
        trajectories.lenses(look.asked.arm.key, look.example),
    )
    if look.steps == 1 or not mdm or not arm:
        return
    st.header("From which layer on the answer can be read", divider="gray")
    figure = drawing.readable_figure(mdm, _at_step(arm, 0), look.answer, widgets.palette())
    widgets.chart(
        figure, "readable", "Layer from which the right answer is the top token, by step and position",
        f"readable-example{look.example}",
        look.asked.sides.origin(f"example {look.example}", "layer from which the answer is read", with_k=False),
    )  # fmt: skip
    st.caption(
        "The layer after which the right token is the top one and stays it (emb.: the embedding already). Empty: the "
        "token stands already. Last row: the ARM, which has all tokens before. The stronger the colour, the earlier."
    )


def accuracy(asked: Asked) -> None:
    st.header("How many steps it takes", divider="gray")
    rows = cached_reads.rows(StepAccuracy, asked.mdm.key)
    if not rows:
        st.info("This run measured no accuracy by steps. Compute it again on the Runs page.")
        return
    of_arm = round(asked.arm.meta.accuracy * asked.arm.meta.accuracy_n), asked.arm.meta.accuracy_n
    if len(rows) == 1:
        shares = [_share_said("ARM", *of_arm), _share_said("MDM", rows[0].correct, rows[0].total)]
        st.markdown(f"The answer takes one step. Held-out problems solved: {' '.join(shares)}")
        return
    figure = drawing.accuracy_figure(rows, of_arm, widgets.palette())
    widgets.chart(
        figure, "accuracy", "Share of problems solved against the number of denoising steps", "accuracy-steps",
        asked.sides.origin(with_k=False),
    )  # fmt: skip
    st.caption(
        f"{rows[0].total:,} held-out problems for every number of steps, the surest positions first; {of_arm[1]:,} for "
        "the ARM. Bars and band: 95 % intervals (Wilson). Fewer steps reveal several tokens at once."
    )


def downloads(look: Look) -> None:
    asked = look.asked
    st.header("Download", divider="gray")
    st.caption("The camera on every figure saves it as an SVG picture.")
    mdm, both, example = asked.sides.mdm.origin(), asked.sides.origin(with_k=False), f"example{look.example}"
    tables: list[tuple[str, str, Origin, Callable[[], bytes]]] = [
        ("Trajectories of this example (CSV)", f"trajectories-{example}", mdm, lambda: trajectories.walks_csv(look)),
        ("Lens of this example (CSV)", f"lens-{example}", both, lambda: trajectories.lens_csv(look)),
        ("Overlaps of the steps (CSV)", "steps", asked.sides.origin(), lambda: trajectories.steps_csv(asked)),
        ("Accuracy by steps (CSV)", "accuracy-steps", mdm, lambda: trajectories.accuracy_csv(asked.mdm)),
    ]
    with st.container(horizontal=True):
        for label, name, origin, make in tables:
            st.download_button(
                label, make, file_name=f"{origin.stem(name)}.csv", mime="text/csv", key=f"download {name}",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


def _taker(chart: str) -> Callable[[], None]:
    return lambda: take_position(chart)


def _at_step(found: dict[tuple[int, int], LensAt], step: int) -> dict[int, LensAt]:
    return {t: lens for (s, t), lens in found.items() if s == step}


def _readable_said(name: str, lens: LensAt) -> str:
    first = drawing.readable_from(lens.rank)
    if first is None:
        return f"In the {name} it never becomes the top token (rank {lens.rank[-1] + 1:,} in the end)."
    where = "the embedding" if first == 0 else f"layer {first - 1}"
    return f"In the {name} it is the top token from {where} on."


def _share_said(name: str, correct: int, total: int) -> str:
    low, high = drawing.wilson(correct, total)
    return f"{name} {correct / total:.1%} of {total:,} (95 % interval {low:.1%} to {high:.1%})."


show(page)
