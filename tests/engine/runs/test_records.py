"""The record of a run survives JSON, and answers for its run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from engine.circuits.graph import graph_of
from engine.runs.records import Progress, Run, RunMeta, short_key
from engine.runs.spec import RunSpec

META = RunMeta(
    n_layers=2,
    n_heads=3,
    n_sites=1,
    parts=("step-00", "step-01"),
    metric_clean=1.0,
    metric_corrupt=-1.0,
    device="cpu",
    architecture="LlamaForCausalLM",
    versions={"torch": "2.13.0"},
    remarks=("Read this.",),
)
RUN = Run("0123456789abcdef0123", RunSpec(n=2), META, "2026-01-01T00:00:00+00:00", 1.5)


def test_a_record_is_the_same_after_json() -> None:
    assert RunMeta.of(json.loads(json.dumps(asdict(META)))) == META


def test_a_record_of_before_remarks_were_kept_can_be_read() -> None:
    fields = {name: value for name, value in asdict(META).items() if name not in ("remarks", "n_neurons")}
    assert RunMeta.of(fields) == replace(META, remarks=(), n_neurons=0)


def test_the_graph_is_that_of_layers_and_heads() -> None:
    assert META.graph is graph_of(2, 3)


def test_a_key_is_shown_by_its_beginning() -> None:
    assert RUN.key.startswith(short_key(RUN.key)) and 8 <= len(short_key(RUN.key)) < len(RUN.key)


@pytest.mark.parametrize(("n", "expected"), [(1, False), (2, True)])
def test_two_examples_make_halves(n: int, expected: bool) -> None:
    assert replace(RUN, spec=RunSpec(n=n)).has_halves is expected


@pytest.mark.parametrize(
    ("provenance", "version", "shifted"),
    [
        ({}, None, None),
        ({"method_version": 3, "reading": ["mask", True]}, 3, True),
        ({"method_version": 2, "reading": ["mask", False]}, 2, False),
        ({"reading": None}, None, None),
        ({"reading": "mask"}, None, None),
    ],
)
def test_what_is_kept_of_how_it_was_computed(
    provenance: dict[str, object], version: int | None, shifted: bool | None
) -> None:
    run = replace(RUN, provenance=provenance)
    assert (run.method_version, run.shifted) == (version, shifted)


@pytest.mark.parametrize(("done", "total", "share"), [(0, 0, 0.0), (1, 4, 0.25), (4, 4, 1.0)])
def test_progress_is_a_share_once_the_whole_is_known(done: int, total: int, share: float) -> None:
    assert Progress("edges", done, total).share == share
