"""Show what a head attends to in both models: on one input, by role, and the scores by which heads are recognised."""

from __future__ import annotations

import streamlit as st

from engine.runs.rows import Head, KeptInput, RoleAttention
from pages.figures import attention as drawing
from pages.shared import address, cached_reads, state, widgets
from pages.shared.artifacts import awaited, lacking
from pages.shared.glossary import meaning
from pages.shared.sides import Side, Sides
from pages.shared.synced import synced

ROLES_NOTE = "Each row sums to 1: how a query token of that role spreads its attention, averaged over every input."

SCORES_NOTE = "Attention scores are measured on random tokens that come twice; at 1 a head attends to nothing else."


def attention_panel(sides: Sides, node: int, example: int | None) -> None:
    """Patterns, roles and scores of the head that is node `node`; patterns on an example, None: the first kept."""
    st.markdown("**What this head attends to**", help=meaning("query_key"))
    if lacking(sides.runs, ["activity"]):
        awaited("attention", sides.runs, "activity", "weights")
        return
    patterns(sides, node, example)
    roles(sides, node)
    if not awaited("head scores", sides.runs, "weights"):
        scores(sides, node)


@st.fragment
@widgets.user_errors()
def patterns(sides: Sides, node: int, example: int | None) -> None:
    """Attention on an example at a step of the reader's choice; another step draws nothing else anew."""
    inputs = choose_inputs(sides, node, example)
    if inputs is None:
        return
    weights = {
        side.model: cached_reads.attention_patterns(side.run.key, node)[inputs[side.model].input] for side in sides
    }
    highest = max(float(pattern.max(initial=0.0)) for pattern in weights.values())
    palette, name = widgets.palette(), sides.graph.node_names[node]
    for side in sides:
        kept = inputs[side.model]
        st.caption(f"{side.title}{_when(side, kept)}, example {kept.example}: a row is a query token, a column a key")
        figure = drawing.pattern_figure(kept, weights[side.model], side.model, highest, palette)
        widgets.chart(
            figure, f"pattern {side.model}", f"Attention pattern in the {side.title} on example {kept.example}",
            f"attention-{name}-example{kept.example}",
            side.origin(f"attention of {name}", f"example {kept.example}, {kept.part}"),
        )  # fmt: skip


def choose_inputs(sides: Sides, node: int, example: int | None) -> dict[str, KeptInput] | None:
    """What both models saw of an example, the MDM at a step to choose; None, and a note, where no pattern is kept."""
    by_side = {side.model: _with_pattern(side, node) for side in sides}
    examples = sorted({kept.example for kept in by_side["arm"]} & {kept.example for kept in by_side["mdm"]})
    if any(run.spec.is_imported for run in sides.runs):
        st.info("Attention on single examples is not part of an imported circuit. The means by role below are there.")
        return None
    if not examples:
        st.info(
            "No attention pattern is kept for these two runs: their inputs are too long. The means by role below are "
            "over all inputs.",
            icon=":material/grid_off:",
        )
        return None
    if example is not None and example not in examples:
        there = ", ".join(map(str, examples))
        st.info(
            f"No attention pattern is kept for example {example}. Choose an example above that has one: {there}.",
            icon=":material/grid_off:",
        )
        return None
    example = examples[0] if example is None else example
    arm = next(kept for kept in by_side["arm"] if kept.example == example)
    steps = {kept.part: kept for kept in by_side["mdm"] if kept.example == example}
    if len(steps) == 1:
        address.check(state.INPUT_STEP, steps)
        return {"arm": arm, "mdm": next(iter(steps.values()))}
    step = st.selectbox(
        "Attention of the MDM at denoising step", list(steps),
        key=synced(state.INPUT_STEP, next(iter(steps)), list(steps)),
        help="How much of the answer is already revealed: nothing at step-00, and more at every step.",
    )  # fmt: skip
    return {"arm": arm, "mdm": steps[str(step)]}


def roles(sides: Sides, node: int) -> None:
    by_model = {side.model: cached_reads.rows(RoleAttention, side.run.key, node=node) for side in sides}
    rows = [row for of_model in by_model.values() for row in of_model]
    names = list(dict.fromkeys([*(row.query for row in rows), *(row.key for row in rows)]))
    head = sides.graph.node_names[node]
    for side in sides:
        st.caption(f"{side.title}: mean attention by what a token is in this task")
        figure = drawing.role_figure(by_model[side.model], names, side.model, widgets.palette())
        widgets.chart(
            figure, f"roles {side.model}", f"Mean attention by role in the {side.title}",
            f"attention-roles-{head}", side.origin(f"attention of {head} by role"),
        )  # fmt: skip
    st.caption(ROLES_NOTE)


def scores(sides: Sides, node: int) -> None:
    """The standard scores among those of all heads, what they mean, and the norms of the head's output."""
    heads = {side.model: cached_reads.rows(Head, side.run.key) for side in sides}
    own = {model: next(head for head in rows if head.node == node) for model, rows in heads.items()}
    for side in sides:
        st.markdown(f"**{side.title}**: {_description(own[side.model])}")
    st.caption(f"Standard scores of this head, among all heads of its model (ticks). {SCORES_NOTE}")
    widgets.chart(
        drawing.score_figure(heads, node, widgets.palette()), "head scores",
        "Previous-token, duplicate-token, induction and copying score of the head in both models",
        f"head-scores-{sides.graph.node_names[node]}",
        sides.origin(f"scores of head {sides.graph.node_names[node]}", with_k=False),
    )  # fmt: skip
    st.caption("  \n".join(f"{name}: {explanation}." for name, explanation in drawing.SCORES.values()))


def _description(head: Head) -> str:
    kind = drawing.verdict(head)
    attends = f"attends like {kind}" if kind else "attends like none of the standard kinds"
    return (
        f"{attends}; {_copies(head)}. Mean norm of its output: {head.norm_prompt:.2f} over the prompt, "
        f"{head.norm_answer:.2f} over the answer, {head.norm_readout:.2f} where the logits are read."
    )


def _copies(head: Head) -> str:
    if head.copying is None:
        return "it writes nothing, whatever it attends to"
    if abs(head.copying) <= drawing.CLEAR:
        return f"what it attends to is neither copied nor suppressed ({head.copying:+.2f})"
    return f"it {'copies' if head.copying > 0 else 'suppresses'} what it attends to ({head.copying:+.2f})"


def _with_pattern(side: Side, node: int) -> list[KeptInput]:
    known = cached_reads.attention_patterns(side.run.key, node)
    return [kept for kept in cached_reads.rows(KeptInput, side.run.key) if kept.input in known]


def _when(side: Side, kept: KeptInput) -> str:
    return "" if side.model == "arm" else f" at {kept.part}"
