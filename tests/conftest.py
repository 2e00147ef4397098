"""What every test may rely on: no network, one thread for tiny models, a cache of its own instead of the user's."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# What `make check` leaves out, relative to this folder: the browser, the trained pair, the app's pages as a whole, and
# the longest of the engine. Everything else, files that are added too, is run.
WHOLE = (
    "browser/",
    "engine/attribution/test_edge_scores.py",
    "engine/attribution/test_second_device.py",
    "engine/attribution/test_soundness.py",
    "engine/exchange/test_bundle.py",
    "engine/exchange/test_bundle_tampering.py",
    "engine/exchange/test_table_checks.py",
    "engine/inspection/test_lens_by_layer.py",
    "engine/inspection/test_trajectories.py",
    "engine/models/test_control.py",
    "engine/models/test_loading.py",
    "engine/models/test_supported.py",
    "engine/runs/test_compute.py",
    "engine/runs/test_compute_circuit.py",
    "engine/runs/test_folder_pair.py",
    "engine/runs/test_kept_pairs.py",
    "engine/runs/test_kills.py",
    "engine/runs/test_many_processes.py",
    "engine/runs/test_natural_runs.py",
    "engine/runs/test_two_folders.py",
    "engine/sweeps/test_ray_workers.py",
    "engine/tasks/test_natural.py",
    "engine/tasks/test_registry.py",
    "engine/test_embedded_pair.py",
    "engine/test_refused.py",
    "engine/test_release.py",
    "engine/test_smollm2.py",
    "engine/training/test_train.py",
    "pages/shared/test_address.py",
    "pages/test_activations_page.py",
    "pages/test_brought_pages.py",
    "pages/test_denoising_page.py",
    "pages/test_neurons_page.py",
    "pages/test_pages.py",
    "pages/test_partly_computed_pages.py",
    "pages/test_paths_that_cannot_be.py",
    "pages/test_prompts_page.py",
    "pages/test_uploads.py",
    "test_benchmarks.py",
    "test_examples.py",
)

# Read by the hub's client, by torch and by Ray (which is to listen on the loopback interface only) when they are
# imported, so they are set before any test module is.
os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "WANDB_MODE": "disabled"})
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine a second thread is mostly waited for


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # libraries that count their objects at the end of a process would call them leaked


@pytest.fixture(scope="module", autouse=True)
def _collect_only_what_tests_make() -> None:
    """Objects of imported libraries (over a million) leave the collector's sight.

    The engine collects garbage at every load of a model, and walking through all of them takes half a second.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out, and run it first, so that no process ends with a long file.

    The browser's files, which wait much, take turns with those that compute: one process does what the other cannot.
    """
    files: dict[str, dict[Path, None]] = {"browser": {}, "whole": {}}
    for item in items:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        if name.startswith(WHOLE):
            item.add_marker("whole")
            files["browser" if name.startswith("browser/") else "whole"].setdefault(item.path)
    turn = {path: (at + 0.5) / len(group) for group in files.values() for at, path in enumerate(group)}
    items.sort(key=lambda item: (turn.get(item.path, 1.0), item.path in files["whole"]))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from engine.runs import cache_connection

    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path))
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    yield
    cache_connection.close()
