"""How a page starts.

Where a folder called pages/ lies beside the main script, Streamlit runs a page by itself, without app.py, until some
session of the process has called st.navigation; an address that leads to a page would then open it without the app
around it. So a page that was not reached through app.py runs app.py, which leads back to it.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable

import streamlit as st

from engine.settings import ROOT

THROUGH_APP = "through app"  # in the session: app.py sets it for the page that it runs


def show(page: Callable[[], None]) -> None:
    if st.session_state.pop(THROUGH_APP, False):
        page()
    else:
        runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
