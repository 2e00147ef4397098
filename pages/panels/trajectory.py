"""Show the trajectory of an example: what the MDM reveals at which step under a sampler, and who solves it."""

from __future__ import annotations

import streamlit as st

from engine.models.token_text import visible
from engine.runs import stored
from engine.runs.revealed_tokens import final_tokens
from engine.runs.rows import ExampleRow, TrajectoryStep
from pages.figures.trajectory import trajectory_figure
from pages.panels import denoising_data as data
from pages.panels.denoising_data import SAMPLERS, Examined
from pages.shared import cached_reads, clicks, state, token_text, widgets
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning

CHART = "trajectory"
CELLS_HELP = (
    "Boxed and bold: revealed at this step. Italic and paler: still hidden, the MDM's best guess there. Plain: "
    "revealed before. Any right answer counts as solved, not only the one above the columns."
)


def samplers_of(examined: Examined) -> list[str]:
    """The samplers to choose from; none where they all do the same, or nothing is computed yet."""
    run = examined.asked.mdm
    if len(examined.answer) == 1 or not stored.has(run, "lens"):
        return []
    example = examined.example
    return [name for name in SAMPLERS if cached_reads.rows(TrajectoryStep, run.key, sampler=name, example=example)]


def trajectory(examined: Examined, sampler: str | None, position: int) -> None:
    """The MDM's prediction at every step, and what it reveals; a click on a cell chooses its position."""
    if awaited("trajectory", [examined.asked.mdm], "lens"):
        prompt(examined)
    elif sampler is None:
        one_token(examined)
    else:
        under(examined, sampler, position)


def under(examined: Examined, sampler: str, position: int) -> None:
    """The trajectory under a sampler, and how it ends."""
    key = examined.asked.mdm.key
    steps = cached_reads.rows(TrajectoryStep, key, sampler=sampler, example=examined.example)
    figure = trajectory_figure(steps, examined.answer, widgets.palette(), position)
    widgets.chart(
        figure, CHART, f"Trajectory of the MDM under {sampler} on example {examined.example}",
        f"trajectory-example{examined.example}-{sampler}",
        examined.asked.sides.mdm.origin(f"example {examined.example}", f"sampler {sampler}"),
        lambda: clicks.take(CHART, state.POSITION, int, toggles=False),
    )  # fmt: skip
    prompt(examined)
    with st.container(horizontal=True, vertical_alignment="center"):
        if steps[-1].correct:
            st.badge("solved", icon=":material/check:", color="green")
        else:
            st.badge("not solved", icon=":material/close:", color="orange")
        answer = " ".join(visible(token) for token in final_tokens(steps))
        st.caption(widgets.plain(f"The MDM's answer: {answer}"), help=f"{meaning('trajectory')} {CELLS_HELP}")
    compare_samplers(key, examined.kept)


def prompt(examined: Examined) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Prompt", width="content")
        st.html(token_text.token_strip(examined.row.prompt, -1, -1), width="content")
        st.caption("right answer", width="content")
        st.html(token_text.token_strip(examined.answer, -1, -1), width="content")


def one_token(examined: Examined) -> None:
    """Where nothing is left to choose: the MDM's answer in the only step."""
    key = examined.asked.mdm.key
    rows = {row.example: row for row in cached_reads.rows(ExampleRow, key)}
    table = []
    for example in [number for number in examined.kept if len(rows[number].answer) == 1]:
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
    st.caption("Here the answer is one token, revealed at once, so every sampler does the same.")


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
