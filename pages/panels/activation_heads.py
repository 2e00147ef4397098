"""Show the norms of what every head writes as a map of both models; a click on a head shows its numbers beside it."""

from __future__ import annotations

import streamlit as st

from pages.figures import activation_maps as drawing
from pages.panels import activation_data as data
from pages.shared import address, clicks, state, widgets
from pages.shared.run_selector import Asked

COLUMN = 380  # pixels: the narrowest of three columns, of which the map has two
_CHART = "head norms"


@st.fragment
@widgets.user_errors()
def heads(asked: Asked, region: str) -> None:
    """The map, and beside it the head that was clicked; only this reruns on a click."""
    head = chosen_head(asked)
    grid = st.grid(3, min_column_width=COLUMN, gap=24)
    both, own = grid.cell(column_span=2), grid.cell()
    with own:
        head_panel(asked, head)
    with both:
        head_map(asked, region, head)


def chosen_head(asked: Asked) -> tuple[int, int] | None:
    """Layer and number of the head that is the chosen node, on this page or another; None where it is no head."""
    graph = asked.graph
    node = st.session_state[state.NODE] if state.NODE in st.session_state else st.query_params.get(state.NODE)
    places = ((layer, head) for layer in range(graph.n_layers) for head in range(graph.n_heads))
    return next((place for place in places if head_name(*place) == node), None)


def head_name(layer: int, head: int) -> str:
    """As nodes of a circuit are called."""
    return f"a{layer}.h{head}"


def head_map(asked: Asked, region: str, head: tuple[int, int] | None) -> None:
    arm, mdm = (data.head_norms(side.run.key, side.model, region) for side in asked.sides)
    widgets.chart(
        drawing.heads_figure(arm, mdm, widgets.palette(), head),
        _CHART, "Norm of every head's output, ARM and MDM", f"head-norms-{region}",
        asked.sides.origin(f"norm of head outputs at {region} tokens", with_k=False),
        _take_head,
    )  # fmt: skip
    st.caption(
        f"Mean norm of what each head adds to the residual stream at {region} tokens, in the same colours. Click a "
        "head to see its numbers."
    )


def _take_head() -> None:
    """The callback of a click: no widget holds the node on this page, so the address is told here."""
    clicks.take(_CHART, state.NODE)
    address.write({state.NODE: state.chosen_node()})


def head_panel(asked: Asked, head: tuple[int, int] | None) -> None:
    """The norms of one head in both models, and the way to what else it does; None: what to click."""
    if head is None:
        st.info("Click a head. Here you will see how much it writes in both models.", icon=":material/ads_click:")
        return
    name = head_name(*head)
    st.markdown(f"##### Head {head[1]} of layer {head[0]} ({name})")
    rows = []
    for region in state.REGIONS:
        norms = {s.label: float(data.head_norms(s.run.key, s.model, region).mean[head]) for s in asked.sides}
        rows.append({"Mean norm at": f"{region} tokens", **norms})
    number = st.column_config.NumberColumn(format="%.3g")
    st.dataframe(
        rows, height="content", hide_index=True, column_config={side.label: number for side in asked.sides},
        key="norms of a head", alt=f"Norm of what {name} writes, by tokens and model",
    )  # fmt: skip
    chosen = {**asked.question.address, state.K: str(asked.k), state.NODE: name}
    step = state.step_of(asked.mdm.spec.model)
    st.page_link(
        "pages/circuits.py",
        label=f"What {name} attends to and writes, on the circuits page",
        icon=":material/arrow_forward:",
        query_params=chosen | ({} if step == state.FINAL else {state.STEP: step}),
    )
