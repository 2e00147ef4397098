"""What an address may say, and what is told a reader whose link says something else.

Every key has one entry in KEYS. `arrive` looks at an address before any widget is made, because a widget drops what it
cannot take without a word, and some raise: texts that no run could have are taken out of the address and remembered.
`check` is called beside a widget whose options depend on the runs that are shown. `tell` shows what was remembered.
A pair, a task or a method that is not here stops the page (`absent`): no other circuit is drawn under such a link.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from engine.circuits.filters import CLASSES, KINDS, SIGNS
from engine.errors import UserError
from engine.inspection import bins
from engine.models.pair import DTYPES
from engine.models.pairs import pair_named, pairs
from engine.runs.spec import METHODS, METRICS, ORDERS
from engine.tasks import task_named, task_names
from pages.figures.circuit import kind_name
from pages.shared import state
from pages.shared.state import AUTO, SHARED
from pages.shared.widgets import plain

MOST_WHOLE = 10**9  # no number in an address is larger
LONGEST = 80  # characters of a text that are shown
LISTED = 12  # options that are listed in full
MOST_OFFERED = 40  # buttons for what is here

COMPARING = ("circuits", "activations", "neurons", "denoising")  # pages of one pair, task and method
NOT_HERE = "The link asks for something that is not here."
EMBED = ("embed", "embed_options")  # Streamlit's own

_PAGE = "page"  # session only: the page that was shown last
_ASKED = "asked by the link"  # session only: key -> texts that no widget has been offered yet
_NOTES = "said of the link"  # session only: key -> Note
_UNKNOWN = "unknown settings"  # stands among the notes for the keys that are none of ours


@dataclass(frozen=True)
class Key:
    """What may stand under a key: one of `options`, a whole number within `bounds`, or, with neither, any text."""

    words: str
    options: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    several: bool = False  # it may come more than once, or be empty


@dataclass(frozen=True)
class Note:
    """A sentence about a key of a link, and what the key's widget showed when it was told first."""

    sentence: str
    shown: object = None
    told: bool = False


_ANY = (0, MOST_WHOLE)
KEYS = {
    state.PAIR: Key("the pair"),
    state.TASK: Key("the task"),
    state.METHOD: Key("the method", METHODS),
    state.N: Key("the number of examples n", bounds=(1, 10_000)),
    state.SEED: Key("the seed", bounds=(0, 1_000_000)),
    state.POINTS: Key("the number of integration points m", bounds=(1, 1000)),
    state.ORDER: Key("the order of revealing", ORDERS),
    state.METRIC: Key("the metric", METRICS),
    state.DTYPE: Key("the precision", (AUTO, *DTYPES)),
    state.STEP: Key("the step of post-training"),
    state.K: Key("K", bounds=(1, MOST_WHOLE)),
    state.KINDS: Key("the kind of edges", tuple(map(kind_name, KINDS)), several=True),
    state.SIGN: Key("the sign of edges", SIGNS),
    state.SHOW: Key("the choice of edges", CLASSES),
    state.PRUNE: Key("the pruning", ("true", "false")),
    state.ARM_PART: Key("the site of the ARM"),
    state.MDM_PART: Key("the denoising step of the MDM"),
    state.NODE: Key("the node"),
    state.READOUT: Key("the example and token"),
    state.INPUT: Key("the example", bounds=_ANY),
    state.INPUT_STEP: Key("the denoising step"),
    state.REGION: Key("the kind of tokens", state.REGIONS),
    state.EARLY: Key("the number of early layers", bounds=_ANY),
    state.LAYER: Key("the layer", bounds=_ANY),
    state.BIN: Key("the bin", tuple(map(bins.label, range(bins.BINS)))),
    state.VIEW: Key("the drawing of importance", state.VIEWS),
    state.HEIGHTS: Key("the drawing of histograms", state.HEIGHTS_SHOWN),
    state.MEASURE: Key("the measure of the lens", state.MEASURES),
    state.NEURON: Key("the neuron", bounds=_ANY),
    state.PINS: Key("the pinned neuron"),
    state.SEARCH: Key("the search"),
    state.SORT: Key("the order of neurons", state.NEURON_ORDERS),
    state.QUANTITY: Key("the quantity", state.QUANTITIES),
    state.EXAMPLE: Key("the example", bounds=_ANY),
    state.SAMPLER: Key("the sampler"),
    state.AT: Key("the denoising step", bounds=_ANY),
    state.POSITION: Key("the answer position", bounds=_ANY),
}
MAY_BE_EMPTY = (state.KINDS, state.PINS, state.SEARCH)


def _method_named(name: str) -> str:
    if name not in METHODS:
        raise UserError(f"There is no method called {name!r}. Choose one of: {', '.join(METHODS)}.")
    return name


# What has to be here for anything to be shown: key -> what refuses a name that is not.
NEEDED: dict[str, Callable[[str], object]] = {
    state.PAIR: pair_named,
    state.TASK: task_named,
    state.METHOD: _method_named,
}
# What belongs to a question: where a link names a pair or a task, what it leaves out are a run's defaults.
SETTINGS = (
    state.PAIR, state.TASK, state.METHOD, state.N, state.SEED, state.POINTS, state.ORDER, state.METRIC, state.DTYPE,
    state.STEP,
)  # fmt: skip


def arrive(page: st.Page) -> None:
    """Look at the address before the page runs, and go to a better one where it cannot be followed as it is.

    When the reader comes from another page, the choices that pages share are kept. Streamlit tells apart the widgets of
    two pages though they have the same key, and gives the second one its default when one page is seen right after the
    other. A value assigned before the widget is made stays; what a link says goes first.
    """
    session, asked, back = st.session_state, _in_address(), _goes_through_history()
    before, name = session.get(_PAGE), page.url_path
    session[_PAGE] = name
    arrives = before != name or back
    faults = {key: said for key, texts in asked.items() if (said := fault(key, texts, name))}
    honoured = {key: texts for key, texts in asked.items() if key not in faults}
    wanted = honoured
    if before not in (None, name):
        wanted = _forget_choices(honoured) if back else _carry_over(honoured)
    if arrives:
        session[_NOTES], session[_ASKED] = {}, dict(honoured)
        _note_unknown(asked)
    for key, said in faults.items():
        note(key, said)
    if faults or any(key not in st.query_params for key in wanted):
        _let_go([*faults, *wanted])
        st.switch_page(page, query_params=wanted)


def _let_go(keys: Collection[str]) -> None:
    """Let the address be changed though widgets, of the page before or of this one, hold keys of it."""
    context = get_script_run_ctx()
    if context:
        with context.session_state.query_params() as told:
            for held in filter(None, map(told.get_binding_for_param, keys)):
                told.unbind_widget(held.widget_id)


def _forget_choices(asked: dict[str, list[str]]) -> dict[str, list[str]]:
    """What an address of the browser's history says is all that was chosen then."""
    for key in SHARED:
        st.session_state.pop(key, None)
    return asked


def _carry_over(asked: dict[str, list[str]]) -> dict[str, list[str]]:
    """The address with what pages share and the link does not say.

    Streamlit leaves out of st.query_params what the widgets of the page before have in the address too.
    """
    session = st.session_state
    told = {key for key, texts in asked.items() if texts != [str(session.get(key))]}
    if state.PAIR in asked or state.TASK in asked:
        told |= {key for key in SETTINGS if key not in asked}
    for key in told:
        session.pop(key, None)
    kept = {key: session[key] for key in SHARED if session.get(key) is not None}
    for key, value in kept.items():
        session[key] = value
    _let_go(kept)
    st.query_params.update({key: str(value) for key, value in kept.items()})
    pending = {key: texts for key, texts in session.get(_ASKED, {}).items() if key in SHARED and key not in told}
    return {**pending, **{key: [str(value)] for key, value in kept.items()}, **asked}


def fault(key: str, texts: Sequence[str], page: str = "") -> str | None:
    """What is wrong with the texts of a key whatever runs are shown, as a sentence; None: nothing."""
    known = KEYS.get(key)
    if known is None or (key in NEEDED and page in COMPARING):
        return None
    if len(set(texts)) > 1 and not known.several:
        return f"The link names {known.words} more than once: {', '.join(map(quoted, texts))}."
    for text in texts:
        if not text and key in MAY_BE_EMPTY:
            continue
        if not text:
            return f"The link says “{key}=” and then nothing."
        if key in NEEDED:
            try:
                NEEDED[key](cut(text))
            except UserError as error:
                return f"{NOT_HERE} {error}"
        said = _within(known, text) if known.bounds else _among(known, text, known.options)
        if said:
            return said
    return None


def check(key: str, options: Collection[object]) -> None:
    """Compare what the link says under a key with what there is to choose; called once before the key's widget."""
    texts = st.session_state.get(_ASKED, {}).pop(key, ())
    known = KEYS[key]
    for text in filter(None, texts):
        if isinstance(options, range):
            said = _within(replace(known, bounds=(options[0], options[-1])), text)
        else:
            said = _among(known, text, tuple(map(str, options)))
        if said:
            note(key, said)


def note(key: str, sentence: str) -> None:
    st.session_state.setdefault(_NOTES, {})[key] = Note(sentence)


def tell() -> None:
    """Show what was remembered, until the reader chooses something else there, or is done with it."""
    notes: dict[str, Note] = st.session_state.get(_NOTES, {})
    for key, found in list(notes.items()):
        now = st.session_state.get(key)
        if not found.told:
            notes[key] = replace(found, shown=now, told=True)
        elif now != found.shown:
            del notes[key]
    if notes:
        st.warning("\n\n".join(map(_with_what_is_shown, notes.values())), icon=":material/link_off:")
        st.button("Hide this", key="hide notes", on_click=notes.clear, type="tertiary")


def absent() -> bool:
    """Whether pair, task or method are not here; if so, say which and offer what is."""
    missing = {key: said for key in NEEDED if (said := _missing(key))}
    if missing:
        _hold_address({key: str(st.session_state[key]) for key in missing})
    for key, said in missing.items():
        st.warning(plain(f"{NOT_HERE} {said}"), icon=":material/link_off:")
        _offer(key)
    return bool(missing)


def _hold_address(missing: dict[str, str]) -> None:
    """Leave the address as it is, though no widget is made that would hold its keys: a reload asks for the same."""
    now = {**missing, **{key: st.query_params.get_all(key) for key in st.query_params}}
    _let_go(now)
    st.query_params.from_dict(now)


def _missing(key: str) -> str | None:
    """Why what the address, or else the session, names is not here. It stays in the session for the other pages."""
    text, before = _wanted(key), st.session_state.get(key)
    said = None if text is None else _refusal(key, text)
    if said:
        st.session_state[key] = text
    elif before is not None and _refusal(key, str(before)):
        del st.session_state[key]  # the reader has chosen another
    return said


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
    page = st.session_state.get(_PAGE) or "overview"
    st.markdown(f"Open the link with another {KEYS[key].words.removeprefix('the ')}:")
    with st.container(horizontal=True):
        for name, title in list(offered.items())[:MOST_OFFERED]:
            if st.button(plain(title), key=f"instead {key} {name}"):
                st.session_state.pop(key, None)
                st.switch_page(f"pages/{page}.py", query_params={**now, key: [name]})


def whole(text: str) -> int | None:
    """A whole number as widgets write it, however long; None where it is none."""
    return int(text[:20]) if re.fullmatch(r"0|-?[1-9][0-9]*", text) else None


def quoted(text: str) -> str:
    return f"“{cut(text)}”"


def cut(text: str) -> str:
    """A text as it can be shown: of a bearable length, and without characters that cannot be seen."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"


def _within(known: Key, text: str) -> str | None:
    least, most = known.bounds or _ANY
    number = whole(text)
    if number is not None and least <= number <= most:
        return None
    to = f" to {most:,}" if most < MOST_WHOLE else " on"
    told = f"There is only {least:,}" if least == most else f"It can be a whole number from {least:,}{to}"
    return f"The link asked for {known.words} {quoted(text)}. {told}."


def _among(known: Key, text: str, options: Sequence[str]) -> str | None:
    if not options or text in options:
        return None
    listed = options if len(options) <= LISTED else [*options[: LISTED - 2], "…", options[-1]]
    return f"The link asked for {known.words} {quoted(text)}, which is not here. Possible: {', '.join(listed)}."


def _with_what_is_shown(found: Note) -> str:
    shown = "" if found.shown in (None, "", []) else f" Shown instead: {_in_words(found.shown)}."
    return plain(found.sentence + shown)


def _in_words(value: object) -> str:
    """What a widget holds, as a reader sees it there."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(kind_name(str(one)) for one in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _note_unknown(asked: Mapping[str, object]) -> None:
    unknown = [key for key in asked if key not in KEYS]
    if unknown:
        names = ", ".join(map(quoted, unknown[:LISTED]))
        note(_UNKNOWN, f"The link has settings that are none of this app and are ignored: {names}.")


def _in_address() -> dict[str, list[str]]:
    """What the browser's address says; Streamlit's own st.query_params leaves out some of it after a change of page."""
    context = get_script_run_ctx()
    told = parse_qs(context.query_string, keep_blank_values=True) if context else {}
    return {key: texts for key, texts in told.items() if key.lower() not in EMBED}


def _goes_through_history() -> bool:
    context = get_script_run_ctx()
    return bool(context and context.is_history_navigation)
