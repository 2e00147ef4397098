"""Show how the circuits of all steps overlap with each other and with the ARM's sites, and offer the page's files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from engine.circuits import comparison
from pages.figures import denoising as drawing
from pages.panels import denoising_data as data
from pages.panels import denoising_files
from pages.panels.circuit_choices import chosen_k
from pages.panels.denoising_data import Examined
from pages.panels.step_circuit import ALL_STEPS
from pages.shared import cached_reads, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked


@st.fragment(key=ALL_STEPS)
@widgets.user_errors()
def all_steps(examined: Examined) -> None:
    """All that depends on K and on no step."""
    at_k = replace(examined, asked=replace(examined.asked, k=chosen_k(examined.asked.graph.n_edges)))
    between_steps(at_k)
    st.subheader("Download", divider="gray")
    denoising_files.downloads(at_k)


def between_steps(examined: Examined) -> None:
    """Overlaps of every two steps and with every site of the ARM, and where in the layers each step's circuit is."""
    asked, parts, sites = examined.asked, examined.asked.mdm.meta.parts, examined.asked.arm.meta.parts
    if examined.steps == 1 or not parts:
        return
    palette = widgets.palette()
    st.subheader("All steps", divider="gray", help=f"{meaning('overlap')} {meaning('chance')}")
    chance = comparison.chance(asked.k, asked.graph.n_edges)
    st.caption(
        f"Overlap (Jaccard, in percent) of the {asked.k:,} strongest edges of every two parts; a stronger colour is "
        f"more. Two random circuits of that size have {chance:.1%}. With itself a step has 100."
    )
    left, right = st.columns(2)
    with left:
        st.markdown("##### Steps with steps")
        values = data.overlaps(asked.mdm.key, asked.mdm.key, parts, parts, asked.k)
        figure = drawing.overlap_figure(values, parts, parts, palette.mdm, palette)
        widgets.chart(
            figure, "steps", "Overlap of every two steps' circuits", "overlap-steps",
            asked.sides.mdm.origin("overlap of the circuits of its steps, in percent", k=asked.k),
        )  # fmt: skip
    with right:
        st.markdown("##### Steps with the ARM's sites")
        values = data.overlaps(asked.mdm.key, asked.arm.key, parts, sites, asked.k)
        figure = drawing.overlap_figure(values, parts, sites, palette.shared, palette)
        widgets.chart(
            figure, "sites", "Overlap of every step's circuit with that of every site of the ARM", "overlap-sites",
            asked.sides.origin("overlap of the circuits of steps and sites, in percent"),
        )  # fmt: skip
    importance_of_parts(asked)


def importance_of_parts(asked: Asked) -> None:
    """Where in the layers the circuits of sites and of steps are."""
    st.markdown("##### Importance by layer, in percent", help=meaning("importance"))
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
