"""Every run and every job: start, watch, cancel, delete, export."""

from __future__ import annotations

import streamlit as st

from pages.panels.bundles import import_bundle
from pages.panels.computed_elsewhere import watch_elsewhere
from pages.panels.import_circuit import import_circuit
from pages.panels.kept_pairs import kept_pairs
from pages.panels.start_run import start_form
from pages.panels.stored_runs import stored_runs
from pages.shared import artifacts, job_queue, widgets
from pages.shared.entry import show
from pages.shared.glossary import meaning
from pages.shared.jobs_panel import job_card, watch_jobs


def page() -> None:
    st.title("Runs")
    sentence = meaning("run")
    st.markdown(f"A run is {sentence[0].lower()}{sentence[1:]} Jobs go on when you close the tab.")
    with widgets.user_errors():
        start_form()
        import_bundle()
        import_circuit()
        with st.container():  # what comes and goes has a place of its own, so that nothing below is drawn anew
            widgets.submit_error()
            jobs()
            watch_elsewhere()
            artifacts.watch_cache()
        stored_runs()
        kept_pairs()


def jobs() -> None:
    st.header("Jobs", divider="gray")
    known = job_queue.queue().jobs()
    if not known:
        st.caption("No job since the app was started. Start a run above, or compute what is missing on the overview.")
        return
    watch_jobs(failures=False)
    for job in reversed([job for job in known if not job.is_open]):
        job_card(job)


show(page)
