"""Read the address of a page, and tell the reader what of a link could not be followed.

Every key has one entry in KEYS (address_keys.py). `arrive` reads an address before any widget is made, because a
widget drops silently what it cannot take, and some raise: texts that no run could have are taken out of the address
and remembered. `check` is called beside a widget whose options depend on the runs that are shown. `tell` shows what
was remembered. A pair, a task or a method that is not here stops the page (absent.py): no other circuit is drawn under
such a link.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.shared import state
from pages.shared.address_keys import KEYS, LISTED, SETTINGS, among, fault, quoted, within
from pages.shared.state import OF_CIRCUITS, SHARED, kind_name
from pages.shared.widgets import plain

EMBED = ("embed", "embed_options")  # Streamlit's own

PAGE_SHOWN = "page"  # session only: the page that was shown last
_ASKED = "asked by the link"  # session only: key -> texts that no widget has been offered yet
_NOTES = "notes on the link"  # session only: key -> Note
_UNKNOWN = "unknown settings"  # stands among the notes for the keys that are none of ours


@dataclass(frozen=True)
class Note:
    """A sentence about a key of a link, and what the key's widget showed when it was told first."""

    sentence: str
    shown: object = None
    told: bool = False


def arrive(page: st.Page) -> None:
    """Look at the address before the page runs, and go to a better one where it cannot be followed as it is.

    When the reader comes from another page, the choices that pages share are kept. Streamlit tells apart the widgets of
    two pages though they have the same key, and gives the second one its default when one page is seen right after the
    other. A value assigned before the widget is made stays; what a link says goes first.
    """
    session, asked, back = st.session_state, _in_address(), _goes_through_history()
    before, name = session.get(PAGE_SHOWN), page.url_path
    session[PAGE_SHOWN] = name
    arrives = before != name or back
    faults = {key: sentence for key, texts in asked.items() if (sentence := fault(key, texts, name))}
    honoured = {key: texts for key, texts in asked.items() if key not in faults}
    wanted = honoured
    if back:
        wanted = _forget_choices(honoured)
    elif before not in (None, name):
        wanted = _carry_over(honoured)
    if arrives:
        session[_NOTES], session[_ASKED] = {}, dict(honoured)
        _note_unknown(asked)
    for key, sentence in faults.items():
        note(key, sentence)
    if faults or any(key not in st.query_params for key in wanted):
        let_go([*faults, *wanted])
        st.switch_page(page, query_params=wanted)


def let_go(keys: Collection[str]) -> None:
    """Let the address be changed though widgets, of the page before or of this one, hold keys of it."""
    context = get_script_run_ctx()
    if context:
        with context.session_state.query_params() as bindings:
            for held in filter(None, map(bindings.get_binding_for_param, keys)):
                bindings.unbind_widget(held.widget_id)


def _forget_choices(asked: dict[str, list[str]]) -> dict[str, list[str]]:
    """What an address of the browser's history says is all that was chosen then."""
    for key in (*SHARED, *OF_CIRCUITS):
        st.session_state.pop(key, None)
    return asked


def _carry_over(asked: dict[str, list[str]]) -> dict[str, list[str]]:
    """The address with what pages share and the link does not say.

    Streamlit leaves out of st.query_params what the widgets of the page before have in the address too.
    """
    session = st.session_state
    named = {key for key, texts in asked.items() if texts != [str(session.get(key))]}
    if state.PAIR in asked or state.TASK in asked:
        named |= {key for key in SETTINGS if key not in asked}
    for key in named:
        session.pop(key, None)
    kept = {key: session[key] for key in SHARED if session.get(key) is not None}
    for key, value in kept.items():
        session[key] = value
    let_go(kept)
    st.query_params.update({key: str(value) for key, value in kept.items()})
    pending = {key: texts for key, texts in session.get(_ASKED, {}).items() if key in SHARED and key not in named}
    return {**pending, **{key: [str(value)] for key, value in kept.items()}, **asked}


def check(key: str, options: Collection[object]) -> None:
    """Compare what the link says under a key with what there is to choose; called once before the key's widget."""
    texts = st.session_state.get(_ASKED, {}).pop(key, ())
    known = KEYS[key]
    for text in filter(None, texts):
        if isinstance(options, range):
            sentence = within(replace(known, bounds=(options[0], options[-1])), text)
        else:
            sentence = among(known, text, tuple(map(str, options)))
        if sentence:
            note(key, sentence)


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


def _goes_through_history() -> bool:
    context = get_script_run_ctx()
    return bool(context and context.is_history_navigation)
