"""Overlap at every K, with what it is compared with, and importance by layer."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from engine.circuits import comparison, profiles
from engine.runs.records import Run
from pages.figures.overlap import overlap_figure
from pages.figures.profile import profile_figure
from pages.panels import references
from pages.panels.references import SPLIT_HALF_HELP
from pages.shared import cached_reads, widgets
from pages.shared.glossary import meaning
from pages.shared.provenance import title
from pages.shared.sides import Sides


def overlap_and_profile(sides: Sides, control: Run | None) -> None:
    """The overlap at every K with what it is compared with, and the layer profile."""
    arm, mdm, palette = sides.arm, sides.mdm, widgets.palette()
    left, right = st.columns(2)
    with left:
        st.subheader("Overlap at every K", help=f"{meaning('overlap')} {meaning('chance')}")
        here = cached_reads.overlap(arm.run.key, mdm.run.key, arm.part, mdm.part, sides.k)
        lines = references.overlap_lines(sides, control)
        figure = overlap_figure(lines, sides.graph.n_edges, sides.k, here, palette)
        shown = sides.origin()
        drawn = [line.style for line in lines]
        if control and "control" in drawn:
            shown = replace(shown, runs=(*shown.runs, (title(control), control)))
        widgets.chart(figure, "overlap", "Overlap of the two circuits at every K", "overlap", shown)
        st.caption(curves_note(mdm.label, "control" in drawn, "half-pair" in drawn), help=SPLIT_HALF_HELP)
    with right:
        st.subheader("Importance by layer", help=f"{meaning('importance')} {meaning('early_share')}")
        shares = [cached_reads.layer_shares(side.run.key, side.part, sides.k) for side in (arm, mdm)]
        early = profiles.early_boundary(sides.graph.n_layers)
        figure = profile_figure(shares[0], shares[1], early, palette, mdm.label)
        widgets.chart(figure, "profile", "Share of importance by layer, ARM and MDM", "layers", sides.origin())
        at = cached_reads.comparison(arm.run.key, mdm.run.key, arm.part, mdm.part, sides.k)
        st.caption(
            f"At K = {sides.k:,}. Early share: ARM {comparison.printed(at.arm.early_share, '.1%')}, {mdm.label} "
            f"{comparison.printed(at.mdm.early_share, '.1%')}, ratio {comparison.printed(at.early_ratio, '.2f')}. "
            f"Effective number of components: ARM {at.arm.effective_number:.1f}, {mdm.label} "
            f"{at.mdm.effective_number:.1f}.",
            help=meaning("effective_number"),
        )


def curves_note(mdm: str, with_control: bool, with_halves: bool) -> str:
    """What the curves of overlap are of, of those that are drawn."""
    halves = (
        "Split-half: circuits of half of the prompts each, so these three compare with each other only."
        if with_halves
        else "A single prompt has no halves."
    )
    control = " and with the control" if with_control else ""
    return f"ARM with {mdm}{control}: circuits of all prompts. {halves}"
