"""A circuit of many examples on the embedded pair: the same bits whoever computed its parts, the sums of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from engine.circuits.graph import graph_of
from engine.errors import UserError
from engine.runs import execution, lifecycle, provenance, read, stored
from engine.runs.compute import Computing
from engine.runs.lifecycle import ignore
from engine.runs.parts import added, arrays, sums_table
from engine.runs.provenance import resolve
from engine.runs.records import ArtifactTables, ExampleRange
from engine.runs.refusals import titled
from engine.runs.spec import RunSpec
from engine.runs.steps import circuit_steps
from engine.schema.artifacts import PART, columns_in, tables_in
from engine.schema.vocabulary import BLOCKS

GRAPH = graph_of(6, 8)
ARM = RunSpec(model="arm", n=24, method="eap")
MDM = RunSpec(task="countdown", n=20, points=2)
SPECS = (ARM, MDM)


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "EXAMPLES_AT_ONCE", 8)


@pytest.fixture(scope="module")
def computing() -> Iterator[Computing]:
    with Computing() as computing:
        yield computing


@cache
def by_one_worker(spec: RunSpec) -> ArtifactTables:
    with Computing() as computing:
        return computing(spec, "circuit", ignore)


@cache
def at_once(spec: RunSpec) -> ArtifactTables:
    with pytest.MonkeyPatch.context() as patch, Computing() as computing:
        patch.setattr(provenance, "EXAMPLES_AT_ONCE", spec.n)
        return computing(spec, "circuit", ignore)


def by_workers(spec: RunSpec, order: Sequence[int]) -> ArtifactTables:
    """Every part by a worker of its own, in this order; put together by another."""
    parts = {}
    for number in order:
        examples = resolve(spec).parts[number]
        with Computing() as computing:
            parts[number] = computing(spec, PART, ignore, ExampleRange(examples.start, examples.stop)).tables
    with Computing() as computing:
        return computing(spec, "circuit", ignore, added(parts[number] for number in sorted(parts)))


def scores(made: ArtifactTables, part: str = "total") -> NDArray[np.float64]:
    """[edge]"""
    rows = made.tables["edges"].filter(pc.equal(made.tables["edges"]["part"], part))
    values = np.full(GRAPH.n_edges, np.nan)
    values[rows["edge"].to_numpy()] = rows["score"].to_numpy()
    return values


def column(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


@pytest.mark.parametrize("spec", SPECS)
def test_the_result_is_the_same_bit_for_bit_whoever_computed_the_parts(spec: RunSpec) -> None:
    assert [len(part) for part in resolve(spec).parts] == [8, 8, spec.n - 16]
    alone, shared = by_one_worker(spec), by_workers(spec, (2, 0, 1))
    assert alone.meta == shared.meta
    for name in tables_in("circuit"):
        assert alone.tables[name].equals(shared.tables[name]), name


@pytest.mark.parametrize("spec", SPECS)
def test_it_is_what_all_examples_at_once_give_but_for_rounding(spec: RunSpec) -> None:
    parts, whole = by_one_worker(spec), at_once(spec)
    assert not whole.tables["edges"].equals(parts.tables["edges"])  # it was added in another order
    assert parts.meta["parts"] == whole.meta["parts"] and parts.meta["n_sites"] == whole.meta["n_sites"]
    for part in ("total", "half-a", "half-b", *parts.meta["parts"]):
        expected = scores(whole, part)
        np.testing.assert_allclose(scores(parts, part), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    for name in ("attribution", "half_a", "half_b"):
        expected = column(whole.tables["neurons"], name)
        actual = column(parts.tables["neurons"], name)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    for name in ("metric_clean", "metric_corrupt"):
        np.testing.assert_allclose(
            column(parts.tables["examples"], name), column(whole.tables["examples"], name), rtol=1e-5
        )
        assert parts.meta[name] == pytest.approx(whole.meta[name], rel=1e-5)
    words = ["example", "prompt", "answer", "corrupt_prompt", "corrupt_answer", "predicted", "correct"]
    assert parts.tables["examples"].select(words).equals(whole.tables["examples"].select(words))
    assert parts.tables["reveals"].equals(whole.tables["reveals"])
    assert parts.tables["inputs"].equals(whole.tables["inputs"])


@pytest.mark.parametrize("spec", SPECS)
def test_blocks_and_halves_add_up_to_the_total(spec: RunSpec) -> None:
    made = by_one_worker(spec)
    total, half_a = scores(made), scores(made, "half-a")
    close = {"rtol": 1e-5, "atol": 1e-6 * np.abs(total).max()}
    even, odd = (spec.n + 1) // 2, spec.n // 2
    np.testing.assert_allclose((even * half_a + odd * scores(made, "half-b")) / spec.n, total, **close)
    np.testing.assert_allclose(sum(scores(made, part) for part in made.meta["parts"]), total, **close)
    blocks = made.tables["edge_blocks"].to_pylist()
    assert {len(row["scores"]) for row in blocks} == {min(BLOCKS, spec.n)}
    for row in blocks:
        assert sum(row["scores"]) == pytest.approx(total[row["edge"]], rel=1e-4, abs=close["atol"])
        half = sum(row["scores"][::2]) * spec.n / even
        assert half == pytest.approx(half_a[row["edge"]], rel=1e-4, abs=close["atol"])
    neurons = made.tables["neurons"]
    halves = (even * column(neurons, "half_a") + odd * column(neurons, "half_b")) / spec.n
    np.testing.assert_allclose(halves, column(neurons, "attribution"), rtol=1e-4, atol=1e-6)


def test_a_part_holds_the_sums_over_its_examples_in_their_blocks(computing: Computing) -> None:
    part = computing(MDM, PART, ignore, ExampleRange(8, 16)).tables
    assert set(part) == set(tables_in(PART))
    sums = arrays(part["circuit_sums"])
    blocks = {name: values for name, values in sums.items() if name.startswith("block-")}
    assert sorted(blocks) == [f"block-{number:02d}" for number in range(16)]
    assert all(blocks[f"block-{number:02d}"].any() == (number >= 8) for number in range(16))
    steps = sum(values for name, values in sums.items() if name.startswith("step-"))
    np.testing.assert_allclose(sum(blocks.values()), steps, rtol=1e-4, atol=1e-6 * np.abs(steps).max())
    assert part["examples"]["example"].to_pylist() == list(range(8, 16))
    assert set(part["reveals"]["example"].to_pylist()) == set(range(8, 16))


def test_a_circuit_is_stored_from_parts_that_are_then_gone(computing: Computing) -> None:
    begun: list[str] = []
    steps = circuit_steps(resolve(MDM))
    execution.carry_out(steps, computing, ignore, on_step=lambda step: begun.append(step.title))
    assert begun == [
        "circuit of the MDM, examples 1 to 8 of 20",
        "circuit of the MDM, examples 9 to 16 of 20",
        "circuit of the MDM, examples 17 to 20 of 20",
        "circuit of the MDM",
    ]
    run = lifecycle.find(MDM)
    assert run and PART not in stored.sizes()
    expected = by_one_worker(MDM)
    assert read.scores(run.key).tolist() == scores(expected).astype(np.float32).tolist()
    for name in ("examples", "inputs", "neurons", "neuron_detail"):  # sorted as they are stored
        kept = read.table(run.key, name, [each.name for each in columns_in("circuit", name)])
        assert kept.equals(expected.tables[name].cast(kept.schema)), name


def test_a_model_that_ranks_nothing_is_refused_when_the_parts_are_added(
    computing: Computing, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = resolve(ARM).parts
    parts = [computing(ARM, PART, ignore, ExampleRange(part.start, part.stop)).tables for part in examples]
    sums = added(parts)
    zeros = {name: np.zeros_like(values) for name, values in arrays(sums.sums).items()}
    with pytest.raises(UserError, match=f"{titled(ARM)[1:]}.*exactly zero"):
        computing(ARM, "circuit", ignore, replace(sums, sums=sums_table(zeros)))
