"""What an artifact is computed from comes out of its frames as it went in, and through the worker's process."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from engine.runs import input_frames
from engine.runs.input_frames import frames_of, inputs_in
from engine.runs.lifecycle import ignore
from engine.runs.parts import added, arrays
from engine.runs.records import CircuitSums, EvidenceInputs, ExampleRange, Inputs
from engine.runs.spec import RunSpec
from engine.runs.worker import Worker
from engine.schema.artifacts import PART
from tests.fakes import tiny_compute

SPEC = RunSpec(n=20)
SCORES = np.random.default_rng(0).standard_normal(100).astype(np.float32)


def sums() -> CircuitSums:
    ranges = (ExampleRange(0, 8), ExampleRange(8, 20))
    return added(tiny_compute(SPEC, PART, ignore, part).tables for part in ranges)


@pytest.mark.parametrize("other", [None, SCORES[::-1]])
def test_scores_and_numbers_come_back(other: np.ndarray | None) -> None:
    back = inputs_in(frames_of(EvidenceInputs(SCORES, other, 7)))
    assert isinstance(back, EvidenceInputs) and back.size == 7
    assert np.array_equal(back.own, SCORES) and back.own.dtype == np.float32
    assert back.other is None if other is None else np.array_equal(back.other, other)  # type: ignore[arg-type]


@pytest.mark.usefixtures("workspace")
def test_tables_and_ranges_come_back() -> None:
    given: list[Inputs] = [ExampleRange(256, 300), sums()]
    for inputs in given:
        assert inputs_in(frames_of(inputs)) == inputs


def test_the_first_frame_says_what_the_others_are() -> None:
    about, *rest = frames_of(EvidenceInputs(SCORES, None))
    fields = {"own": ["array", [100]], "other": ["value", None], "size": ["value", None]}
    assert json.loads(about) == {"class": "EvidenceInputs", "fields": fields}
    assert rest == [SCORES.tobytes()] and "pickle" not in vars(input_frames)


@pytest.mark.usefixtures("workspace")
def test_a_worker_gets_a_part_and_the_sums_of_all_parts() -> None:
    worker, cancel = Worker("tests.fakes:tiny_compute"), threading.Event()
    try:
        part = worker.compute(SPEC, PART, ignore, cancel, ExampleRange(8, 20))
        assert arrays(part.tables["circuit_sums"])["block-00"].tolist() == [12.0]
        assert part.tables["examples"]["example"].to_pylist() == list(range(8, 20))
        whole = worker.compute(SPEC, "circuit", ignore, cancel, sums())
        assert whole.tables["edges"].equals(tiny_compute(SPEC, "circuit", ignore).tables["edges"])
    finally:
        worker.close()
