"""Bundles of runs: import one that was computed elsewhere, download a pair's runs as one."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.exchange import bundle
from engine.exchange.bundle_file import ENDING
from engine.models.pairs import pairs
from engine.runs.records import Run
from pages.shared import widgets
from pages.shared.availability import title_of_task
from pages.shared.downloads import file_button
from pages.shared.glossary import meaning

TAKEN = "bundle taken"  # in the session only: the file that was uploaded last and what came of it
LARGEST = 2**30  # bytes of a download


def import_bundle() -> None:
    """Take runs that were computed elsewhere."""
    with st.expander("Import a bundle", icon=":material/upload:"):
        file = st.file_uploader(
            "A bundle, as `python -m engine bundle` or the button below writes it", ["zip", "duckdb"],
            key="bundle upload",
            help="It is read as data: nothing in it is executed, everything is checked, and it is taken whole or not "
            "at all. A larger one can be imported with python -m engine import.",
        )  # fmt: skip
        if file is None:
            return
        if TAKEN not in st.session_state or st.session_state[TAKEN][0] != file.file_id:
            with st.spinner("Checking and importing ..."):
                st.session_state[TAKEN] = (file.file_id, taken(file.getbuffer()))
        outcome = st.session_state[TAKEN][1]
        if isinstance(outcome, bundle.Taken):
            st.success(widgets.plain(outcome.summary), icon=":material/check:")
        else:
            st.error(widgets.plain(outcome), icon=":material/error:")


def taken(content: memoryview) -> bundle.Taken | str:
    """What came of an upload: what was imported, or the sentence why not."""
    try:
        return bundle.take_bytes(content, "This file")
    except UserError as error:
        return str(error)


def bundle_download(runs: list[Run]) -> None:
    """Download a pair's runs as a bundle."""
    runs = [run for run in runs if bundle.holds(run)]
    there = sorted({run.spec.pair for run in runs} & set(pairs()))
    if not there:
        return
    with st.popover("Bundle", icon=":material/inventory_2:", help=meaning("bundle")):
        st.markdown("Runs of a pair in one file, for a machine that has no model.")
        pair = st.selectbox("Pair", there, key="bundle pair")
        of_pair = [run for run in runs if run.spec.pair == pair]
        tasks = sorted({run.spec.task for run in of_pair})
        task = st.selectbox("Task", tasks, None, format_func=title_of_task, placeholder="All tasks", key="bundle task")
        chosen = [run for run in of_pair if task in (None, run.spec.task)]
        size = bundle.size_of(chosen)
        if size > LARGEST:
            st.caption(f"That is {size / 2**30:.1f} GB: write it with `python -m engine bundle` instead.")
            return
        evidence, _ = bundle.evidence_of(chosen)
        if evidence:
            pieces = "1 piece" if len(evidence) == 1 else f"{len(evidence)} pieces"
            st.caption(f"With {pieces} of evidence of these circuits.")
        file_button(
            f"Download {len(chosen)} run" + ("s" if len(chosen) != 1 else ""),
            lambda: bundle.packed(str(pair), task),
            f"{pair}{'-' + task if task else ''}{ENDING}",
            key="bundle download",
        )
