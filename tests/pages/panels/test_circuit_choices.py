"""What the circuit component is told: each choice that it does not show yet, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pages.components.circuit import component
from pages.panels import circuit_choices
from pages.panels.circuit_choices import take, told
from pages.shared import choices, state

NONE = {"k": 100, "node": None}
KEY = "some circuit"


class Reader:
    """A component whose reader chooses; what is kept of it is in `kept`."""

    def __init__(self) -> None:
        self.known: dict[str, object] = {}
        self.kept: dict[str, object] = {}

    def chooses(self, chosen: dict[str, object]) -> None:
        self.known = {**chosen, "whole": "abc"}
        take(KEY)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader()
    monkeypatch.setattr(circuit_choices, "st", SimpleNamespace(session_state={}))
    monkeypatch.setattr(component, "chosen", lambda key: made.known if key == KEY else {})
    monkeypatch.setattr(choices, "choose", made.kept.update)
    return made


def test_a_choice_of_the_servers_is_told_once(reader: Reader) -> None:
    first = told(NONE, KEY)
    assert (first.chosen, first.serial) == (NONE, 1)
    assert told(NONE, KEY) == first
    second = told({**NONE, "node": "m1"}, KEY)
    assert (second.chosen["node"], second.serial) == ("m1", 2)


def test_what_the_reader_chooses_is_kept_and_not_told(reader: Reader) -> None:
    first = told(NONE, KEY)
    reader.chooses({"k": 50, "node": "m1"})
    assert reader.kept == {state.K: 50, state.NODE: "m1"}
    assert told({"k": 50, "node": "m1"}, KEY) == first


def test_going_back_to_what_was_told_first_is_told_again(reader: Reader) -> None:
    told(NONE, KEY)
    reader.chooses({"k": 100, "node": "m1"})
    again = told(NONE, KEY)
    assert (again.chosen, again.serial) == (NONE, 2)


def test_a_component_that_is_made_anew_is_told_what_its_reader_chose_before(reader: Reader) -> None:
    told(NONE, KEY)
    reader.chooses({"k": 100, "node": "m1"})
    reader.known = {}  # Streamlit forgets what a component held when its page is left
    assert told({"k": 100, "node": "m1"}, KEY).chosen["node"] == "m1"


def test_components_of_two_pages_are_told_apart(reader: Reader) -> None:
    first = told(NONE, KEY)
    told({**NONE, "node": "m1"}, "another")
    assert told(NONE, KEY) == first
