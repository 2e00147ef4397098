"""Import a circuit that another program found: choose what it is of, upload its file, and go where it is shown."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.exchange.import_circuit import import_bytes
from engine.models.pair import CONTROL
from engine.models.pairs import pairs
from engine.runs import stored
from engine.runs.records import Run, short_key
from engine.runs.spec import RunSpec
from engine.tasks.registry import available, task_named, task_names
from pages.shared import availability, imported, state, widgets
from pages.shared.availability import title_of_task
from pages.shared.glossary import meaning
from pages.shared.words import model_name

TAKEN = "circuit taken"  # in the session only: what was uploaded last, as what, and what came of it


def import_circuit() -> None:
    """Take a circuit that was found elsewhere."""
    with st.expander("Import a circuit", icon=":material/account_tree:"):
        st.caption(
            f"{meaning('imported_circuit')} "
            "Its file is JSON, as EAP-IG's `Graph.to_json` and this app write it and the MIB benchmark reads it."
        )
        spec = _asked()
        file = st.file_uploader(
            "The circuit's file", "json", key="circuit upload",
            help="It is read as data, and every node and edge in it must be one of the model's. A larger one can be "
            "imported with python -m engine import-circuit.",
        )  # fmt: skip
        if file is None:
            return
        asked = (file.file_id, spec)
        if TAKEN not in st.session_state or st.session_state[TAKEN][0] != asked:
            with st.spinner("Checking and importing ..."):
                st.session_state[TAKEN] = (asked, taken(file.getbuffer(), file.name, spec))
        outcome = st.session_state[TAKEN][1]
        if isinstance(outcome, Run):
            sentence = f"The circuit of {model_name(outcome.spec.model)} is the run {short_key(outcome.key)}."
            st.success(widgets.plain(sentence), icon=":material/check:")
            link(outcome)
        else:
            st.error(widgets.plain(outcome), icon=":material/error:")


def _asked() -> RunSpec:
    """Whose circuit it is said to be."""
    left, middle, right = st.columns(3)
    known = pairs()
    pair = str(left.selectbox("Pair", list(known), format_func=lambda name: known[name].title, key="circuit pair"))
    models = ["arm", "mdm", CONTROL, *(f"step:{step}" for step in known[pair].steps)]
    model = str(middle.selectbox("Model", models, key="circuit model"))
    task = str(right.selectbox("Task", task_names(), format_func=title_of_task, key="circuit task"))
    dtype = availability.dtype_of(known[pair], stored.list_runs())
    return RunSpec(pair=pair, model=model, task=task, n=available(task_named(task), RunSpec.n), dtype=dtype)


def taken(content: memoryview, name: str, spec: RunSpec) -> Run | str:
    """What came of an upload: the run that it is now, or the sentence why it is none."""
    try:
        return import_bytes(content, name, spec).run
    except UserError as error:
        return str(error)


def link(run: Run) -> None:
    """A link to the page that shows a circuit from elsewhere beside the other model's."""
    spec = run.spec
    step = {} if spec.is_arm or spec.model == "mdm" else {state.STEP: state.step_of(spec.model)}
    st.page_link(
        "pages/circuits.py",
        label="Compare it with the other model's circuit",
        icon=":material/compare_arrows:",
        query_params={
            state.PAIR: spec.pair, state.TASK: spec.task, state.METHOD: imported.method_of(spec), **step,
        },
    )  # fmt: skip
