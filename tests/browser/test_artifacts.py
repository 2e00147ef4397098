"""Runs that are computed while somebody looks: by a job of the app, by a terminal, or deleted in another tab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine.schema.artifacts import KINDS
from engine.training.train import TrainSpec
from tests.browser.workbench import Workbench
from tests.fakes import register_fake_pair
from tests.small_pair import PAIR, train_pair
from tools.browser import ROOT, running_app, wait_until_still

QUICK = TrainSpec(
    arm_steps=2, mdm_steps=2, batch=8, pool=50, layers=2, d_model=16, d_mlp=24, heads=2, kv_heads=1, measured=4,
    watched=4,
)  # fmt: skip
COMPUTES = 240_000  # ms: a real computation on a busy machine
GATED = """
from engine.runs.jobs import JobQueue
JobQueue.__init__.__defaults__ = ("tests.fakes:gated_compute", 2.0)
"""
SEED = """
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from tests.fakes import fake_compute
for model in ("arm", "mdm"):
    lifecycle.run(RunSpec(model=model), compute=fake_compute)
"""
DELETE = """
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
stored.delete(lifecycle.find(RunSpec()).key)
"""


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    folder = tmp_path / "gates"
    folder.mkdir()
    return folder


@pytest.fixture
def gated_app(gates: Path, tmp_path: Path) -> Iterator[str]:
    """An app with an empty cache, whose queue computes an artifact when there is a file MODEL-KIND among the gates."""
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(GATED)
    environment = {
        "CIRCUITS_CACHE": str(tmp_path / "cache"),
        "CIRCUITS_PAIRS": str(register_fake_pair(tmp_path, steps=())),
        "FAKE_GATES": str(gates),
        "PYTHONPATH": f"{start}{os.pathsep}{ROOT}",
    }
    with running_app(environment) as address:
        yield address


def test_a_page_fills_in_by_itself_while_a_job_computes(page: Page, gated_app: str, gates: Path) -> None:
    def open_gates(*names: str) -> None:
        for name in names:
            (gates / name).touch()

    page.goto(f"{gated_app}circuits?task=countdown&node=a2.h3")
    wait_until_still(page)
    page.get_by_role("button", name="Compute the ARM, the MDM and the control").click()
    expect(page.get_by_text("The circuits appear here when they are computed.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"circuit of the ARM, 1 of \d+"))).to_be_visible()

    open_gates("arm-circuit", "mdm-circuit")
    bench = Workbench(page)
    bench.has_k(200)
    lens = page.get_by_text("Still being computed: the logit lens of the ARM and the MDM")
    expect(lens).to_be_visible()
    assert bench.tile("Problems solved")[0] == "not yet"
    bench.root.evaluate("component => { window.componentOfBefore = component }")

    open_gates("mdm-ability", "mdm-lens")
    expect(page.get_by_text("Still being computed: the logit lens of the ARM.")).to_be_visible()
    open_gates("mdm-activity", "mdm-weights", "arm-ability", "arm-lens")
    expect(page.get_by_text("Example and predicted token")).to_be_visible()
    page.get_by_role("radio", name="Attention").click()
    expect(page.get_by_text("Still being computed: the activations of the ARM")).to_be_visible()
    open_gates("arm-activity", "arm-weights")
    expect(page.get_by_text("Standard scores of this head")).to_be_visible()
    bench.until(lambda: re.fullmatch(r"\d+% / \d+%", bench.tile("Problems solved")[0]) is not None)
    expect(page.get_by_text("Still being computed")).to_have_count(0)
    assert page.evaluate("window.componentOfBefore.isConnected")  # nothing that was there was drawn anew
    open_gates(*(f"control-{kind}" for kind in KINDS))
    bench.until(lambda: bench.tile("ARM with control")[1].startswith("MDM with it"))


def test_what_a_terminal_computes_appears_without_a_restart(page: Page, tmp_path: Path) -> None:
    folder = train_pair(QUICK, tmp_path)
    (folder / "pairs.toml").write_text(PAIR.replace("[small]", "[embedded]"))
    environment = {"CIRCUITS_CACHE": str(tmp_path / "cache"), "CIRCUITS_PAIRS": str(folder / "pairs.toml")}
    with running_app(environment) as address:
        page.goto(f"{address}circuits?task=countdown&n=4&k=20")
        wait_until_still(page)
        expect(page.get_by_text("Not computed yet with these settings: the ARM and the MDM")).to_be_visible()
        command = ["-m", "engine", "compare", "--pair", "embedded", "--task", "countdown", "--n", "4", "--k", "20"]
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        bench = Workbench(page)
        expect(bench.root).to_have_attribute("data-k", "20", timeout=COMPUTES)
        bench.until(lambda: bench.tile("ARM with control")[0] != "none")
        assert bench.tile("Overlap")[0] in done.stdout
        expect(page.get_by_text("Not computed yet")).to_have_count(0)


@pytest.mark.parametrize("clicks", [True, False])
def test_a_run_that_another_tab_deleted_is_a_sentence(page: Page, tmp_path: Path, clicks: bool) -> None:
    environment = {
        "CIRCUITS_CACHE": str(tmp_path / "cache"),
        "CIRCUITS_PAIRS": str(register_fake_pair(tmp_path, steps=())),
    }

    def elsewhere(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **environment}, check=True)

    elsewhere(SEED)
    with running_app(environment) as address:
        page.goto(f"{address}circuits?task=ioi")
        wait_until_still(page)
        elsewhere(DELETE)
        if clicks:  # what was read before stays to be seen, and nothing breaks
            _choose_node(page)
            expect(page.get_by_role("heading", name="Head 3 of layer 2 (a2.h3)")).to_be_visible()
            wait_until_still(page)
            expect(page.get_by_test_id("stException")).to_have_count(0)
        page.reload()
        there = page.get_by_text("There is no run with the key")
        expect(there.or_(page.get_by_text("Not computed yet with these settings: the MDM")).first).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)


def _choose_node(page: Page) -> None:
    Workbench(page).part("node").select_option("a2.h3")
