"""Read the address of a page, and tell the reader what of a link could not be followed.

Every key has one entry in KEYS (address_keys.py). `arrive` reads an address before any widget is made: texts that no
run could have are taken out of it and remembered. `check` is called beside a widget whose options depend on the runs
that are shown. `tell` shows what was remembered. A pair, a task or a method that is not here stops the page
(absent.py): no other circuit is drawn under such a link.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.shared import state
from pages.shared.address_keys import KEYS, LISTED, NEEDED, SETTINGS, among, fault, quoted, within
from pages.shared.state import SHARED, kind_name
from pages.shared.widgets import plain

EMBED = ("embed", "embed_options")  # Streamlit's own

PAGE_SHOWN = "page"  # session only: the page that was shown last
WIDGETS = "synced widgets"  # session only: of synced.py
OF_ONE_PAGE = (state.INPUT, state.INPUT_STEP)  # another page's would choose something else here
_PAGE = "page by its hash"  # session only: what Streamlit calls the page that was shown last
_BEFORE = "address before"  # session only: key -> texts
_ASKED = "asked by the link"  # session only: key -> texts that no widget has been offered yet
_NOTES = "notes on the link"  # session only: key -> Note
_UNKNOWN = "unknown settings"  # stands among the notes for the keys that are none of ours


@dataclass(frozen=True)
class Note:
    """A sentence about a key of a link, and what the key's widget showed when it was told first."""

    sentence: str
    shown: object = None
    told: bool = False


def bring_along() -> None:
    """Where another page was opened, let its address be the whole choice; call it before st.navigation.

    Without a question of its own it gets the address of the page before. The browser learns of it before it learns of
    the page, so that both are one entry of its history.
    """
    session, asked = st.session_state, _in_address()
    changed = session.get(_PAGE) not in (None, _page())
    if changed or _goes_through_history():
        forget()
    if changed and not _goes_through_history():
        write(_carried(asked))
    session[_BEFORE] = _in_address()


def arrive(page: st.Page) -> None:
    """Look at the address before the page runs, and go to a better one where it cannot be followed as it is."""
    session, asked, name = st.session_state, _in_address(), page.url_path
    arrives = session.get(PAGE_SHOWN) != name or _goes_through_history()
    session[PAGE_SHOWN], session[_PAGE] = name, _page()
    faults = {key: sentence for key, texts in asked.items() if (sentence := fault(key, texts, name))}
    if arrives:
        session[_NOTES] = {}
        session[_ASKED] = {key: texts for key, texts in asked.items() if key not in (*faults, *NEEDED)}
        _note_unknown(asked)
    for key, sentence in faults.items():
        session.pop(key, None)
        note(key, sentence)
    write(dict.fromkeys(faults))


def forget() -> None:
    """What was chosen before does not hold any more: the address does."""
    for key in (*KEYS, WIDGETS):
        st.session_state.pop(key, None)


def write(changes: Mapping[str, str | list[str] | None]) -> None:
    """Change keys of the address (None: take them out), in one message: each is one step of the browser's Back."""
    before = _in_address()
    after = {key: [text] if isinstance(text, str) else text for key, text in {**before, **changes}.items()}
    wanted = {key: texts or [""] for key, texts in after.items() if texts is not None}
    if wanted != before:
        st.query_params.from_dict(wanted)
        st.session_state[_BEFORE] = wanted


def go(page: str, query: Mapping[str, str]) -> NoReturn:
    """Open a page with a question of its own; other choices come along, so that Back leads to the view as it was."""
    before = st.session_state.get(_BEFORE, {})
    kept = {key: texts for key, texts in before.items() if key not in SETTINGS}
    st.session_state[_BEFORE] = {**kept, **{key: [text] for key, text in query.items()}}
    st.switch_page(page)


def _carried(asked: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What of the address of the page before goes into that of this one; what a link says goes first."""
    before = st.session_state.get(_BEFORE, {})
    kept = {key: texts for key, texts in before.items() if key in KEYS and key not in OF_ONE_PAGE}
    if state.PAIR in asked or state.TASK in asked:  # a question of its own
        kept = {key: texts for key, texts in kept.items() if key in SHARED and key not in SETTINGS}
    return {key: texts for key, texts in kept.items() if key not in asked}


def check(key: str, options: Collection[object]) -> None:
    """Compare what the link says under a key with what there is to choose; called once before the key's widget."""
    texts = st.session_state.get(_ASKED, {}).pop(key, ())
    known = KEYS[key]
    for text in filter(None, texts):
        if isinstance(options, range):
            sentence = within(replace(known, bounds=(options[0], options[-1])), text)
        else:
            sentence = among(known, text, tuple(map(as_text, options)))
        if sentence:
            note(key, sentence)


def as_text(value: object) -> str:
    """What an address says for a value that is its own title; nothing for None."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def note_gone(key: str, value: object, options: Collection[object]) -> None:
    """Remember that what was chosen before is not here, unless that is told of the link already."""
    if key in st.session_state.get(_NOTES, {}):
        return
    words = KEYS[key].words[0].upper() + KEYS[key].words[1:]
    if isinstance(options, range) and isinstance(value, int):
        note(key, f"{words} was {value:,}; here it is from {options[0]:,} to {options[-1]:,}.")
    else:
        note(key, f"{words} was {quoted(as_text(value))}, which is not here.")


def note(key: str, sentence: str) -> None:
    st.session_state.setdefault(_NOTES, {})[key] = Note(sentence)


def tell() -> None:
    """Show what was remembered, until the reader chooses something else there, or is done with it."""
    notes: dict[str, Note] = st.session_state.get(_NOTES, {})
    for key, remembered in list(notes.items()):
        now = st.session_state.get(key)
        if not remembered.told:
            notes[key] = replace(remembered, shown=now, told=True)
        elif now != remembered.shown:
            del notes[key]
    if notes:
        st.warning("\n\n".join(map(_with_what_is_shown, notes.values())), icon=":material/link_off:")
        st.button("Hide this", key="hide notes", on_click=notes.clear, type="tertiary")


def _with_what_is_shown(remembered: Note) -> str:
    shown = "" if remembered.shown in (None, "", []) else f" Shown instead: {_in_words(remembered.shown)}."
    return plain(remembered.sentence + shown)


def _in_words(value: object) -> str:
    """What a widget holds, as a reader sees it there."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(kind_name(str(entry)) for entry in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _note_unknown(asked: Mapping[str, object]) -> None:
    unknown = [key for key in asked if key not in KEYS]
    if unknown:
        names = ", ".join(map(quoted, unknown[:LISTED]))
        note(_UNKNOWN, f"The link has settings that are none of this app and are ignored: {names}.")


def _in_address() -> dict[str, list[str]]:
    """What the browser's address says; Streamlit's own st.query_params leaves out some of it after a change of page."""
    context = get_script_run_ctx()
    parameters = parse_qs(context.query_string, keep_blank_values=True) if context else {}
    return {key: texts for key, texts in parameters.items() if key.lower() not in EMBED}


def _page() -> str | None:
    context = get_script_run_ctx()
    return context.page_script_hash if context else None


def _goes_through_history() -> bool:
    context = get_script_run_ctx()
    return bool(context and context.is_history_navigation)
