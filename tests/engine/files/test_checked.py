"""Fields of a file become a dataclass, or one sentence that names the field, its value and what it must be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from engine.errors import UserError
from engine.files.checked import Must, checked


@dataclass(frozen=True)
class Wheel:
    spokes: Annotated[int, Must(lambda spokes: spokes > 0, "a number from 1 up")]


@dataclass(frozen=True)
class Bicycle:
    maker: str
    colour: Annotated[str | None, Must.be_one_of(("red", "blue"))] = None
    gears: tuple[int, ...] = ()
    weight: float = 10.0
    is_new: bool = True
    parts: Mapping[str, str] = field(default_factory=dict)
    wheel: Wheel | None = None
    place: Path = Path()


def bicycle(**values: Any) -> Bicycle:
    return checked(Bicycle, values, "The bicycle", "of the bicycle", place=Path("shed"))


def test_fields_become_the_dataclass() -> None:
    assert bicycle(maker="a") == Bicycle("a", place=Path("shed"))
    values = {"maker": "a", "colour": "red", "weight": 9, "is_new": False, "parts": {"bell": "brass"}}
    complete = bicycle(**values, gears=[1, 2], wheel=Wheel(32))
    assert complete == Bicycle(**values, gears=(1, 2), wheel=Wheel(32), place=Path("shed"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "The bicycle lacks the field 'maker'."),
        ({"makr": "a"}, "The bicycle has an unknown field 'makr'. Known: maker, colour, gears, "),
        ({"maker": "a", "place": "here"}, "The bicycle has an unknown field 'place'."),
        ({"colour": 3}, "colour of the bicycle is 3. It must be one of: red, blue."),
        ({"maker": 3}, "maker of the bicycle is 3. It must be a text."),
        ({"maker": None}, "maker of the bicycle is None. It must be a text."),
        ({"maker": "a", "colour": "green"}, "colour of the bicycle is 'green'. It must be one of: red, blue."),
        ({"maker": "a", "gears": [1, True]}, "gears of the bicycle is [1, True]. It must be a list of whole numbers."),
        ({"maker": "a", "gears": 3}, "gears of the bicycle is 3. It must be a list of whole numbers."),
        ({"maker": "a", "weight": "9"}, "weight of the bicycle is '9'. It must be a number."),
        ({"maker": "a", "is_new": 1}, "is_new of the bicycle is 1. It must be true or false."),
        ({"maker": "a", "parts": {"bell": 1}}, "parts of the bicycle is {'bell': 1}. It must be a table of texts."),
        ({"maker": "a", "wheel": {"spokes": 3}}, "wheel of the bicycle is {'spokes': 3}. It must be a table."),
        ({"maker": "a" * 1000, "colour": "x" * 1000}, "colour of the bicycle is 'xxx"),
    ],
)
def test_a_wrong_field_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        bicycle(**values)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("spokes", [0, -1, True, "3", 2.5])
def test_a_value_beyond_its_rule_is_named(spokes: Any) -> None:
    with pytest.raises(UserError, match=r"spokes in the wheel is .*\. It must be a number from 1 up\."):
        checked(Wheel, {"spokes": spokes}, "The wheel", "in the wheel")


def test_pydantic_is_imported_only_when_something_is_checked() -> None:
    code = "import sys, engine.models.pair; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
