"""Show the circuit of one denoising step, and how circuits of steps overlap with each other and the ARM's sites."""

from __future__ import annotations

import numpy as np
import streamlit as st

from engine.circuits import comparison
from engine.circuits.parts import matching_position
from engine.circuits.shared_edges import classify, nodes_of
from pages.figures import denoising as drawing
from pages.figures.circuit import circuit_figure
from pages.panels import denoising_data as data
from pages.panels.denoising_data import Examined
from pages.shared import cached_reads, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.state import TOTAL

GRAPH_HEIGHT, GRAPH_ROW = 470, 21  # pixels: at least, and a layer


def step_circuit(examined: Examined, step: int) -> None:
    """The circuit of one step and how much of it other circuits share."""
    asked, part = examined.asked, f"step-{step:02d}"
    if examined.steps == 1:
        st.caption("The whole answer is revealed at one step, so its circuit is the one on the Circuits page.")
        return
    st.subheader(f"The circuit of step {step}", help=meaning("circuit"))
    if part not in asked.mdm.meta.parts:
        there = ", ".join(name.partition("-")[2].lstrip("0") or "0" for name in asked.mdm.meta.parts)
        st.info(
            f"At step {step} no token is revealed in which the clean and the corrupted answers differ, so there is no "
            f"contrast to explain. Steps with a circuit: {there}.",
            icon=":material/compare_arrows:",
        )
        return
    site, words = matching_site(examined, step)
    graph, numbers = st.columns([3, 2], gap="large")
    with numbers:
        step_numbers(asked, part, site)
        st.caption(words)
    with graph:
        step_graph(asked, step, part, site)


def step_graph(asked: Asked, step: int, part: str, site: str | None) -> None:
    own = cached_reads.edges(asked.mdm.key, part, asked.k)
    other = cached_reads.edges(asked.arm.key, site or TOTAL, asked.k)
    edges = classify(own.edge, own.score, other.edge)
    figure = circuit_figure(asked.graph, "mdm", edges, nodes_of(asked.graph, other.edge), widgets.palette())
    figure.update_layout(height=max(GRAPH_HEIGHT, GRAPH_ROW * asked.graph.n_layers))
    widgets.chart(
        figure, "step graph", f"Circuit of step {step} of the MDM at K = {asked.k}", f"circuit-{part}",
        asked.sides.origin(
            f"circuit of the {asked.sides.mdm.title}, {part}", f"shared: with the ARM's {site or 'whole answer'}"
        ),
    )  # fmt: skip
    st.caption(f"Shared: also among the {asked.k:,} strongest edges of the ARM's {site or 'whole answer'}.")


def matching_site(examined: Examined, step: int) -> tuple[str | None, str]:
    """The ARM's part for the token that this step reveals, and a sentence about it."""
    match = matching_position(cached_reads.columns(examined.asked.mdm.key, "reveals"), step)
    if match is None:
        return None, "No example reveals anything at this step."
    site = f"site-{match.index:02d}"
    words = f"At step {step}, {match.share:.0%} of the examples reveal answer position {match.index}"
    if match.share < 1:
        words += ", more than any other (each example has its own order)"
    if site not in examined.asked.arm.meta.parts:
        return None, f"{words}; there the answers don't differ, so there is no circuit of the ARM to compare with."
    return site, f"{words}: the ARM's matching site is {site}."


def step_numbers(asked: Asked, part: str, site: str | None) -> None:
    """Overlaps of a step's circuit at K."""
    parts, key = asked.mdm.meta.parts, asked.mdm.key
    before = parts[parts.index(part) - 1] if parts.index(part) else None
    chance = f"chance {comparison.chance(asked.k, asked.graph.n_edges):.3f}"
    pairs = [(f"Overlap with {before}", key, before), ("Overlap with the MDM's whole run", key, TOTAL)]
    pairs.append((f"Overlap with the ARM's {site}", asked.arm.key, site))
    for label, other, name in pairs:
        if name:
            value = data.overlaps(key, other, (part,), (name,), asked.k)[0, 0]
            st.metric(
                label, f"{value:.3f}", chance, delta_color="off", delta_arrow="off",
                help=f"{meaning('overlap')} {meaning('chance')}" + (f" {meaning('site')}" if name == site else ""),
            )  # fmt: skip


def between_steps(examined: Examined) -> None:
    """Overlaps of every two steps and with every site of the ARM, and where in the layers each step's circuit is."""
    asked, parts, sites = examined.asked, examined.asked.mdm.meta.parts, examined.asked.arm.meta.parts
    if examined.steps == 1 or not parts:
        return
    palette = widgets.palette()
    st.header("All steps", divider="gray", help=f"{meaning('overlap')} {meaning('chance')}")
    chance = comparison.chance(asked.k, asked.graph.n_edges)
    st.caption(
        f"Overlap (Jaccard, in percent) of the {asked.k:,} strongest edges of every two parts; a stronger colour is "
        f"more. Two random circuits of that size have {chance:.1%}. With itself a step has 100."
    )
    left, right = st.columns(2)
    with left:
        st.subheader("Steps with steps")
        values = data.overlaps(asked.mdm.key, asked.mdm.key, parts, parts, asked.k)
        figure = drawing.overlap_figure(values, parts, parts, palette.mdm, palette)
        widgets.chart(
            figure, "steps", "Overlap of every two steps' circuits", "overlap-steps",
            asked.sides.mdm.origin("overlap of the circuits of its steps, in percent", k=asked.k),
        )  # fmt: skip
    with right:
        st.subheader("Steps with the ARM's sites")
        values = data.overlaps(asked.mdm.key, asked.arm.key, parts, sites, asked.k)
        figure = drawing.overlap_figure(values, parts, sites, palette.shared, palette)
        widgets.chart(
            figure, "sites", "Overlap of every step's circuit with that of every site of the ARM", "overlap-sites",
            asked.sides.origin("overlap of the circuits of steps and sites, in percent"),
        )  # fmt: skip
    importance_of_parts(asked)


def importance_of_parts(asked: Asked) -> None:
    """Where in the layers the circuits of sites and of steps are."""
    st.subheader("Importance by layer, in percent", help=meaning("importance"))
    names = {"arm": asked.arm.meta.parts, "mdm": asked.mdm.meta.parts}
    profiles = {
        side.model: np.array([cached_reads.layer_shares(side.run.key, part, asked.k) for part in names[side.model]])
        for side in asked.sides
    }
    highest = max(float(profile.max(initial=0.0)) for profile in profiles.values())
    for column, side in zip(st.columns(2), asked.sides, strict=True):
        with column:
            st.caption(f"{side.title}, circuits of its {'sites' if side.model == 'arm' else 'steps'}")
            figure = drawing.layers_figure(
                profiles[side.model], names[side.model], side.model, highest, widgets.palette()
            )
            widgets.chart(
                figure, f"layers {side.model}", f"Importance by layer of each part of the {side.title}",
                "layers-parts", side.origin("importance by layer, in percent", k=asked.k),
            )  # fmt: skip
