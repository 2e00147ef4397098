"""What a bundle says of its evidence: every field that cannot be is named with its value, in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from cache.keys import hash_of
from cache.layout import Record
from engine.errors import UserError
from engine.exchange.evidence_checks import FIELDS, checked_meta, circuit_of
from engine.runs.evidence import EVIDENCE_VERSION, EvidenceStep
from engine.runs.provenance import resolve
from engine.runs.records import EvidenceInputs, RunMeta
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, EvidenceKind
from tests.fakes import GRAPH
from tools.synthetic_evidence import fake_evidence

ARM, MDM = RunSpec(model="arm", n=4), RunSpec(model="mdm", n=4)
META = RunMeta(
    GRAPH.n_layers, GRAPH.n_heads, 3, ("step-00", "step-01"), 1.5, -1.0, "cpu", "Fake", {"torch": "2"}, 12
)  # fmt: skip


def circuit(spec: RunSpec, meta: RunMeta = META) -> Record:
    made_with = {"spec": spec.as_dict(), "weights": spec.model}
    return Record(hash_of(made_with), "circuit", made_with, json.loads(json.dumps(asdict(meta))), "2026-01-01", 1.0)


CIRCUITS = {record.key: record for record in map(circuit, (ARM, MDM, replace(MDM, seed=1)))}
OF_ARM, OF_MDM, OF_SEED = CIRCUITS


def evidence(kind: EvidenceKind, made_with: Mapping[str, Any] | None = None, **fields: Any) -> Record:
    alone, at_size = kind == "audit", kind == "faithfulness_at"
    made = {
        "artifact": kind, "evidence_version": EVIDENCE_VERSION, "circuit": OF_MDM, "spec": MDM.as_dict(),
        "other": None if alone else OF_ARM, "other_spec": None if alone else ARM.as_dict(),
        "size": 20 if at_size else None, "libraries": {"torch": "2"},
    }  # fmt: skip
    made = dict(made_with or made) | fields
    return Record(hash_of(made), kind, made, {}, "2026-01-01", 1.0)


def with_meta(kind: EvidenceKind, **fields: Any) -> Record:
    scores = np.linspace(-1, 1, GRAPH.n_edges)
    made = fake_evidence(MDM, kind, EvidenceInputs(scores, scores, 20 if kind == "faithfulness_at" else None))
    return replace(evidence(kind), meta=made.meta | fields)


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
def test_what_is_sound_comes_back_as_it_was(kind: EvidenceKind) -> None:
    assert circuit_of(evidence(kind), CIRCUITS) is CIRCUITS[OF_MDM]
    stated = with_meta(kind)
    assert checked_meta(stated) == stated.meta


def test_an_arm_s_evidence_may_be_beside_an_mdm_of_any_denoising_steps() -> None:
    there = circuit(two := replace(MDM, denoising_steps=2))
    fields = {"circuit": OF_ARM, "spec": ARM.as_dict(), "other": there.key, "other_spec": two.as_dict()}
    circuits = {**CIRCUITS, there.key: there}
    assert circuit_of(evidence("knockouts", **fields), circuits) is CIRCUITS[OF_ARM]
    there = circuit(other := replace(two, seed=1))
    fields |= {"other": there.key, "other_spec": other.as_dict()}
    with pytest.raises(UserError, match="not those of an ARM and an MDM with the same"):
        circuit_of(evidence("knockouts", **fields), {**CIRCUITS, there.key: there})


def test_fields_are_those_that_evidence_is_made_with() -> None:
    run = resolve(RunSpec())
    written = EvidenceStep(run, "audit", run.provenance).record({}, "2026-01-01", 1.0)
    assert set(written.made_with) == set(FIELDS)


WRONG: list[tuple[EvidenceKind, dict[str, Any], str]] = [
    ("audit", {"more": 1}, "was made without 'more', or with it and should not"),
    ("audit", {"artifact": "knockouts"}, "of the kind 'knockouts', not audit"),
    ("audit", {"artifact": 3}, "of the kind 3, not audit"),
    ("audit", {"evidence_version": EVIDENCE_VERSION + 1}, "a later version of this program computed it"),
    ("audit", {"evidence_version": 0}, "does not say its evidence_version"),
    ("audit", {"evidence_version": True}, "does not say its evidence_version"),
    ("audit", {"circuit": "0" * 20}, "uses the circuit '0+', which is not in the bundle"),
    ("audit", {"circuit": [OF_MDM]}, "which is not in the bundle"),
    ("audit", {"circuit": OF_ARM}, "states another spec than its circuit"),
    ("audit", {"spec": {**MDM.as_dict(), "seed": False}}, "states another spec than its circuit"),
    ("audit", {"spec": None}, "states another spec than its circuit"),
    ("audit", {"other": OF_ARM}, "names another circuit, which evidence of the kind audit does not use"),
    ("audit", {"other_spec": ARM.as_dict()}, "names another circuit"),
    ("audit", {"size": 3}, "states the size 3, where it has none"),
    ("audit", {"libraries": None}, "does not say its libraries"),
    ("audit", {"libraries": {"torch": 2}}, "the version of a library of the evidence .* is no text"),
    ("audit", {"libraries": {str(i): "1" for i in range(101)}}, "libraries, or too many"),
    ("audit", {"libraries": {"x" * 2000: "1"}}, "a library of the evidence .* is no text, or longer"),
    ("knockouts", {"other": None, "other_spec": None}, "uses the circuit None, which is not in the bundle"),
    ("knockouts", {"other": OF_MDM}, "states another other_spec than its circuit"),
    ("knockouts", {"other": OF_MDM, "other_spec": MDM.as_dict()}, "not those of an ARM and an MDM with the same"),
    ("knockouts", {"circuit": OF_SEED, "spec": replace(MDM, seed=1).as_dict()}, "not those of an ARM and an MDM"),
    ("faithfulness", {"size": 20}, "states the size 20, where it has none"),
    ("faithfulness_at", {"size": None}, "states the size None. It must be a whole number from 0 to "),
    ("faithfulness_at", {"size": True}, "states the size True"),
    ("faithfulness_at", {"size": 20.0}, "states the size 20.0"),
    ("faithfulness_at", {"size": -1}, "states the size -1"),
    ("faithfulness_at", {"size": GRAPH.n_edges + 1}, "states the size"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "message"), WRONG)
def test_what_no_evidence_was_made_with_is_named(kind: EvidenceKind, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        circuit_of(evidence(kind, **fields), CIRCUITS)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_needed(field: str) -> None:
    made_with = {name: value for name, value in evidence("knockouts").made_with.items() if name != field}
    with pytest.raises(UserError, match=f"was made without '{field}'"):
        circuit_of(evidence("knockouts", made_with), CIRCUITS)


def test_circuits_of_models_of_another_size_are_not_compared() -> None:
    larger = circuit(ARM, replace(META, n_layers=GRAPH.n_layers + 1))
    with pytest.raises(UserError, match="of models with different numbers of layers or heads"):
        circuit_of(evidence("knockouts"), CIRCUITS | {larger.key: larger})


ESTIMATE = [0.5, 0.4, 0.6]
META_WRONG: list[tuple[EvidenceKind, dict[str, Any], str]] = [
    *(
        (kind, {name: bad}, f"{name} in the meta of the evidence .* It must be a number from")
        for kind, names in (
            ("faithfulness", ("full", "corrupted", "spread", "right_full", "right_corrupted")),
            ("faithfulness_at", ("full", "right_corrupted")),
            ("knockouts", ("full", "corrupted", "right_full")),
            ("audit", ("full", "corrupted", "rounding")),
        )
        for name in names
        for bad in ("1", None, True, [1.0], 1e13, float("nan"), float("inf"))
    ),
    ("faithfulness", {"spread": -1.0}, "spread in the meta .* is -1.0"),
    ("faithfulness", {"right_full": 1.5}, "right_full in the meta .* is 1.5"),
    ("audit", {"rounding": -1.0}, "rounding in the meta .* is -1.0"),
    ("knockouts", {"more": 1}, "the meta of the evidence .* has an unknown field 'more'"),
    ("faithfulness_at", {"areas": {}}, "unknown field 'areas'"),
    ("knockouts", {"remark": "x"}, "unknown field 'remark'"),
    ("faithfulness", {"remark": 3}, "the remark of the evidence .* is no text"),
    ("faithfulness", {"remark": "x" * 2000}, "the remark of the evidence .* is no text, or longer than"),
    ("faithfulness", {"areas": None}, "areas in the meta"),
    ("faithfulness", {"areas": {"<b>": {"cpr": ESTIMATE, "cmd": ESTIMATE}}}, "areas in the meta"),
    ("faithfulness", {"areas": {"own": {"cpr": ESTIMATE}}}, "areas in the meta"),
    ("faithfulness", {"areas": {"own": [ESTIMATE, ESTIMATE]}}, "areas in the meta"),
    *(
        ("faithfulness", {"areas": {"own": {"cpr": ESTIMATE, "cmd": bad}}}, message)
        for bad, message in (
            (0.5, "cmd of own in the meta .* It must be a number and its interval"),
            ([0.5], "It must be a number and its interval"),
            ([None, None, None], "cmd of own in the meta .* is None"),
            ([0.5, None, 0.6], "cmd of own in the meta .* is None"),
            ([0.5, "0.4", 0.6], "cmd of own in the meta .* is '0.4'"),
            ([0.5, 0.6, 0.4], "an interval that ends before it begins"),
            ([0.5, 0.4, 1e13], "It must be a number from"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "message"), META_WRONG)
def test_what_sums_up_no_evidence_is_named(kind: EvidenceKind, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked_meta(with_meta(kind, **fields))


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
def test_nothing_that_sums_up_evidence_is_missing_but_areas(kind: EvidenceKind) -> None:
    stated = with_meta(kind)
    for name in stated.meta:
        without = replace(stated, meta={other: value for other, value in stated.meta.items() if other != name})
        if name == "areas":
            assert checked_meta(without) == without.meta
        else:
            with pytest.raises(UserError, match=f"lacks the field '{name}'"):
                checked_meta(without)
