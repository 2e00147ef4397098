"""A pair, a task or a method of a link that is not here: say which, and offer what is."""

from __future__ import annotations

import streamlit as st

from engine.errors import UserError
from engine.models.pairs import pairs
from engine.runs.spec import METHODS
from engine.tasks.registry import task_named, task_names
from pages.shared import address, state
from pages.shared.address import PAGE_SHOWN
from pages.shared.address_keys import KEYS, NEEDED, NOT_HERE, cut
from pages.shared.widgets import plain

MOST_OFFERED = 40  # buttons for what is here


def absent() -> bool:
    """Whether pair, task or method are not here; if so, say which and offer what is."""
    missing = {key: refusal for key in NEEDED if (refusal := _missing(key))}
    if missing:  # a reload asks for the same, though no widget holds these keys
        address.write({key: str(st.session_state[key]) for key in missing if not st.query_params.get_all(key)})
    for key, refusal in missing.items():
        st.warning(plain(f"{NOT_HERE} {refusal}"), icon=":material/link_off:")
        _offer(key)
    return bool(missing)


def _missing(key: str) -> str | None:
    """Why what the address, or else the session, names is not here. It stays in the session for the other pages."""
    text, before = _wanted(key), st.session_state.get(key)
    refusal = None if text is None else _refusal(key, text)
    if refusal:
        st.session_state[key] = text
    elif before is not None and _refusal(key, str(before)):
        del st.session_state[key]  # the reader has chosen another
    return refusal


def _wanted(key: str) -> str | None:
    texts = list(dict.fromkeys(st.query_params.get_all(key)))
    if len(texts) > 1:
        return " and ".join(texts)  # nothing is called so
    before = st.session_state.get(key)
    return texts[0] if texts else None if before is None else str(before)


def _refusal(key: str, text: str) -> str | None:
    try:
        NEEDED[key](cut(text))
    except UserError as error:
        return str(error)
    return None


def _offer(key: str) -> None:
    """Buttons that open the same address with something that is here."""
    offered = {
        state.PAIR: lambda: {name: pair.title for name, pair in pairs().items()},
        state.TASK: lambda: {name: task_named(name).title for name in task_names()},
        state.METHOD: lambda: dict(zip(METHODS, METHODS, strict=True)),
    }[key]()
    now = {name: st.query_params.get_all(name) for name in st.query_params}
    page = st.session_state.get(PAGE_SHOWN) or "overview"
    st.markdown(f"Open the link with another {KEYS[key].words.removeprefix('the ')}:")
    with st.container(horizontal=True):
        for name, title in list(offered.items())[:MOST_OFFERED]:
            if st.button(plain(title), key=f"instead {key} {name}"):
                st.session_state.pop(key, None)
                st.switch_page(f"pages/{page}.py", query_params={**now, key: [name]})
