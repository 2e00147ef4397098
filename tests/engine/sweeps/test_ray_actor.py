"""The computing end of a Ray worker, in this process: what it refuses, stores and sends back."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.runs import evidence, lifecycle
from engine.runs.cache_connection import store
from engine.runs.provenance import resolve
from engine.runs.records import Progress
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.sweeps.ray_actor import Actor, ActorProcess, differences, mark_of_folder, refuse_other
from tests.fakes import fake_compute, fake_model, register_fake_pair, tiny_compute

SPEC = RunSpec(n=4)


@pytest.fixture(autouse=True)
def _fake_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "models")))


def step(**fields: object) -> Step:
    return Step(resolve(replace(SPEC, **fields)), "circuit")


def test_a_folder_is_shared_where_the_mark_is_seen(tmp_path: Path) -> None:
    actor = Actor("tests.fakes:tiny_compute")
    with mark_of_folder() as mark:
        assert actor.process(mark) == ActorProcess(
            socket.gethostname(), os.getpid(), actor.process(mark).gpus, shares=True
        )
        assert actor.compute(step(), step().key, None).made is None
        assert not actor.process(None).shares
        assert not actor.process(tmp_path / mark.name).shares
    assert not mark.exists()
    assert store().record(step().key)
    back = actor.compute(step(seed=1), step(seed=1).key, None)
    assert back.made and back.made.meta == tiny_compute(step(seed=1).spec, "circuit", lifecycle.ignore).meta
    assert not store().record(step(seed=1).key)


def test_progress_is_the_last_report_of_what_is_computed() -> None:
    actor = Actor("tests.fakes:tiny_compute")
    assert actor.progress() is None
    actor.compute(step(), step().key, None)
    assert actor.progress() == Progress("Looking through the lens", 1, 1)
    actor.compute(step(), "another key", None)
    assert actor.progress() is None


def test_what_is_refused_and_what_fails_come_back_as_sentences() -> None:
    actor = Actor("tests.fakes:moody_compute")
    refused = [actor.compute(step(seed=seed), step(seed=seed).key, None).refused for seed in (13, 14, 16)]
    assert refused == [
        "There is no model in this folder. Choose another pair.",
        "RuntimeError while computing embedded / mdm / ioi: shapes do not match",
        "",
    ]
    missing = Actor("tests.fakes:nothing_of_that_name").compute(step(), step().key, None)
    assert missing.refused.startswith("AttributeError while computing embedded / mdm / ioi: ")


def test_other_weights_on_this_machine_are_refused(tmp_path: Path) -> None:
    planned = step()
    refuse_other(planned, planned.key)
    fake_model(tmp_path / "models" / "mdm", "another training")
    with pytest.raises(UserError, match=r"circuit of the MDM\. There differs the weights of the model\. Give all"):
        refuse_other(planned, planned.key)
    fake_model(tmp_path / "models" / "mdm", "mdm")
    refuse_other(planned, planned.key)


def test_what_this_machine_lacks_is_named_with_the_machine() -> None:
    planned = step()
    own = replace(planned, run=replace(planned.run, spec=replace(SPEC, pair="mine")))
    with pytest.raises(UserError, match=rf"^On {socket.gethostname()}: There is no pair called 'mine'.* at the same"):
        refuse_other(own, own.key)


def test_evidence_is_of_the_same_run_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.run_all([SPEC, replace(SPEC, model="arm")], compute=fake_compute)
    (about,) = evidence.plan([SPEC], ["audit"])
    key = about.key
    refuse_other(about, key)
    monkeypatch.setattr(evidence, "EVIDENCE_VERSION", 99)  # of the program on this machine
    with pytest.raises(UserError, match=r"There differs the version of this project\."):
        refuse_other(about, key)


def test_differences_are_told_in_words() -> None:
    asked = resolve(SPEC).provenance
    assert differences(asked, dict(asked)) == []
    libraries = {**asked["libraries"], "torch": "1.0"}
    here = {**asked, "libraries": libraries, "compared_with": "x", "reading": ["?", False], "prompts": "chat"}
    assert differences(asked, here) == [
        "the weights of the ARM",
        f"torch: 1.0 instead of {asked['libraries']['torch']}",
        "the pair's setting prompts",
        "the pair's mask token or shift",
    ]
