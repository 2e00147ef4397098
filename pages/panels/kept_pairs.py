"""The pairs that were kept here: what they are, another title, away with them."""

from __future__ import annotations

import streamlit as st

from engine.runs import kept_pairs as kept
from engine.runs.kept_pairs import LONGEST_TITLE, KeptPair
from pages.shared.availability import say_how_read
from pages.shared.widgets import attempt, plain

CHOSEN, TITLE, WITH_RUNS = "kept pair", "kept title ", "kept with runs "  # in the session; a pair's name follows


def kept_pairs() -> None:
    """Pairs that a command named by two models, or that came with a bundle; nothing where there are none."""
    found = {one.pair.name: one for one in kept.kept()}
    if not found:
        return
    st.header("Kept pairs", divider="gray")
    st.caption("Named by two models on the command line, or brought by a bundle.")
    name = st.selectbox("Kept pair", list(found), format_func=lambda one: title(found.get(one), one), key=CHOSEN)
    if name in found:
        one(found[name])


def one(chosen: KeptPair) -> None:
    pair, name = chosen.pair, chosen.pair.name
    runs = f"{chosen.runs} run" + ("s" if chosen.runs != 1 else "")
    st.caption(plain(f"{name}, {runs} in the cache. ARM: {pair.arm}. MDM: {pair.mdm}."))
    say_how_read(pair)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Title", pair.title, max_chars=LONGEST_TITLE, key=TITLE + name, width=400)
        st.button("Rename", key="rename pair", on_click=_rename, args=(name,))
        with st.popover("Remove", icon=":material/delete:"):
            st.markdown("The models stay where they are.")
            st.checkbox(f"Delete its {runs} as well", key=WITH_RUNS + name, disabled=not chosen.runs)
            st.button("Remove this pair", key="remove pair", type="primary", on_click=_remove, args=(name,))


def title(one: KeptPair | None, name: str) -> str:
    return name if one is None else f"{one.pair.title} ({name})"


def _rename(name: str) -> None:
    attempt(kept.rename, name, st.session_state[TITLE + name])


def _remove(name: str) -> None:
    attempt(kept.remove, name, bool(st.session_state.get(WITH_RUNS + name)))
    st.session_state.pop(CHOSEN, None)
