"""Show the logit lens of answer positions: at which layer each model's prediction becomes the right answer."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from engine.models.token_text import visible
from engine.runs.answer_lens import AnswerLens, at_step, readable_from
from pages.figures import answer_lens as drawing
from pages.figures.palette import NAME
from pages.panels import denoising_data as data
from pages.panels.denoising_data import Examined
from pages.shared import address, cached_reads, clicks, state, widgets
from pages.shared.artifacts import awaited, lacking
from pages.shared.glossary import meaning
from pages.shared.synced import synced

Lenses = dict[tuple[int, int], AnswerLens]  # by denoising step and answer position


def lenses_of(examined: Examined) -> dict[str, Lenses]:
    """Of both models, at every step and position; empty, with a sentence, where they are not there."""
    if awaited("lens", examined.asked.runs, "lens"):
        return {}
    lenses = {side.model: data.lenses(side.run.key, examined.example) for side in examined.asked.sides}
    if not all(lenses.values()):
        st.info("These runs keep no lens of this example. Choose another example, or compute the runs again.")
        return {}
    return lenses


def choose_position(examined: Examined) -> int:
    """An answer position: clicked in a map, or chosen here."""
    address.check(state.POSITION, range(len(examined.answer)))
    if len(examined.answer) == 1:
        return 0
    reveals = cached_reads.columns(examined.asked.mdm.key, "reveals")
    ours = reveals["example"] == examined.example
    last = int(reveals["index"][ours][reveals["step"][ours].argmax()]) if ours.any() else 0
    return int(
        st.selectbox(
            "Answer position: click a cell, or choose here",
            list(range(len(examined.answer))),
            format_func=str,
            key=synced(state.POSITION, last, range(len(examined.answer))),
            help="At first the position that is revealed last, which has a lens at every step.",
        )
    )


def position_panel(examined: Examined, lenses: dict[str, Lenses], step: int, position: int) -> None:
    """Both models' layers at one position, as lines and in words."""
    steps = [s for s, t in lenses["mdm"] if t == position and s <= step]
    lines = {}
    if (0, position) in lenses["arm"]:
        lines["arm"] = lenses["arm"][0, position]
    if steps:
        lines["mdm"] = lenses["mdm"][max(steps), position]
    if not lines:
        st.info("No lens is kept for this position.")
        return
    answer = widgets.plain(visible(examined.answer[position]))
    sentences = [_readable_sentence(NAME[model], lens) for model, lens in lines.items()]
    if steps and max(steps) < step:
        sentences.append(f"At step {step} this token is already revealed: the MDM's lens is that of step {max(steps)}.")
    where = "Position" if examined.steps == 1 else f"Step {step}, position"
    st.markdown(f"{where} {position}, right answer **{answer}**. " + " ".join(sentences), help=meaning("logit_lens"))
    widgets.chart(
        drawing.position_figure(lines, widgets.palette()), "position lens",
        f"Probability and rank of the right answer over layers at position {position}",
        f"lens-example{examined.example}-step{step}-position{position}",
        examined.asked.sides.origin(
            f"example {examined.example}, step {step}, answer position {position}", with_k=False
        ),
    )  # fmt: skip


def lens_maps(examined: Examined, lenses: dict[str, Lenses], step: int, position: int) -> None:
    """Layers by answer positions, of each model at a step; a click on a cell chooses its position."""
    if not lenses:
        st.info("There is no lens of this example yet.")
        return
    shown = {"arm": at_step(lenses["arm"], 0), "mdm": at_step(lenses["mdm"], step)}
    for column, side in zip(st.columns(2), examined.asked.sides, strict=True):
        with column:
            when = "every position, given the right tokens before it" if side.model == "arm" else "masked positions"
            st.caption(f"{side.title}: probability of the right token, with the top token as text; {when}")
            key = f"lens map {side.model}"
            figure = drawing.lens_figure(shown[side.model], examined.answer, position, side.model, widgets.palette())
            about = f"example {examined.example}" + ("" if side.model == "arm" else f", step {step}")
            widgets.chart(
                figure, key, f"Logit lens of the {side.title}: layers by answer positions",
                f"lens-map-{about.replace(', ', '-').replace(' ', '')}", side.origin("logit lens", about), _taker(key),
            )  # fmt: skip


def readable(examined: Examined) -> None:
    """Over all steps: from which layer on the right answer can be read."""
    if examined.steps == 1 or lacking(examined.asked.runs, ["lens"]):
        return
    arm, mdm = (data.lenses(side.run.key, examined.example) for side in examined.asked.sides)
    if not mdm or not arm:
        return
    st.subheader("From which layer on the answer can be read", divider="gray", help=meaning("logit_lens"))
    figure = drawing.readable_figure(mdm, at_step(arm, 0), examined.answer, widgets.palette())
    widgets.chart(
        figure, "readable", "Layer from which the right answer is the top token, by step and position",
        f"readable-example{examined.example}",
        examined.asked.sides.origin(
            f"example {examined.example}", "layer from which the answer is read", with_k=False
        ),
    )  # fmt: skip
    st.caption(
        "The layer from which on the right token is the top one (emb.: the embedding already; never: another token is "
        "the top one in the end). Empty: the token is already revealed. Last row: the ARM, which reads all tokens "
        "before. The stronger the colour, the earlier."
    )


def _taker(chart: str) -> Callable[[], None]:
    return lambda: clicks.take(chart, state.POSITION, int, toggles=False)


def _readable_sentence(name: str, lens: AnswerLens) -> str:
    first = readable_from(lens.rank)
    if first is None:
        return f"In the {name} it never becomes the top token (rank {lens.rank[-1] + 1:,} in the end)."
    return f"In the {name} it is the top token from {drawing.place_name(first)} on."
