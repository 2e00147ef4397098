"""Show how specialised both models are on a task: effective numbers, Gini coefficients and lens, with intervals."""

from __future__ import annotations

import streamlit as st

from engine.circuits import intervals, profiles
from engine.circuits.comparison import printed
from engine.circuits.intervals import BandContrast, Contrast, Estimate
from engine.runs import stored
from engine.schema.vocabulary import BLOCKS, COMPONENT_EXAMPLES
from pages.panels import activation_data as data
from pages.shared import cached_reads
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked

COLUMNS = ("Measure", "ARM", "MDM", "ARM - MDM")
LENS_ROWS = {
    "residual_entropy": "Residual lens: entropy, nats",
    "residual_top": "Residual lens: top-1 probability",
    "node_entropy": "Components' lens: entropy, nats",
    "node_top": "Components' lens: top-1 probability",
}


def spread_table(asked: Asked) -> None:
    """Effective numbers, Gini and, where it is there, lens, of both models and their difference."""
    st.dataframe(
        spread_rows(asked), height="content", hide_index=True, alt="How specialised both models are, with intervals",
    )  # fmt: skip
    st.caption(
        "In brackets: the interval over examples. " + intervals_note(asked) + " For neurons only two halves of "
        "the examples are stored, so the values of even / odd examples are shown in place of an interval (“/”). "
        f"Lens: means over the layers below, of components over the first {COMPONENT_EXAMPLES} examples; low entropy "
        "and high top-1 probability mean that few tokens are predicted.",
        help=f"Effective number: {meaning('effective_number')} Gini: {meaning('gini')}",
    )


def spread_rows(asked: Asked) -> list[dict[str, str]]:
    early = profiles.early_boundary(asked.graph.n_layers)
    spread = data.specialisation(asked.arm.key, asked.mdm.key, asked.k, early)
    rows = [
        _contrast_row(f"Circuit at K = {asked.k:,}: effective components", spread.effective_number, 1),
        _contrast_row(f"Circuit at K = {asked.k:,}: Gini of components", spread.gini, 3),
    ]
    arm, mdm = (data.neuron_spread(side.run.key) for side in asked.sides)
    rows.append(_halves_row("MLP neurons: effective number", arm.effective_number, mdm.effective_number, ",.1f"))
    rows.append(_halves_row("MLP neurons: Gini", arm.gini, mdm.gini, ".3f"))
    with_lens = all(stored.has(run, "lens") for run in asked.runs)
    bands = data.lens_bands(asked.arm.key, asked.mdm.key) if with_lens else {}
    for measure, (_, over_layers) in bands.items():
        rows.append(_contrast_row(LENS_ROWS[measure], _as_estimates(over_layers), 3))
    return rows


def intervals_note(asked: Asked) -> str:
    """What the intervals come from, or why there are none."""
    n, known = asked.arm.spec.n, len(cached_reads.edge_blocks(asked.arm.key).edge)
    if min(n, BLOCKS) < intervals.FEWEST:
        return f"No intervals from {n} examples: choose {intervals.FEWEST} or more in Settings."
    note = (
        f"Intervals: 95 %, from {intervals.RESAMPLES:,} resamples of the {n} examples in "
        f"{min(n, BLOCKS)} blocks, the same for both models, with the circuits' edges kept."
    )
    if asked.k > known:
        note += f" Only the {known:,} strongest edges are resampled, so they are somewhat too narrow at this K."
    return note


def percent(share: Estimate) -> str:
    """A share with its interval, in percent."""
    if share.low is None or share.high is None:
        return printed(share.value, ".1%")
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def estimate(number: Estimate, digits: int) -> str:
    """A number with its interval."""
    value = printed(number.value, f".{digits}f")
    if number.low is None or number.high is None:
        return value
    return f"{value} ({number.low:.{digits}f} to {number.high:.{digits}f})"


def _contrast_row(measure: str, contrast: Contrast, digits: int) -> dict[str, str]:
    cells = (estimate(number, digits) for number in (contrast.arm, contrast.mdm, contrast.difference))
    return dict(zip(COLUMNS, (measure, *cells), strict=True))


def _halves_row(
    measure: str, arm: tuple[float, float, float], mdm: tuple[float, float, float], form: str
) -> dict[str, str]:
    """Of all, even and odd examples."""
    difference = tuple(a - b for a, b in zip(arm, mdm, strict=True))
    cells = ("{} ({} / {})".format(*(printed(value, form) for value in own)) for own in (arm, mdm, difference))
    return dict(zip(COLUMNS, (measure, *cells), strict=True))


def _as_estimates(contrast: BandContrast) -> Contrast:
    """Bands of one entry as estimates."""
    estimates = []
    for bands in (contrast.arm, contrast.mdm, contrast.difference):
        low, high = (None if end is None else float(end) for end in (bands.low, bands.high))
        estimates.append(Estimate(float(bands.value), low, high))
    return Contrast(*estimates)
