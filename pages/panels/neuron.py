"""What one neuron does in both models: where it is active, what it writes and reads, how post-training moved it."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import streamlit as st

from engine.runs.rows import ExampleRow, KeptInput, Neuron, NeuronDetail, NeuronTokens, ReadoutRow
from pages.figures import neurons as drawing
from pages.figures.palette import NAME
from pages.panels import neuron_data
from pages.panels.neuron_data import Kept, Layer, Spot
from pages.shared import address, cached_reads, state, widgets
from pages.shared.sides import Side, Sides

MASK = "<mask>"  # how an answer token that an MDM does not see yet is shown
MOST_PINS = 20

_CLICKED = "last clicked neuron in "  # session only, see state.take_click
_TILE = 215  # pixels


@dataclass(frozen=True)
class Shown:
    """One neuron of one model, as far as its run keeps it."""

    side: Side
    numbers: Neuron
    detail: NeuronDetail | None
    tokens: dict[int, NeuronTokens]  # by kept input

    @property
    def gated(self) -> bool:
        return any(row.ups for row in self.tokens.values())


@dataclass(frozen=True)
class Look:
    """What of the kept inputs is shown: an input by model, and which quantity."""

    inputs: dict[str, KeptInput]
    quantity: str


def name_of(spot: Spot) -> str:
    return f"m{spot[0]}.{spot[1]}"


def choose(spot: Spot | None) -> None:
    """Make a neuron the chosen one, of its layer; None: none is chosen."""
    if spot:
        st.session_state[state.LAYER] = spot[0]
    st.session_state[state.NEURON] = spot[1] if spot else None


def take_click(chart: str, layer: int) -> None:
    """The callback of the scatter: choose the neuron that was clicked, or none when it was chosen already.

    Plotly toggles: a click on the point that it still holds as selected arrives as an empty selection.
    """
    points = st.session_state[chart]["selection"]["points"]
    found = [_number(point["customdata"]) for point in points if "customdata" in point]
    clicked = found[0] if found else st.session_state.get(_CLICKED + chart)
    if clicked is None:
        return
    st.session_state[_CLICKED + chart] = clicked
    choose(None if clicked == st.session_state.get(state.NEURON) else (layer, clicked))


def pins() -> list[Spot]:
    """The pinned neurons, as the address holds them ("3:117,3:5"); what is no neuron's place is left out."""
    found = [spot for text in _pin_texts() if (spot := neuron_data.spot_of(text))]
    return list(dict.fromkeys(found))[:MOST_PINS]


def unread_pins() -> list[str]:
    """What was written among the pins and is not pinned: no neuron's place, or one too many."""
    pinned = pins()
    return [text.strip() for text in _pin_texts() if text.strip() and neuron_data.spot_of(text) not in pinned]


def _pin_texts() -> list[str]:
    return str(st.session_state.get(state.PINS) or "").replace(";", ",").split(",")


def toggle_pin(spot: Spot) -> None:
    """Pin a neuron, or unpin it when it is pinned."""
    now = pins()
    kept = [pin for pin in now if pin != spot] if spot in now else [*now, spot]
    st.session_state[state.PINS] = ",".join(f"{layer}:{neuron}" for layer, neuron in kept)


def neuron_panel(sides: Sides, neurons: Layer, neuron: int) -> None:
    """Everything about one neuron, the ARM's left and the MDM's right."""
    spot = neurons.number, neuron
    shown = [_read(side, spot) for side in sides]
    with st.container(border=True):
        title, pin = st.columns([4, 1], vertical_alignment="center")
        title.subheader(f"Neuron {neuron} of layer {neurons.number} ({name_of(spot)})")
        pinned = spot in pins()
        pin.button(
            "Unpin" if pinned else "Pin",
            icon=":material/keep_off:" if pinned else ":material/keep:",
            key="pin neuron",
            on_click=toggle_pin,
            args=(spot,),
            width="stretch",
            disabled=not pinned and len(pins()) >= MOST_PINS,
            help=f"Keeps it in the comparison at the end of the page and in the address; at most {MOST_PINS}.",
        )
        between(sides, neurons, neuron)
        look = choose_look(sides, shown)
        side_by_side(shown, lambda one: _attribution(one, neurons))
        if look:
            most = _most(shown, look)
            side_by_side(shown, lambda one: _on_tokens(one, look, most))
            st.html(drawing.colour_legend(most))
        longest = _longest(shown)
        side_by_side(shown, lambda one: _writes(one, longest))
        side_by_side(shown, _reads)
        side_by_side(shown, _strongest_prompts)
        histograms(sides, shown, spot)
        st.download_button(
            "This neuron (JSON)",
            _json(shown),
            file_name=f"{sides.origin(with_k=False).stem(f'neuron-{name_of(spot)}')}.json",
            mime="application/json",
            key="download neuron",
            icon=":material/download:",
            on_click="ignore",
        )


def between(sides: Sides, neurons: Layer, neuron: int) -> None:
    """How alike the neuron is in both models: its weights and its activations."""
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
        found = neurons.correlation[neuron]
        st.metric(
            "Activations, correlation", f"{found:.3f}" if np.isfinite(found) else "not known",
            f"over {tokens:,} prompt tokens" if np.isfinite(found) else "no detail in both models", width=_TILE,
            delta_color="off", delta_arrow="off",
            help="Pearson's, of the ARM's with the MDM's activation at the same tokens: the prompts that are kept with "
            "both runs, each once, read by the MDM at the first step that is kept of it.",
        )  # fmt: skip


def choose_look(sides: Sides, shown: Sequence[Shown]) -> Look | None:
    """Which kept example, at which denoising step, and which quantity is shown token by token."""
    pairs = {kept.example: kept for kept in neuron_data.kept_pairs(sides.arm.run.key, sides.mdm.run.key)}
    if not pairs:
        st.info("These two runs keep no example in common, so activations cannot be shown token by token.")
        return None
    address.check(state.INPUT, pairs)
    boxes = st.columns(3, vertical_alignment="bottom")
    with boxes[0]:
        example = st.selectbox(
            "Example", list(pairs), key=state.INPUT, bind=state.URL,
            help="Of these few examples every token's activation is kept with the runs.",
        )  # fmt: skip
    kept = pairs[example]
    with boxes[1]:
        at = _choose_step(kept)
    with boxes[2]:
        offered = state.QUANTITIES if any(one.gated for one in shown) else state.QUANTITIES[:2]
        address.check(state.QUANTITY, offered)
        if st.session_state.get(state.QUANTITY, state.QUANTITIES[0]) not in offered:
            st.session_state[state.QUANTITY] = state.QUANTITIES[0]
        quantity = st.segmented_control(
            "Shown", offered, default=state.QUANTITIES[0], required=True, key=state.QUANTITY, bind=state.URL,
            help="activation: what the neuron writes with. gate: what goes into the non-linearity. up: what the "
            "gated value is multiplied with, where the MLP is gated.",
        )  # fmt: skip
    return Look({"arm": kept.arm, "mdm": at}, str(quantity))


def side_by_side(shown: Sequence[Shown], draw: Callable[[Shown], None]) -> None:
    """One row of the panel, so that what is compared stands at one height."""
    for column, one in zip(st.columns(2, gap="large"), shown, strict=True):
        with column:
            draw(one)


def histograms(sides: Sides, shown: Sequence[Shown], spot: Spot) -> None:
    counts = {one.side.model: one.numbers.counts for one in shown}
    st.markdown("**How often it is how active**")
    figure = drawing.histogram_figure(counts, widgets.palette())
    widgets.chart(
        figure, "neuron histogram", f"Histogram of the activations of {name_of(spot)} in both models",
        f"histogram-{name_of(spot)}", sides.origin(f"activations of neuron {name_of(spot)}", with_k=False),
    )  # fmt: skip
    st.caption(
        "Activation at all tokens of all of the task's inputs. "
        + " ".join(
            f"{NAME[one.side.model]}: mean {one.numbers.mean:+.3f}, standard deviation {one.numbers.std:.3f}, from "
            f"{one.numbers.low:+.3f} to {one.numbers.high:+.3f}, its gate open at {one.numbers.active:.0%} of tokens."
            for one in shown
        )
    )


def _choose_step(kept: Kept) -> KeptInput:
    steps = {one.part: one for one in kept.mdm}
    address.check(state.INPUT_STEP, steps)
    if len(steps) == 1:
        st.selectbox("MDM: denoising step", list(steps), key="only step", disabled=True)
        return kept.mdm[0]
    if st.session_state.get(state.INPUT_STEP) not in {None, *steps}:
        del st.session_state[state.INPUT_STEP]
    part = st.selectbox(
        "MDM: denoising step", list(steps), key=state.INPUT_STEP, bind=state.URL,
        help="The first, the middle and the last step are kept.",
    )  # fmt: skip
    return steps[part]


def _read(side: Side, spot: Spot) -> Shown:
    key, (layer, neuron) = side.run.key, spot
    tokens = {row.input: row for row in cached_reads.rows(NeuronTokens, key, layer=layer, neuron=neuron)}
    detail = cached_reads.row(NeuronDetail, key, layer=layer, neuron=neuron)
    return Shown(side, cached_reads.neuron(key, *spot), detail, tokens)


def _attribution(one: Shown, neurons: Layer) -> None:
    """Attribution with its halves and ranks, and whether detail is kept."""
    meta, numbers = one.side.run.meta, one.numbers
    rank = int(neurons.rank[one.side.model][numbers.neuron]) + 1
    overall = neuron_data.overall_rank(one.side.run.key, (numbers.layer, numbers.neuron), meta.n_neurons) + 1
    st.markdown(f"**{one.side.title}**")
    st.markdown(
        f"Attribution **{widgets.plain(f'{numbers.attribution:+.4g}')}** "
        + widgets.plain(f"(even examples {numbers.half_a:+.4g}, odd {numbers.half_b:+.4g}). ")
        + f"Rank **{rank:,}** of {len(neurons):,} in its layer, {overall:,} of {meta.n_layers * meta.n_neurons:,} "
        "overall."
    )
    if one.detail is None:
        st.info(
            f"The {NAME[one.side.model]}'s run keeps tokens, strongest prompts and input directions only for each "
            "layer's neurons with the largest attributions; this one is not among them there.",
            icon=":material/info:",
        )


def _quantity(row: NeuronTokens, name: str) -> tuple[float, ...]:
    return {"activation": row.activations, "gate": row.gates, "up": row.ups}[name]


def _most(shown: Sequence[Shown], look: Look) -> float:
    """The largest |value| at any kept token, so that models, examples and steps share the shades."""
    rows = [row for one in shown for row in one.tokens.values()]
    return max((abs(value) for row in rows for value in _quantity(row, look.quantity)), default=0.0)


def _longest(shown: Sequence[Shown]) -> float:
    """The largest |logit| of all four lists of tokens, so that their bars can be compared."""
    lists = [logits for one in shown for logits in (one.numbers.promoted_logit, one.numbers.suppressed_logit)]
    return max((abs(value) for logits in lists for value in logits), default=0.0)


def _on_tokens(one: Shown, look: Look, most: float) -> None:
    seen = look.inputs[one.side.model]
    row = one.tokens.get(seen.input)
    st.caption(f"Its {look.quantity} at every token that the {one.side.title} sees")
    if row:
        values = _quantity(row, look.quantity)
        st.html(drawing.coloured_tokens(seen.tokens, values, most, seen.start, _reads_at(one.side, seen)))
    else:
        st.caption("Not kept for this neuron.")


def _reads_at(side: Side, seen: KeptInput) -> set[int]:
    """Where the logits of this input are read, as far as the run looked through the lens there."""
    rows = [row for row in cached_reads.rows(ReadoutRow, side.run.key) if row.example == seen.example]
    return {row.position for row in rows if side.model == "arm" or row.part == seen.part}


def _writes(one: Shown, longest: float) -> None:
    for column, what in zip(st.columns(2), ("promoted", "suppressed"), strict=True):
        tokens, values = getattr(one.numbers, what), getattr(one.numbers, f"{what}_logit")
        column.caption(f"Tokens {what} by its output direction")
        column.html(drawing.token_bars(tokens, values, longest, drawing.BAR_COLOURS[what]))


def _reads(one: Shown) -> None:
    """The embeddings nearest to what the neuron responds to."""
    if one.detail is None:
        return
    gated = bool(one.detail.up_tokens)
    lists = [("gate" if gated else "input", one.detail.gate_tokens, one.detail.gate_cosine)]
    if gated:
        lists.append(("up", one.detail.up_tokens, one.detail.up_cosine))
    for column, (what, tokens, cosines) in zip(st.columns(2), lists, strict=False):
        column.caption(f"Embeddings nearest to its {what} direction (cosine)")
        column.html(drawing.token_bars(tokens, cosines, 1.0, drawing.BAR_COLOURS["nearest"]))


def _strongest_prompts(one: Shown) -> None:
    detail = one.detail
    if detail is None:
        return
    st.caption("Where it is most active among all of the task's examples")
    rows = zip(detail.top_input_example, detail.top_part, detail.top_position, detail.top_value, strict=True)
    most = max((abs(value) for value in detail.top_value), default=0.0)
    lines = []
    for example, part, position, value in rows:
        when = "" if one.side.model == "arm" else f", {html.escape(part)}"
        text = _prompt(one.side, example, part, position, drawing.shade(value, most))
        lines.append(f"<li><b>{value:+.3f}, example {example}{when}:</b> {text}</li>")
    st.html(f'<ul style="font-size:0.85rem;line-height:1.7;padding-left:1.1rem;margin:0">{"".join(lines)}</ul>')


def _prompt(side: Side, example: int, part: str, position: int, style: str) -> str:
    """The tokens around a position as HTML; the words of the example where tokens cannot be told."""
    tokens = seen_tokens(side, example, part)
    if tokens is not None:
        return drawing.passage(tokens, position, style)
    row = next(row for row in cached_reads.rows(ExampleRow, side.run.key) if row.example == example)
    return html.escape(" ".join((*row.prompt, *row.answer))) + f" (at token {position})"


def seen_tokens(side: Side, example: int, part: str) -> list[str] | None:
    """What the model saw: the prompt's tokens and the answer's, those still masked at a step as "<mask>".

    None where the words of an example are not its tokens one by one, so that positions mean nothing.
    """
    key = side.run.key
    kept = {(one.example, one.part): one for one in cached_reads.rows(KeptInput, key)}
    if (example, part) in kept:
        return list(kept[example, part].tokens)
    rows = {row.example: row for row in cached_reads.rows(ExampleRow, key)}
    ahead = _tokens_ahead(list(kept.values()), rows)
    if ahead is None:
        return None
    row = rows[example]
    return [*ahead, *row.prompt, *(row.answer if side.model == "arm" else _visible_answer(key, row, part))]


def _tokens_ahead(kept: Sequence[KeptInput], rows: dict[int, ExampleRow]) -> tuple[str, ...] | None:
    """Tokens before a prompt's words (as <bos>), by the inputs that are kept; None when words are not tokens."""
    ahead = None
    for one in kept:
        words = rows[one.example].prompt
        first = one.start - len(words)
        if first < 0 or one.tokens[first + 1 : one.start] != words[1:]:
            return None
        ahead = one.tokens[:first]
    return ahead


def _visible_answer(key: str, row: ExampleRow, part: str) -> list[str]:
    """The answer's tokens, masked where a step ("step-SS") has not revealed them yet."""
    order = cached_reads.columns(key, "reveals")
    before = (order["example"] == row.example) & (order["step"] < int(part.removeprefix("step-")))
    revealed = set(order["index"][before].tolist())
    return [token if index in revealed else MASK for index, token in enumerate(row.answer)]


def _json(shown: Sequence[Shown]) -> Callable[[], bytes]:
    def made() -> bytes:
        told = {
            one.side.model: {
                "run": one.side.run.key,
                **one.side.run.spec.as_dict(),
                **asdict(one.numbers),
                "detail": asdict(one.detail) if one.detail else None,
                "tokens": [asdict(row) for row in one.tokens.values()],
            }
            for one in shown
        }
        return json.dumps(told, ensure_ascii=False, indent=1).encode()

    return made


def _number(value: object) -> int:
    found = value[0] if isinstance(value, list | tuple) else value
    return int(str(found))
