"""The queue of jobs that all sessions of this process share."""

from __future__ import annotations

import streamlit as st

from engine.runs.jobs import JobQueue


@st.cache_resource(show_spinner=False)
def queue() -> JobQueue:
    """The one queue of this process: closing a tab leaves its jobs running."""
    return JobQueue()
