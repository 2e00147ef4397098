"""Pairs whose weights are not here: what a bundle brought is shown on every page, and nothing offers to compute it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine import settings
from engine.exchange import bundle
from engine.models import pairs
from engine.runs import cache_connection, device_plan, evidence, execution, lifecycle, read, stored
from engine.runs.folder_pair import pair_of_two
from engine.runs.jobs import JobQueue
from engine.runs.records import Progress, RunTables
from engine.runs.spec import RunSpec
from pages.shared import state
from tests.fakes import REMARK, by_kind, fake_compute, fake_model, fake_run, register_fake_pair
from tests.pages.conftest import linked_copy
from tests.pages.payloads import overlap, payload_of
from tests.pages.test_pages import app, figures, texts

IOI = RunSpec(pair="mine", dtype="bfloat16")
COUNTDOWN = replace(IOI, task="countdown", n=8, seed=3)


def brought_run(spec: RunSpec, on_progress: Callable[[Progress], None]) -> RunTables:
    """`fake_run`, where the ARM cannot do COUNTDOWN, and something is to be said of its run."""
    made = fake_run(spec, on_progress)
    if not (spec.is_arm and spec.task == "countdown"):
        return made
    return replace(made, meta=replace(made.meta, remarks=(REMARK,)), accuracy=replace(made.accuracy, accuracy=0.02))


@pytest.fixture(scope="session")
def brought_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a pair in bfloat16: IOI with a run's defaults, COUNTDOWN with other settings."""
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(there))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        for spec in (IOI, COUNTDOWN):
            for model in ("arm", "mdm"):
                lifecycle.run(replace(spec, model=model), compute=by_kind(brought_run))
        bundle.write(there / "mine.circuits.zip", "mine")
        cache_connection.close()
    return there / "mine.circuits.zip"


@pytest.fixture(scope="module")
def brought_folder(brought_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache into which the bundle is imported, once, where nobody has the pair's models."""
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(here))
        patch.delenv("CIRCUITS_PAIRS", raising=False)
        bundle.take(brought_file)
        cache_connection.close()
    return here


@pytest.fixture
def brought(brought_folder: Path, tmp_path: Path, queue_of: Callable[[str], JobQueue]) -> None:
    """The bundle is imported; the test's cache is a copy of its own."""
    linked_copy(brought_folder, tmp_path)


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize(
    ("page", "choice"),
    [
        ("circuits", {"node": "a2.h3"}),
        ("evidence", {}),
        ("activations", {"layer": "2"}),
        ("neurons", {"layer": "1", "neuron": "3"}),
        ("denoising", {}),
    ],
)
def test_a_page_shows_a_pair_that_is_not_here(page: str, choice: dict[str, str]) -> None:
    opened = app(page, pair="mine", task="ioi", **choice)
    assert not opened.error
    assert figures(opened)
    assert "imported on" in texts(opened) and "Its weights are not here" in texts(opened)
    assert not [button for button in opened.button if "Compute" in button.label and not button.disabled]


@pytest.mark.usefixtures("brought")
def test_evidence_of_a_pair_that_is_not_here_cannot_be_computed_and_the_page_says_why() -> None:
    page = app("circuits", pair="mine", task="ioi", node="a2.h3")
    assert payload_of(page)[0]["faithful"]["note"] == "How faithful these circuits are: not measured yet."
    assert "Not computed yet: the knockouts of the ARM and the MDM." in texts(page)
    button = page.button(key="compute knockouts")
    assert button.disabled and button.proto.help


@pytest.mark.usefixtures("brought")
def test_the_overview_shows_what_was_brought_and_computes_only_what_can_be() -> None:
    page = app()
    headers = [header.value for header in page.header]
    assert headers[:2] == ["Fake pair", "Embedded pair"]
    table = page.dataframe[0].value
    assert list(table["Task"]) == ["Indirect object identification", "COUNTDOWN (n = 8, seed = 3)"]
    text = texts(page)
    assert "imported on" in text and "**COUNTDOWN (n = 8, seed = 3): the ARM cannot do this task.**" in text
    assert "Indirect object identification: the" not in text
    assert page.button(key="compute missing").label == "Compute what is missing (12 runs)"
    assert "12 runs of 14 not computed yet" in text


@pytest.mark.usefixtures("brought")
def test_the_overview_leads_to_the_settings_that_are_stored() -> None:
    links = {
        link.proto.label.replace("\\", ""): link.proto.query_string
        for link in app().get("page_link")
        if "mine" in link.proto.query_string
    }
    assert "pair=mine&task=ioi" in links.pop("Evidence: are these circuits true, do the claims hold?")
    assert set(links) == {"Indirect object identification", "COUNTDOWN (n = 8, seed = 3)"}
    wanted = {"pair=mine", "task=countdown", "n=8", "seed=3", "dtype=bfloat16"}
    assert wanted <= set(links["COUNTDOWN (n = 8, seed = 3)"].split("&"))
    assert not any(part.startswith("n=") for part in links["Indirect object identification"].split("&"))


@pytest.mark.usefixtures("brought")
def test_other_settings_that_are_stored_are_one_click_away() -> None:
    page = app("circuits", pair="mine", task="countdown")
    assert not page.metric
    button = page.button(key="stored 0")
    assert button.label.replace("\\", "") == "n = 8, seed = 3"
    button.click().run()
    assert not page.exception
    keys = [lifecycle.find(replace(COUNTDOWN, model=model)).key for model in ("arm", "mdm")]
    assert overlap(page) == pytest.approx(read.overlap(*keys, 200), abs=5e-4)
    assert "The ARM cannot do this task." in texts(page) and "The MDM cannot" not in texts(page)
    assert f"**ARM:** {REMARK}" in texts(page) and "**MDM:**" not in texts(page)


@pytest.mark.usefixtures("brought")
def test_the_overview_says_what_is_to_be_said_of_a_run() -> None:
    assert f"COUNTDOWN (n = 8, seed = 3), ARM:** {REMARK}" in texts(app())


@pytest.mark.usefixtures("brought")
def test_what_cannot_be_computed_is_not_offered() -> None:
    page = app("circuits", pair="mine", task="sudoku")
    assert page.button(key="compute 0").disabled
    assert "There is no model at" in texts(page)
    assert not page.error


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_precision_of_the_stored_runs_is_the_one_that_is_asked_for(brought_file: Path) -> None:
    bundle.take(brought_file)
    page = app("circuits", pair="mine", task="ioi", k="50")
    assert page.selectbox(key=state.DTYPE).value == state.AUTO
    assert "bfloat16 on cpu" in texts(page)
    page.selectbox(key=state.DTYPE).set_value("float32").run()
    assert not page.metric and page.button(key="stored 0").label == "bfloat16"
    page.selectbox(key=state.DTYPE).set_value(state.AUTO)
    page.selectbox(key=state.PAIR).set_value("embedded").run()
    assert "float32 on cpu" in texts(page) and "imported" not in texts(page)


@pytest.mark.usefixtures("brought")
def test_own_prompts_need_the_tokenizer() -> None:
    page = app("prompts", pair="mine")
    assert "There is no model at" in texts(page)
    assert not page.get("data_editor")


@pytest.mark.usefixtures("brought")
def test_runs_tell_where_they_come_from_and_whether_the_model_can_do_the_task() -> None:
    table = app("runs").dataframe[0].value
    assert all(source.startswith("import 20") for source in table["From"])
    able = dict(zip(zip(table["Task"], table["Model"], strict=True), table["Can do it"], strict=True))
    assert able["COUNTDOWN", "arm"] == "no"
    assert {value for key, value in able.items() if key != ("COUNTDOWN", "arm")} == {"yes"}
    assert len(able) == 4


@pytest.mark.usefixtures("queue_of")
def test_a_bundle_is_uploaded_on_the_runs_page(brought_file: Path) -> None:
    page = app("runs")
    page.file_uploader[0].set_value(("mine.circuits.zip", brought_file.read_bytes(), "application/octet-stream")).run()
    assert not page.exception
    assert page.success[0].value.replace("\\", "").startswith("4 runs of the pair mine added (18 artifacts, ")
    assert len(stored.list_runs()) == 4
    page.file_uploader[0].set_value(("x.circuits.zip", b"coffee", "application/octet-stream")).run()
    assert "This file cannot be imported: it is not a bundle" in texts(page)
    assert str(settings.scratch_dir()) not in texts(page), "where an upload lies tells its sender nothing"


@pytest.mark.usefixtures("pair", "queue_of")
def test_a_pair_of_two_folders_stands_beside_the_others(pair_file: Path) -> None:
    folders = [str(pair_file.parent / model) for model in ("arm", "mdm")]
    kept = pairs.keep(pair_of_two(folders[0], folders[1], "<mask>"))
    page = app()
    assert [header.value for header in page.header][:2] == ["Fake pair", "arm / mdm"]
    assert page.button(key="compute missing").label == "Compute what is missing (24 runs)"
    opened = app("circuits", pair=kept.name)
    assert not opened.button(key="compute 0").disabled


@pytest.mark.usefixtures("queue_of")
def test_a_pair_that_does_not_fit_says_how_large_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"num_hidden_layers": 28, "num_attention_heads": 28, "hidden_size": 3584, "vocab_size": 152064}
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "models", "large")))
    for model in ("arm", "mdm"):
        fake_model(tmp_path / "models" / model, model, **shape)
    monkeypatch.setattr(device_plan, "devices", lambda: [device_plan.Device("cpu", 2**30, 2**30)])
    (large,) = [expander for expander in app().expander if expander.label == "Fake pair"]
    assert "but there are 1.0 GiB on this machine" in large.markdown[0].value.replace("\\", "")
    page = app("circuits", pair="large")
    assert page.button(key="compute 0").disabled and "but there are 1.0 GiB" in texts(page)
    assert "Fake pair" not in app("runs").selectbox(key="start pair").options


@pytest.mark.usefixtures("pair", "queue_of")
def test_only_pairs_that_are_here_can_be_started() -> None:
    page = app("runs")
    assert page.selectbox(key="start pair").options == ["Fake pair"]
    assert "9 more pairs cannot be computed here" in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_runs_of_a_pair_can_be_downloaded_as_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = app("runs")
    assert page.get("download_button")[0].proto.label == "Download 8 runs"
    assert "of evidence of these circuits" not in texts(page)
    steps = evidence.plan([RunSpec(model="mdm", task="countdown")], ["knockouts", "audit"])
    execution.carry_out(steps, fake_compute, lifecycle.ignore)
    page.selectbox(key="bundle task").set_value("countdown").run()
    assert page.get("download_button")[0].proto.label == "Download 3 runs"
    assert "With 2 pieces of evidence of these circuits." in texts(page)
    file = tmp_path / "b.circuits.zip"
    with bundle.packed("embedded", "countdown") as content:
        file.write_bytes(content.read())
    cache_connection.close()
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "other"))
    assert bundle.take(file).added == 3


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize(
    ("field", "other", "warning"),
    [
        ("method_version", 1, "computed by different versions of the method"),
        ("weights", "another", "The MDM was compared with another ARM than this one"),
    ],
)
def test_runs_that_do_not_belong_together_are_marked(field: str, other: object, warning: str) -> None:
    assert warning not in texts(app("circuits", pair="mine", task="ioi"))
    arm = lifecycle.find(replace(IOI, model="arm"))
    file = cache_connection.store().record_file_of(arm.key)
    record = json.loads(file.read_text())
    record["made_with"][field] = other
    file.write_text(json.dumps(record))
    cache_connection.close()
    assert warning in texts(app("circuits", pair="mine", task="ioi"))
