"""Keys name content: stable across order, processes and versions of this code, sensitive to every value."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cache.keys import hash_of

DESCRIPTION = {"spec": {"task": "ioi", "n": 64, "points": 5}, "weights": "abc", "libraries": {"torch": "2.13.0"}}


def test_a_known_key_stays_what_it_is() -> None:
    """Fails when the way of hashing changes, which would lose every stored run."""
    assert hash_of(DESCRIPTION) == "19be22e23695807175cb"


def test_order_does_not_matter_and_processes_agree() -> None:
    turned = {name: DESCRIPTION[name] for name in reversed(DESCRIPTION)}
    assert hash_of(turned) == hash_of(DESCRIPTION)
    code = f"from cache.keys import hash_of; print(hash_of({DESCRIPTION!r}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == hash_of(DESCRIPTION)


@pytest.mark.parametrize(
    "other",
    [
        {**DESCRIPTION, "weights": "abd"},
        {**DESCRIPTION, "spec": {"task": "ioi", "n": 65, "points": 5}},
        {**DESCRIPTION, "spec": {"task": "ioi", "n": "64", "points": 5}},
        {**DESCRIPTION, "spec": {"task": "ioi", "n": 64}},
        {**DESCRIPTION, "libraries": {"torch": "2.13.1"}},
    ],
)
def test_any_change_is_another_key(other: dict[str, object]) -> None:
    assert hash_of(other) != hash_of(DESCRIPTION)


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        hash_of({"n": value})
