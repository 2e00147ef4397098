"""What a head attends to in both models: on one input, by role, and the scores by which heads are recognised."""

from __future__ import annotations

import streamlit as st

from engine.runs.rows import Head, KeptInput, RoleAttention
from pages.figures import attention as drawing
from pages.shared import address, cached_reads, state, widgets
from pages.shared.sides import Side, Sides

ROLES_NOTE = "Each row sums to 1: how a token of that role spreads its attention, averaged over every input."

SCORES_NOTE = "Attention scores are measured on random tokens that come twice; at 1 a head looks at nothing else."


def attention_panel(sides: Sides, node: int, example: int | None) -> None:
    """Patterns, roles and scores of the head that is node `node`; patterns on an example, None: the first kept."""
    st.markdown("**What this head looks at**")
    patterns(sides, node, example)
    roles(sides, node)
    scores(sides, node)


@st.fragment
def patterns(sides: Sides, node: int, example: int | None) -> None:
    """Attention on an example at a step of the reader's choice; another step draws nothing else anew."""
    kept = choose_inputs(sides, node, example)
    if kept is None:
        return
    found = {side.model: cached_reads.attention_patterns(side.run.key, node)[kept[side.model].input] for side in sides}
    highest = max(float(pattern.max(initial=0.0)) for pattern in found.values())
    look, name = widgets.palette(), sides.graph.node_names[node]
    for column, side in zip(st.columns(2), sides, strict=True):
        with column:
            one = kept[side.model]
            st.caption(
                f"{side.title}{_when(side, one)}, example {one.example}: every row is a token that looks, every column "
                "one looked at"
            )
            figure = drawing.pattern_figure(one, found[side.model], side.model, highest, look)
            widgets.chart(
                figure, f"pattern {side.model}", f"Attention pattern in the {side.title} on example {one.example}",
                f"attention-{name}-example{one.example}",
                side.origin(f"attention of {name}", f"example {one.example}, {one.part}"),
            )  # fmt: skip


def choose_inputs(sides: Sides, node: int, example: int | None) -> dict[str, KeptInput] | None:
    """What both models saw of an example, the MDM at a step to choose; None, and a note, where no pattern is kept."""
    by_side = {side.model: _with_pattern(side, node) for side in sides}
    examples = sorted({kept.example for kept in by_side["arm"]} & {kept.example for kept in by_side["mdm"]})
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
    address.check(state.INPUT_STEP, steps)
    if len(steps) == 1:
        return {"arm": arm, "mdm": next(iter(steps.values()))}
    step = st.selectbox(
        "Attention of the MDM at denoising step", list(steps), key=state.INPUT_STEP, bind=state.URL,
        help="How much of the answer stands already: nothing at step-00, and more at every step.",
    )  # fmt: skip
    return {"arm": arm, "mdm": steps[str(step)]}


def roles(sides: Sides, node: int) -> None:
    found = {side.model: cached_reads.rows(RoleAttention, side.run.key, node=node) for side in sides}
    names = list(dict.fromkeys(row.query for rows in found.values() for row in rows))
    names += [name for name in dict.fromkeys(r.key for rows in found.values() for r in rows) if name not in names]
    look = widgets.palette()
    for column, side in zip(st.columns(2), sides, strict=True):
        with column:
            st.caption(f"{side.title}: mean attention by what a token is in this task")
            figure = drawing.role_figure(found[side.model], names, side.model, look)
            widgets.chart(
                figure, f"roles {side.model}", f"Mean attention by role in the {side.title}",
                f"attention-roles-{sides.graph.node_names[node]}",
                side.origin(f"attention of {sides.graph.node_names[node]} by role"),
            )  # fmt: skip
    st.caption(ROLES_NOTE)


def scores(sides: Sides, node: int) -> None:
    """The standard scores among those of all heads, what they say, and the norms of what the head writes."""
    heads = {side.model: cached_reads.rows(Head, side.run.key) for side in sides}
    own = {model: next(head for head in rows if head.node == node) for model, rows in heads.items()}
    chart, words = st.columns(2)
    with chart:
        st.caption(f"Standard scores of this head, among all heads of its model (ticks). {SCORES_NOTE}")
        widgets.chart(
            drawing.score_figure(heads, node, widgets.palette()), "head scores",
            "Previous-token, duplicate-token, induction and copying score of the head in both models",
            f"head-scores-{sides.graph.node_names[node]}",
            sides.origin(f"scores of head {sides.graph.node_names[node]}", with_k=False),
        )  # fmt: skip
    with words:
        for side in sides:
            st.markdown(f"**{side.title}**: {_said(own[side.model])}")
        st.caption("  \n".join(f"{name}: {what}." for name, what in drawing.SCORES.values()))


def _said(head: Head) -> str:
    kind = drawing.verdict(head)
    looks = f"attends like {kind}" if kind else "attends like none of the standard kinds"
    return (
        f"{looks}; {_copies(head)}. Mean norm of what it writes: {head.norm_prompt:.2f} over the prompt, "
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
