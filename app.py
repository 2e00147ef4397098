"""The circuit explorer: page configuration and navigation.

The server imports this file once, for `app`; Streamlit then runs it as a script for every session.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from pages.components.circuit import component
from pages.shared import address
from pages.shared.entry import THROUGH_APP
from pages.shared.hosts import OnlyKnownHosts

LOGO = Path(__file__).parent / "assets" / "logo.svg"


def main() -> None:
    st.set_page_config(page_title="Circuit explorer", page_icon=str(LOGO), layout="wide")
    st.logo(str(LOGO), size="large")
    address.bring_along()
    page = st.navigation(
        [
            st.Page("pages/overview.py", title="Overview", icon=":material/home:", default=True),
            st.Page("pages/circuits.py", title="Circuits", icon=":material/hub:", url_path="circuits"),
            st.Page("pages/evidence.py", title="Evidence", icon=":material/fact_check:", url_path="evidence"),
            st.Page("pages/activations.py", title="Activations", icon=":material/bar_chart:", url_path="activations"),
            st.Page("pages/neurons.py", title="Neurons", icon=":material/scatter_plot:", url_path="neurons"),
            st.Page("pages/denoising.py", title="Denoising", icon=":material/blur_on:", url_path="denoising"),
            st.Page("pages/prompts.py", title="Own prompts", icon=":material/edit_note:", url_path="prompts"),
            st.Page("pages/runs.py", title="Runs", icon=":material/list:", url_path="runs"),
        ],
        position="top",
    )
    address.arrive(page)
    above = st.container()
    st.session_state[THROUGH_APP] = True
    try:
        page.run()
    finally:  # a page may stop early
        with above:
            address.tell()


if __name__ == "__main__":
    main()
else:
    app = st.App(__file__, routes=[component.route()], middleware=[Middleware(OnlyKnownHosts)])
