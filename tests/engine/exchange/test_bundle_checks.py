"""What a bundle says of its runs: every field that cannot be is named with its value, in one sentence."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from engine.errors import UserError
from engine.exchange import bundle_checks
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec

META = RunMeta(2, 2, 3, ("site-00", "site-01"), 0.5, 200, 1.5, -1, "cpu", "Fake", {"torch": "2"}, 12)


def meta_with(**fields: Any) -> str:
    return json.dumps({**asdict(META), **fields})


def test_a_record_comes_back_as_it_was() -> None:
    assert bundle_checks.meta(meta_with()) == META
    assert bundle_checks.meta(meta_with(remarks=["Careful."])).remarks == ("Careful.",)
    of = RunSpec(model="arm", n=4)
    assert bundle_checks.spec(json.dumps(of.as_dict()), of.pair) == of


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_layers": 0}, "meta says n_layers = 0. It must be from 1 to 512"),
        ({"n_layers": True}, "n_layers in meta is True. It must be a whole number"),
        ({"accuracy": 1.5}, "meta says accuracy = 1.5. It must be from 0 to 1"),
        ({"accuracy": "1"}, "accuracy in meta is '1'. It must be a number"),
        ({"n_layers": 500, "n_heads": 500}, "500 layers of 500 heads have .* edges, more than"),
        ({"parts": []}, "meta has no parts"),
        ({"parts": ["site-01", "site-00"]}, "parts out of order"),
        ({"parts": ["site-<b>"]}, "meta has a part 'site-<b>'"),
        ({"parts": "site-00"}, "parts in meta is 'site-00'. It must be a list of texts"),
        ({"versions": {"torch": 2}}, "versions in meta is .* It must be a table of texts"),
        ({"versions": {str(i): "1" for i in range(101)}}, "more than 100 versions"),
        ({"remarks": ["x"] * 21}, "more than 20 remarks"),
        ({"device": "x" * 5000}, "very long text"),
        ({"colour": 1}, "meta has an unknown field 'colour'"),
    ],
)
def test_a_record_that_no_run_has_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bundle_checks.meta(meta_with(**fields))


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UserError, match="meta lacks the field 'n_layers'"):
        bundle_checks.meta("{}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pair": "yours"}, "of the pair 'yours', not of 'embedded'"),
        ({"seed": "0"}, "seed in spec is '0'. It must be a whole number"),
        ({"seed": 2**60}, "seed in spec is a very large number"),
        ({"task": "x" * 5000}, "task in spec is a very long text"),
        ({"method": "magic"}, "method is 'magic'"),
    ],
)
def test_a_spec_that_no_run_has_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bundle_checks.spec(json.dumps({**RunSpec().as_dict(), **fields}), "embedded")


def test_an_exact_text_has_no_field_twice_and_no_endless_number() -> None:
    for text, message in (
        ('{"a": 1, "a": 2}', "x has the field 'a' twice"),
        ('{"a": 1e999}', "1e999, which is beyond"),
    ):
        with pytest.raises(UserError, match=message):
            bundle_checks.json_of(text, "x")
    with pytest.raises(UserError, match="longer than"):
        bundle_checks.json_of(" " * (bundle_checks.LONGEST_JSON + 1), "x")


def test_a_moment_is_a_date() -> None:
    assert bundle_checks.when("2025-01-02T03:04:05+00:00") == "2025-01-02T03:04:05+00:00"
    with pytest.raises(UserError, match="'soon' is no date"):
        bundle_checks.when("soon")
