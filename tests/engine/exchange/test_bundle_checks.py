"""What a bundle says of its runs: every field that cannot be is named with its value, in one sentence."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from cache.keys import hash_of
from cache.layout import SCHEMA, Record
from engine.errors import UserError
from engine.exchange import bundle_checks
from engine.runs.provenance import METHOD_VERSION
from engine.runs.records import Accuracy, RunMeta
from engine.runs.spec import RunSpec

META = RunMeta(2, 2, 3, ("site-00", "site-01"), 1.5, -1, "cpu", "Fake", {"torch": "2"}, 12)
MADE_WITH = {"weights": "w", "artifact": "lens"}
RECORD = Record(hash_of(MADE_WITH), "lens", MADE_WITH, {}, "2026-01-02T03:04:05+00:00", 1.5)


def meta_with(**fields: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**asdict(META), **fields}))


def test_a_record_comes_back_as_it_was() -> None:
    assert bundle_checks.meta(meta_with()) == META
    assert bundle_checks.meta(meta_with(remarks=["Careful."])).remarks == ("Careful.",)
    of = RunSpec(model="arm", n=4)
    assert bundle_checks.spec(of.as_dict(), of.pair) == bundle_checks.spec(of.as_dict(), None) == of
    assert bundle_checks.accuracy({"accuracy": 0.5, "accuracy_n": 200}) == Accuracy(0.5, 200)
    assert bundle_checks.record(RECORD.as_written_inside()) == RECORD
    assert bundle_checks.record(replace(RECORD, imported="2026-01-01", size=7).as_text()) == RECORD


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_layers": 0}, "meta says n_layers = 0. It must be from 1 to 512"),
        ({"n_layers": True}, "n_layers in meta is True. It must be a whole number"),
        ({"n_layers": 500, "n_heads": 500}, "500 layers of 500 heads have .* edges, more than"),
        ({"parts": []}, "meta has no parts"),
        ({"parts": ["site-01", "site-00"]}, "parts out of order"),
        ({"parts": ["site-<b>"]}, "meta has a part 'site-<b>'"),
        ({"parts": "site-00"}, "parts in meta is 'site-00'. It must be a list of texts"),
        ({"versions": {"torch": 2}}, "versions in meta is .* It must be a table of texts"),
        ({"versions": {str(i): "1" for i in range(101)}}, "more than 100 versions"),
        ({"remarks": ["x"] * 21}, "more than 20 remarks"),
        ({"device": "x" * 5000}, "very long text"),
        ({"file": "x" * 5000}, "very long text"),
        ({"colour": 1}, "meta has an unknown field 'colour'"),
    ],
)
def test_a_record_that_no_run_has_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bundle_checks.meta(meta_with(**fields))


def test_a_circuit_from_elsewhere_is_not_taken() -> None:
    of = RunSpec(model="arm", n=4, method="imported", source="0" * 20)
    with pytest.raises(UserError, match="a circuit from elsewhere, which bundles do not"):
        bundle_checks.spec(of.as_dict(), of.pair)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UserError, match="meta lacks the field 'n_layers'"):
        bundle_checks.meta({})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pair": "yours"}, "of the pair 'yours', not of 'embedded'"),
        ({"seed": "0"}, "seed in spec is '0'. It must be a whole number"),
        ({"seed": 2**60}, "seed in spec is a very large number"),
        ({"task": "x" * 5000}, "task in spec is a very long text"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"template": "2"}, "template in spec is '2'. It must be a whole number"),
        ({"template": True}, "template in spec is True. It must be a whole number"),
        ({"denoising_steps": 1.5}, "denoising_steps in spec is 1.5. It must be a whole number"),
        ({"denoising_steps": None}, "denoising_steps in spec is None. It must be a whole number"),
        ({"template": 101}, "template is 101. Choose the number of a template from 0 to 100"),
        ({"templates": 2}, "spec has an unknown field 'templates'"),
    ],
)
def test_a_spec_that_no_run_has_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bundle_checks.spec({**RunSpec().as_dict(), **fields}, "embedded")


@pytest.mark.parametrize("field", ["template", "denoising_steps"])
def test_steps_and_template_are_part_of_what_a_run_was_made_with(field: str) -> None:
    before, chosen = RunSpec().as_dict(), RunSpec(**{field: 2}).as_dict()  # type: ignore[arg-type]
    assert bundle_checks.spec(before, "embedded") == RunSpec()  # as every run from before says it
    assert getattr(bundle_checks.spec(chosen, "embedded"), field) == 2
    for stated, made_with in ((RunSpec(), chosen), (RunSpec(), {**before, field: 0}), (RunSpec(**chosen), before)):
        with pytest.raises(UserError, match="was made with another spec than it says"):
            bundle_checks.provenance({"spec": made_with}, "0" * 20, stated)


def test_what_is_no_spec_is_refused() -> None:
    for values in (None, [], "ioi"):
        with pytest.raises(UserError, match="does not say its spec"):
            bundle_checks.spec(values, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"accuracy": 1.5}, "meta says accuracy = 1.5. It must be from 0 to 1"),
        ({"accuracy": "1"}, "accuracy in meta is '1'. It must be a number"),
        ({"accuracy_n": 0}, "meta says accuracy_n = 0"),
        ({"more": 0}, "unknown field 'more'"),
    ],
)
def test_an_accuracy_that_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bundle_checks.accuracy({"accuracy": 0.5, "accuracy_n": 200, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": SCHEMA + 1}, f"a later version .*layout {SCHEMA + 1}, where this one has {SCHEMA}.. Update"),
        ({"schema": SCHEMA - 1}, f"an earlier version .*layout {SCHEMA - 1}, .* Make it again with this version"),
        ({"schema": "10"}, "does not say the version of its layout"),
        ({"schema": True}, "does not say the version of its layout"),
        ({"kind": "dream"}, "of the kind 'dream', which there is not"),
        ({"key": "0" * 20}, "the key of the artifact '0+' is not that of what it was made with"),
        ({"key": "../../etc/passwd"}, "the key of the artifact"),
        ({"made_with": {}}, "is not that of what it was made with"),
        ({"made_with": 3}, "its field 'made_with' is of another type"),
        ({"companions": {"ability": "0" * 20}}, "names artifacts that belong to it, or lacks them"),
        ({"kind": "circuit"}, "names artifacts that belong to it, or lacks them"),
        ({"companions": {"ability": 3}}, "its companions are no keys"),
        ({"created": "<script>"}, "'<script>' is no date"),
        ({"seconds": -1}, "-1 seconds"),
        ({"seconds": 1e12}, "seconds"),
        ({"more": 1}, "does not have the fields of a record"),
    ],
)
def test_a_record_of_an_artifact_that_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bundle_checks.record(json.dumps({**json.loads(RECORD.as_written_inside()), **fields}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spec": {}}, "made with another spec than it says"),
        ({"method_version": "3"}, "does not say its method_version"),
        ({"weights": None}, "does not say its weights"),
        ({"compared_with": 3}, "does not say its compared_with"),
        ({"libraries": []}, "does not say its libraries"),
        ({"more": 1}, "is not that of what it was made with"),
    ],
)
def test_what_no_run_was_made_with_is_named(fields: dict[str, Any], message: str) -> None:
    of = RunSpec()
    provenance = {
        "spec": of.as_dict(), "method_version": METHOD_VERSION, "weights": "w", "compared_with": "a", "libraries": {},
    }  # fmt: skip
    assert bundle_checks.provenance(provenance, hash_of(provenance), of) == provenance
    with pytest.raises(UserError, match=message):
        bundle_checks.provenance({**provenance, **fields}, hash_of(provenance), of)
    later = {**provenance, "method_version": METHOD_VERSION + 1}
    with pytest.raises(UserError, match="a later version of this program computed it"):
        bundle_checks.provenance(later, hash_of(later), of)


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


def test_moments_are_in_utc_whatever_zone_they_say() -> None:
    assert (
        bundle_checks.when("2026-01-01T02:00:00+02:00")
        == bundle_checks.when("2026-01-01T00:00:00")
        == "2026-01-01T00:00:00+00:00"
    )
