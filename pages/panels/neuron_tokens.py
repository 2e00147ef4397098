"""Show a neuron token by token: its values on a kept example, and the prompts on which it is most active."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from engine.runs import kept_inputs, stored
from engine.runs.kept_inputs import KeptPair
from engine.runs.rows import ExampleRow, KeptInput, NeuronTokens, ReadoutRow
from pages.figures import neurons as drawing
from pages.panels import neuron_data
from pages.panels.one_neuron import ShownNeuron
from pages.shared import address, cached_reads, state
from pages.shared.glossary import meaning
from pages.shared.sides import Side, Sides
from pages.shared.synced import synced

_STEP = 180  # pixels


@dataclass(frozen=True)
class TokenView:
    """What of the kept inputs is shown: an input by model, and which quantity."""

    inputs: dict[str, KeptInput]
    quantity: str


def choose_tokens(sides: Sides, shown: Sequence[ShownNeuron]) -> TokenView | None:
    """Which kept example, at which denoising step, and which quantity is shown token by token."""
    pairs = {kept.example: kept for kept in neuron_data.kept_pairs(sides.arm.run.key, sides.mdm.run.key)}
    if not pairs:
        st.info("These two runs keep no example in common, so activations cannot be shown token by token.")
        return None
    offered = state.QUANTITIES if any(neuron.gated for neuron in shown) else state.QUANTITIES[:2]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        example = st.selectbox(
            "Example", list(pairs), key=synced(state.INPUT, next(iter(pairs)), list(pairs)), width=120,
            help="Of these few examples every token's activation is kept with the runs.",
        )  # fmt: skip
        kept = pairs[example]
        of_mdm = _choose_step(kept)
        quantity = st.segmented_control(
            "Shown", offered, required=True, key=synced(state.QUANTITY, state.QUANTITIES[0], offered),
            help="activation: the number that multiplies the neuron's output weights. gate: the input of the "
            "non-linearity. up: what the gated value is multiplied with, where the MLP is gated.",
        )  # fmt: skip
    return TokenView({"arm": kept.arm, "mdm": of_mdm}, str(quantity))


def largest_value(shown: Sequence[ShownNeuron], view: TokenView) -> float:
    """The largest |value| at any kept token, so that models, examples and steps share the shades."""
    rows = [row for neuron in shown for row in neuron.tokens.values()]
    return max((abs(value) for row in rows for value in _quantity(row, view.quantity)), default=0.0)


def on_tokens(neuron: ShownNeuron, view: TokenView, most: float) -> None:
    """The chosen quantity at every token of the chosen input."""
    kept = view.inputs[neuron.side.model]
    row = neuron.tokens.get(kept.input)
    st.caption(f"Its {view.quantity} at every token that the {neuron.side.title} reads")
    if row:
        values = _quantity(row, view.quantity)
        st.html(drawing.coloured_tokens(kept.tokens, values, most, kept.start, _reads_at(neuron.side, kept)))
    else:
        st.caption("Not kept for this neuron.")


def strongest_prompts(neuron: ShownNeuron) -> None:
    """The prompts on which it is most active, with the token at which it is."""
    detail = neuron.detail
    if detail is None:
        st.caption(f"{neuron.side.label}: not kept for this neuron.")
        return
    st.caption(f"{neuron.side.label}: where it is most active among all of the task's examples")
    rows = zip(detail.top_input_example, detail.top_part, detail.top_position, detail.top_value, strict=True)
    most = max((abs(value) for value in detail.top_value), default=0.0)
    lines = []
    for example, part, position, value in rows:
        when = "" if neuron.side.model == "arm" else f", {html.escape(part)}"
        text = _prompt(neuron.side, example, part, position, drawing.shade(value, most))
        lines.append(f"<li><b>{value:+.3f}, example {example}{when}:</b> {text}</li>")
    st.html(f'<ul style="font-size:0.85rem;line-height:1.7;padding-left:1.1rem;margin:0">{"".join(lines)}</ul>')


def seen_tokens(side: Side, example: int, part: str) -> list[str] | None:
    """What the model saw of an example, masked tokens as <mask>; None where the example's words are not its tokens."""
    key = side.run.key
    reveals = cached_reads.columns(key, "reveals") if part.startswith("step-") else {}
    return kept_inputs.seen_tokens(
        cached_reads.rows(KeptInput, key), cached_reads.rows(ExampleRow, key), reveals, example, part
    )


def _choose_step(kept: KeptPair) -> KeptInput:
    steps = {entry.part: entry for entry in kept.mdm}
    if len(steps) == 1:
        address.check(state.INPUT_STEP, steps)
        st.selectbox("MDM: denoising step", list(steps), key="only step", disabled=True, width=_STEP)
        return kept.mdm[0]
    part = st.selectbox(
        "MDM: denoising step", list(steps), key=synced(state.INPUT_STEP, next(iter(steps)), list(steps)), width=_STEP,
        help=f"{meaning('denoising_step')} The first, the middle and the last step are kept.",
    )  # fmt: skip
    return steps[part]


def _quantity(row: NeuronTokens, name: str) -> tuple[float, ...]:
    return {"activation": row.activations, "gate": row.gates, "up": row.ups}[name]


def _reads_at(side: Side, kept: KeptInput) -> set[int]:
    """Where the logits of this input are read, as far as the run kept the lens there."""
    if not stored.has(side.run, "lens"):
        return set()
    rows = [row for row in cached_reads.rows(ReadoutRow, side.run.key) if row.example == kept.example]
    return {row.position for row in rows if side.model == "arm" or row.part == kept.part}


def _prompt(side: Side, example: int, part: str, position: int, style: str) -> str:
    """The tokens around a position as HTML; the words of the example where tokens cannot be told."""
    tokens = seen_tokens(side, example, part)
    if tokens is not None:
        return drawing.passage(tokens, position, style)
    row = next(row for row in cached_reads.rows(ExampleRow, side.run.key) if row.example == example)
    return html.escape(" ".join((*row.prompt, *row.answer))) + f" (at token {position})"
