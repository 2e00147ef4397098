"""Show one neuron in both models: where it is active, what it writes and reads, how post-training changed it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from engine.runs.token_search import Place
from pages.figures import neurons as drawing
from pages.figures.palette import NAME
from pages.panels import neuron_data, neuron_tokens
from pages.panels.chosen_neurons import MOST_PINS, name_of, pins, toggle_pin
from pages.panels.neuron_data import Layer
from pages.panels.one_neuron import ShownNeuron, read_neuron
from pages.shared import widgets
from pages.shared.artifacts import awaited
from pages.shared.downloads import file_button
from pages.shared.glossary import meaning
from pages.shared.sides import Sides

_TILE = 215  # pixels
_TABS = ("Writes", "Reads", "Tokens", "Prompts", "Histogram", "Change")


def neuron_panel(sides: Sides, neurons: Layer, neuron: int | None) -> None:
    """Everything about one neuron, the ARM's left and the MDM's right; None: what to click to see it."""
    if neuron is None:
        st.info(
            "Click a dot, tick a row, type a number or search. Here you will see what the neuron does in both models: "
            "where it is active, what it promotes and suppresses, and how post-training changed it.",
            icon=":material/ads_click:",
        )
        return
    place = neurons.number, neuron
    shown = [read_neuron(side, place) for side in sides]
    with st.container(border=True):
        _title(sides, shown, place)
        side_by_side(shown, lambda neuron: _attribution(neuron, neurons))
        writes, reads, tokens, prompts, counts, change = st.tabs(_TABS)
        with writes:
            _both_write(sides, shown)
        with reads:
            side_by_side(shown, _reads)
        with tokens:
            _on_tokens(sides, shown)
        with prompts:
            side_by_side(shown, neuron_tokens.strongest_prompts)
        with counts:
            if not awaited("neuron histogram", sides.runs, "activity"):
                histogram(sides, shown, place)
        with change:
            between(sides, neurons, neuron)


def between(sides: Sides, neurons: Layer, neuron: int) -> None:
    """How alike the neuron is in both models: its weights and its activations."""
    st.caption("How alike the neuron is in both models: by its weights, and by its activations at the same tokens.")
    _, tokens = neuron_data.correlations(sides.arm.run.key, sides.mdm.run.key, neurons.number)
    titles = {"in": "Input weights", "gate": "Gate weights", "out": "Output weights"}
    if neurons.cosine["gate"].size and np.isfinite(neurons.cosine["gate"]).any():
        titles["in"] = "Up weights"
    with st.container(horizontal=True, gap="medium"):
        for which, title in titles.items():
            values = neurons.cosine[which]
            if np.isfinite(values[neuron]):
                lower = float((values < values[neuron]).mean())
                st.metric(
                    f"{title}, cosine", f"{values[neuron]:.3f}", f"above {lower:.0%} of the layer", width=_TILE,
                    delta_color="off", delta_arrow="off",
                    help="Between the neuron's weights before and after post-training: 1 is unchanged.",
                )  # fmt: skip
        correlation = neurons.correlation[neuron]
        known = np.isfinite(correlation)
        st.metric(
            "Activations, correlation", f"{correlation:.3f}" if known else "not known",
            f"over {tokens:,} prompt tokens" if known else "no detail in both models", width=_TILE,
            delta_color="off", delta_arrow="off",
            help="Pearson's, of the ARM's with the MDM's activation at the same tokens: the prompts that are kept with "
            "both runs, each once, read by the MDM at the first step that is kept of it.",
        )  # fmt: skip


def side_by_side(shown: Sequence[ShownNeuron], draw: Callable[[ShownNeuron], None]) -> None:
    """One row of the panel, so that what is compared has one height."""
    for column, neuron in zip(st.columns(2, gap="medium"), shown, strict=True):
        with column:
            draw(neuron)


def histogram(sides: Sides, shown: Sequence[ShownNeuron], place: Place) -> None:
    counts = {neuron.side.model: neuron.numbers.counts for neuron in shown}
    figure = drawing.histogram_figure(counts, widgets.palette())
    widgets.chart(
        figure, "neuron histogram", f"Histogram of the activations of {name_of(place)} in both models",
        f"histogram-{name_of(place)}", sides.origin(f"activations of neuron {name_of(place)}", with_k=False),
    )  # fmt: skip
    st.caption(
        "Activation at all tokens of all of the task's inputs. "
        + " ".join(
            f"{NAME[neuron.side.model]}: mean {neuron.numbers.mean:+.3f}, standard deviation {neuron.numbers.std:.3f}, "
            f"from {neuron.numbers.low:+.3f} to {neuron.numbers.high:+.3f}, active at {neuron.numbers.active:.0%} of "
            "tokens."
            for neuron in shown
        )
        + " Active: the non-linearity's input is above 0."
    )


def _title(sides: Sides, shown: Sequence[ShownNeuron], place: Place) -> None:
    pinned = place in pins()
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(f"##### Neuron {place[1]} of layer {place[0]} ({name_of(place)})", width="content")
        st.button(
            "Unpin" if pinned else "Pin",
            icon=":material/keep_off:" if pinned else ":material/keep:",
            key="pin neuron",
            on_click=toggle_pin,
            args=(place,),
            disabled=not pinned and len(pins()) >= MOST_PINS,
            help=f"Keeps it in the comparison at the end of the page and in the address; at most {MOST_PINS}.",
        )
        file_button(
            "JSON",
            lambda: _json(shown),
            f"{sides.origin(with_k=False).stem(f'neuron-{name_of(place)}')}.json",
            key="download neuron",
            help="Everything that is kept of this neuron, in both models.",
        )


def _attribution(neuron: ShownNeuron, neurons: Layer) -> None:
    """Attribution with its halves and ranks, and whether detail is kept."""
    meta, numbers = neuron.side.run.meta, neuron.numbers
    rank = int(neurons.rank[neuron.side.model][numbers.neuron]) + 1
    overall = neuron_data.overall_rank(neuron.side.run.key, (numbers.layer, numbers.neuron), meta.n_neurons) + 1
    st.markdown(f"**{neuron.side.title}**")
    st.markdown(
        f"Attribution **{widgets.plain(f'{numbers.attribution:+.4g}')}** "
        + widgets.plain(f"(even examples {numbers.half_a:+.4g}, odd {numbers.half_b:+.4g}). ")
        + f"Rank **{rank:,}** of {len(neurons):,} in its layer, {overall:,} of {meta.n_layers * meta.n_neurons:,} "
        "overall.",
        help=meaning("neuron_attribution"),
    )
    if neuron.detail is None:
        st.caption(
            f":material/info: The {NAME[neuron.side.model]}'s run keeps tokens, strongest prompts and input directions "
            "only for each layer's neurons with the largest attributions; this one is not among them there."
        )


def _longest(shown: Sequence[ShownNeuron]) -> float:
    """The largest |logit| of all four lists of tokens, so that their bars can be compared."""
    numbers = [neuron.numbers for neuron in shown]
    lists = [logits for row in numbers for logits in (row.promoted_logit, row.suppressed_logit)]
    return max((abs(value) for logits in lists for value in logits), default=0.0)


def _both_write(sides: Sides, shown: Sequence[ShownNeuron]) -> None:
    if awaited("neuron writes", sides.runs, "weights"):
        return
    st.caption("What its output weights add to the logits of tokens where its activation is above 0.")
    longest = _longest(shown)
    for effect in ("promoted", "suppressed"):
        side_by_side(shown, lambda neuron, effect=effect: _writes(neuron, effect, longest))  # type: ignore[misc]


def _writes(neuron: ShownNeuron, effect: str, longest: float) -> None:
    tokens, values = getattr(neuron.numbers, effect), getattr(neuron.numbers, f"{effect}_logit")
    st.caption(f"{neuron.side.label}: tokens {effect} (logits)")
    st.html(drawing.token_bars(tokens, values, longest, drawing.BAR_COLOURS[effect]))


def _reads(neuron: ShownNeuron) -> None:
    """The embeddings nearest to what the neuron responds to."""
    detail = neuron.detail
    if detail is None:
        st.caption(f"{neuron.side.label}: not kept for this neuron.")
        return
    gated = bool(detail.up_tokens)
    lists = [("gate" if gated else "input", detail.gate_tokens, detail.gate_cosine)]
    if gated:
        lists.append(("up", detail.up_tokens, detail.up_cosine))
    for weights, tokens, cosines in lists:
        st.caption(f"{neuron.side.label}: embeddings nearest to its {weights} weights (cosine)")
        st.html(drawing.token_bars(tokens, cosines, 1.0, drawing.BAR_COLOURS["nearest"]))


def _on_tokens(sides: Sides, shown: Sequence[ShownNeuron]) -> None:
    view = neuron_tokens.choose_tokens(sides, shown)
    if view:
        most = neuron_tokens.largest_value(shown, view)
        side_by_side(shown, lambda neuron: neuron_tokens.on_tokens(neuron, view, most))
        st.html(drawing.colour_legend(most))


def _json(shown: Sequence[ShownNeuron]) -> bytes:
    told = {neuron.side.model: neuron.as_dict() for neuron in shown}
    return json.dumps(told, ensure_ascii=False, indent=1).encode()
