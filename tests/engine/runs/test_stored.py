"""Stored runs: listed, deleted with what is theirs alone, left out with a word where they cannot be shown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cache import cleaning
from cache.folder import ArtifactFolder
from engine.errors import UserError
from engine.runs import cache_connection, evidence, lifecycle, read, stored
from engine.runs.records import RunMeta
from engine.runs.spec import RunSpec
from tests.fakes import REMARK, remarked_compute, tiny_compute

SPEC = RunSpec(n=4)


@pytest.mark.usefixtures("workspace")
def test_remarks_are_kept_with_a_run_and_a_run_from_before_has_none() -> None:
    run = lifecycle.run(SPEC, compute=remarked_compute)
    assert stored.get(run.key).meta.remarks == (REMARK, "And another.")
    fields = asdict(run.meta)
    del fields["remarks"]
    assert RunMeta.of(fields) == replace(run.meta, remarks=())


@pytest.mark.usefixtures("workspace")
def test_deleting_a_run_leaves_what_other_runs_share() -> None:
    first, second = (lifecycle.run(replace(SPEC, seed=seed), compute=tiny_compute) for seed in (0, 1))
    shared = set(first.companions.values()) & set(second.companions.values())
    assert shared == {first.companions["ability"], first.companions["weights"]}
    stored.delete(first.key)
    assert stored.missing(stored.get(second.key)) == ()
    stored.delete(second.key)
    assert cache_connection.store().records() == []


@pytest.mark.usefixtures("workspace")
def test_many_runs_are_listed_and_measured_by_one_listing_of_the_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listings: list[str] = []
    for name in ("record", "records"):
        original = getattr(ArtifactFolder, name)

        def counted(self: ArtifactFolder, *key: str, name: str = name, original: Any = original) -> Any:
            listings.append(name)
            return original(self, *key)

        monkeypatch.setattr(ArtifactFolder, name, counted)
    for seed in range(3):
        evidence.compute([replace(SPEC, seed=seed)], ["audit"], compute=tiny_compute)
    listings.clear()
    runs = stored.list_runs()
    assert len(runs) == 3 and listings == ["records"]
    sizes = stored.sizes_of_runs(runs)
    assert listings == ["records"] * 2
    assert sizes == [stored.sizes_of(run) for run in runs]
    assert all(of_run.keys() == {"circuit", "audit"} and min(of_run.values()) > 0 for of_run in sizes)
    listings.clear()
    assert stored.runs_of(replace(SPEC, seed=1)) == [runs[1]] and listings.count("records") == 1 and len(listings) == 2


@pytest.mark.usefixtures("workspace")
def test_old_runs_are_pruned_with_what_is_theirs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    old, brought, new = (lifecycle.run(replace(SPEC, seed=seed), compute=tiny_compute) for seed in (0, 1, 2))
    change(old.key, created="2026-01-01T00:00:00+00:00")
    change(brought.key, created="2026-01-01T00:00:00+00:00", imported="2026-02-02")
    sizes = stored.sizes()
    told = stored.prunable(timedelta(days=30), keep_bundles=True)
    assert len(stored.list_runs()) == 3  # nothing is deleted yet
    runs, freed = stored.prune(timedelta(days=30), keep_bundles=True)
    assert runs == told[0] == 1 and 0 < told[1] <= freed < told[1] + 100_000  # the records are freed as well
    assert {run.key for run in stored.list_runs()} == {brought.key, new.key}
    assert not any(stored.missing(run) for run in stored.list_runs())
    assert stored.sizes()["circuit"] < sizes["circuit"] and stored.sizes()["weights"] == sizes["weights"]
    assert stored.prune(timedelta(days=30), keep_bundles=False)[0] == 1
    assert [run.key for run in stored.list_runs()] == [new.key]
    assert stored.prune(timedelta(days=30), keep_bundles=False) == (0, 0)


def test_a_damaged_circuit_costs_its_run_alone(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "BEING_WRITTEN", 0.0)  # else it might just be being replaced
    hurt, sound = (lifecycle.run(replace(SPEC, seed=seed), compute=tiny_compute) for seed in (0, 1))
    cache_connection.close()
    file = workspace / "artifacts" / f"{hurt.key}.duckdb"
    file.write_bytes(file.read_bytes()[:30_000])
    with pytest.raises(UserError, match=f"circuit artifact {hurt.key}.*set aside.*compute it again"):
        read.edge_table(hurt.key)
    assert [run.key for run in stored.list_runs()] == [sound.key]
    (moved,) = (workspace / "artifacts").glob("*.duckdb.unreadable-*")
    notice = stored.notice()
    assert notice and str(moved) in notice
    assert lifecycle.run(SPEC, compute=tiny_compute).key == hurt.key


def test_the_cache_of_earlier_versions_is_named(workspace: Path) -> None:
    assert stored.notice() is None
    (workspace / "circuits.duckdb").write_bytes(b"")
    message = stored.notice()
    assert message and "is the cache of an earlier version. Take it over with" in message


@pytest.mark.usefixtures("workspace")
def test_stored_runs_whose_settings_are_refused_by_now_are_left_out_with_a_word() -> None:
    kept, old = (lifecycle.run(replace(SPEC, method=method), compute=tiny_compute) for method in ("eap-ig", "eap"))
    record = cache_connection.store().record(old.key)
    assert record
    change(old.key, made_with={**record.made_with, "spec": {**record.made_with["spec"], "metric": "kl"}})
    assert [run.key for run in stored.list_runs()] == [kept.key]
    message = stored.notice()
    assert message and f"left out: 1. {old.key}: eap takes gradients at the clean input only" in message
    with pytest.raises(UserError, match="cannot be shown: eap takes gradients"):
        stored.get(old.key)


def change(key: str, **fields: Any) -> None:
    """Write the record of an artifact again, with other values in some fields."""
    folder = cache_connection.store()
    record = folder.record(key)
    assert record
    folder.record_file_of(key).unlink()
    folder.record_file_of(key).write_text(replace(record, **fields).as_text())
    cache_connection.close()


def test_listing_imports_neither_numpy_nor_a_database() -> None:
    code = """
import sys
from engine.runs import stored
stored.list_runs()
heavy = {"numpy", "pyarrow", "duckdb", "torch", "pydantic"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[3], check=True)
