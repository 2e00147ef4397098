"""Exporting: names of files, how large they are about to be, and files that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.circuits.filters import Filters
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.exchange import circuit_formats
from engine.exchange.circuit import NO_FILTERS, circuit
from engine.exchange.circuit_formats import FORMATS
from engine.exchange.export import circuit_for, edges_in_file, export, export_to, file_name, likely_size
from engine.runs import lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute, tiny_compute

K = 12


@pytest.fixture
def run(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_holds_what_is_exported_into_memory(run: Run, format: str, tmp_path: Path) -> None:
    path, told = tmp_path / "file", []
    size = export_to(path, circuit(run.key, K), format, lambda done, total: told.append((done, total)))
    assert path.read_bytes() == export(run.key, K, format) and size == path.stat().st_size
    edges = edges_in_file(format, run.meta.graph, K)
    assert told == [(edges, edges)]
    assert export_to(path, circuit(run.key, K), format) == size, "the same again changes nothing"


def test_another_file_stays_and_a_failure_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        export_to(folder / "mine", circuit(run.key, K), "csv")

    def full(done: int, total: int) -> None:
        assert [file.name for file in folder.iterdir() if not file.is_dir()] == ["mine"], "not at its place before"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(circuit_formats, "BLOCK", 5)
    for name in FORMATS:
        with pytest.raises(UserError, match="file cannot be written: No space left on device"):
            export_to(folder / "file", circuit(run.key, K), name, full)
    assert [file.name for file in folder.iterdir()] == ["mine"] and (folder / "mine").read_text() == "mine"


def test_only_a_file_of_every_edge_reads_every_edge(run: Run) -> None:
    n_edges = run.meta.graph.n_edges
    read = {name: len(circuit_for(name, run.key, K).table.edge) for name in FORMATS}
    assert read == {"json": n_edges, "mib": n_edges, "graphml": K, "parquet": K, "csv": K}


def test_sizes_are_told_by_format_and_edges() -> None:
    graph = Graph(2, 2)
    assert edges_in_file("json", graph, 5) == graph.n_edges and edges_in_file("csv", graph, 5) == 5
    assert likely_size("json", 1_592_881) == pytest.approx(116e6, rel=0.02)
    assert likely_size("csv", 0) == 0


@pytest.mark.parametrize(
    ("filters", "stem"),
    [
        (NO_FILTERS, ""),
        (Filters(sign="positive", show="only", pruned=True), "-positive-only-pruned"),
        (Filters(kinds=("v", "q")), "-q-v"),
        (Filters(kinds=()), "-nothing"),
        (Filters(kinds=("mlp",), sign="negative"), "-mlp-negative"),
        (Filters(show="shared"), "-shared"),
    ],
)
def test_a_files_name_says_what_was_chosen(run: Run, filters: Filters, stem: str) -> None:
    assert file_name(run, 7, "csv", "half-a", filters) == f"embedded-arm-ioi-half-a-7{stem}-{run.key[:10]}.csv"


@pytest.mark.usefixtures("workspace")
def test_a_circuit_of_the_usual_size_exports_quickly() -> None:
    run = lifecycle.run(RunSpec(n=4, model="step:100"), compute=fake_compute)
    assert len(json.loads(export(run.key, 200, "json"))["edges"]) == run.meta.graph.n_edges
    assert file_name(run, 200, "json") == f"embedded-step100-ioi-total-200-{run.key[:10]}.json"


@pytest.mark.parametrize(
    ("k", "format", "message"), [(0, "json", "k is 0"), (10**6, "csv", "k is 1000000"), (5, "gml", "'gml'")]
)
def test_wrong_wishes_are_refused_by_name(run: Run, k: int, format: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        export(run.key, k, format)
