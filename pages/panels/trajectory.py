"""Show the trajectory of an example: what the MDM reveals at which step under a sampler, and who solves it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from engine.models.token_text import visible
from engine.runs.revealed_tokens import final_tokens
from engine.runs.rows import ExampleRow, TrajectoryStep
from pages.figures.trajectory import trajectory_figure
from pages.panels import denoising_data as data
from pages.panels.denoising_data import SAMPLERS, Examined
from pages.shared import address, cached_reads, state, token_text, widgets
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning


@st.fragment
@widgets.user_errors()
def trajectory(examined: Examined, kept: Sequence[int]) -> None:
    """The MDM's prediction at every step, and what it reveals; another sampler draws nothing else anew."""
    st.header("What is revealed when", divider="gray", help=meaning("trajectory"))
    st.caption("The prompt, and below it the right answer")
    st.html(token_text.token_strip(examined.row.prompt, -1, -1))
    st.html(token_text.token_strip(examined.answer, -1, -1))
    if awaited("trajectory", [examined.asked.mdm], "lens"):
        return
    if len(examined.answer) == 1:
        one_token(examined, kept)
        return
    key = examined.asked.mdm.key
    known = [
        sampler
        for sampler in SAMPLERS
        if cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=examined.example)
    ]
    address.check(state.SAMPLER, known)
    sampler = st.selectbox(
        "Sampler: which masked positions a step reveals", known, format_func=str, key=state.SAMPLER, bind=state.URL
    )
    steps = cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=examined.example)
    st.caption(SAMPLERS[sampler])
    figure = trajectory_figure(steps, examined.answer, widgets.palette())
    widgets.chart(
        figure, "trajectory", f"Trajectory of the MDM under {sampler} on example {examined.example}",
        f"trajectory-example{examined.example}-{sampler}",
        examined.asked.sides.mdm.origin(f"example {examined.example}", f"sampler {sampler}"),
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        if steps[-1].correct:
            st.badge("solved", icon=":material/check:", color="green")
        else:
            st.badge("not solved", icon=":material/close:", color="orange")
        answer = " ".join(visible(token) for token in final_tokens(steps))
        st.caption(widgets.plain(f"The MDM's answer: {answer}"))
    st.caption(
        "Boxed and bold: revealed at this step. Italic and paler: still hidden, the MDM's best guess there. Plain: "
        "revealed before. Any right answer counts as solved, not only the one above the columns."
    )
    compare_samplers(key, tuple(kept))


def one_token(examined: Examined, kept: Sequence[int]) -> None:
    """Where nothing is left to choose: the MDM's answer in the only step."""
    st.caption("Here the answer is one token, revealed at once, so every sampler does the same.")
    key = examined.asked.mdm.key
    rows = {row.example: row for row in cached_reads.rows(ExampleRow, key)}
    table = []
    for example in [number for number in kept if len(rows[number].answer) == 1]:
        step = cached_reads.rows(TrajectoryStep, key, sampler=next(iter(SAMPLERS)), example=example)[0]
        table.append(
            {
                "Example": example,
                "Prompt": " ".join(visible(token) for token in rows[example].prompt),
                "Right answer": visible(rows[example].answer[0]),
                "Answer of the MDM": visible(step.tokens[0]),
                "Confidence": step.confidences[0],
                "Solved": "✓" if step.correct else "no",
            }
        )
    number = st.column_config.NumberColumn(format="%.3f", help="the probability that the MDM gives its answer")
    st.dataframe(
        table, hide_index=True, height="content", column_config={"Confidence": number}, alt="The MDM's answers"
    )


def compare_samplers(key: str, kept: tuple[int, ...]) -> None:
    rows = [
        {
            "Sampler": sampler,
            "Solved": f"{sum(right)} of {len(right)}",
            **{f"Example {e}": "✓" if ok else "no" for e, ok in zip(kept, right, strict=True)},
        }
        for sampler, right in data.solved_by(key, kept).items()
    ]
    with st.expander("Which sampler solves which of these examples"):
        st.dataframe(rows, hide_index=True, height="content", alt="Examples solved by each sampler")
        st.caption(f"{len(kept)} examples say little about how good a sampler is; they show where samplers differ.")
