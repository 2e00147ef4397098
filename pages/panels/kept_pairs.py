"""The pairs that were kept here: list, rename, remove."""

from __future__ import annotations

import streamlit as st

from engine.runs import kept_pairs as kept
from engine.runs.kept_pairs import LONGEST_TITLE, KeptPair
from pages.shared.availability import say_how_read
from pages.shared.widgets import attempt, plain

CHOSEN, TITLE, WITH_RUNS = "kept pair", "kept title ", "kept with runs "  # in the session; a pair's name follows


def kept_pairs() -> None:
    """Pairs that a command named by two models, or that came with a bundle; nothing where there are none."""
    by_name = {pair_kept.pair.name: pair_kept for pair_kept in kept.kept()}
    if not by_name:
        return
    st.header("Kept pairs", divider="gray")
    st.caption("Pairs that a command named by their two models, or that came with a bundle.")
    name = st.selectbox("Kept pair", list(by_name), format_func=lambda name: title(by_name.get(name), name), key=CHOSEN)
    if name in by_name:
        show_kept(by_name[name])


def show_kept(chosen: KeptPair) -> None:
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


def title(kept_pair: KeptPair | None, name: str) -> str:
    return name if kept_pair is None else f"{kept_pair.pair.title} ({name})"


def _rename(name: str) -> None:
    attempt(kept.rename, name, st.session_state[TITLE + name])


def _remove(name: str) -> None:
    attempt(kept.remove, name, bool(st.session_state.get(WITH_RUNS + name)))
    st.session_state.pop(CHOSEN, None)
