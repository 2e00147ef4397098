"""The section of sweeps on the overview: shown where a sweep was kept, with its numbers, files and links."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.runs import evidence
from engine.runs.spec import RunSpec
from engine.sweeps.saved import save
from engine.sweeps.sweep_file import Sweep
from pages.panels import sweeps as panel
from pages.shared import state
from tests.fakes import fake_compute
from tests.pages.test_pages import app, figures, texts

GRID = Sweep("grid", tasks=("ioi", "countdown"), models=("arm", "mdm", "control", "steps"), seeds=(0, 1))


def heat_map(page: AppTest) -> dict[str, Any]:
    """The figure of the section."""
    (spec,) = (spec for spec in figures(page) if "Sweep " in spec)
    return dict(json.loads(spec))


def numbers(page: AppTest) -> list[list[str]]:
    return [list(row) for row in heat_map(page)["data"][0]["text"]]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_without_a_sweep_there_is_no_section() -> None:
    page = app()
    assert "Sweeps" not in [header.value for header in page.header]
    assert state.SWEEP not in [box.key for box in page.selectbox]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_sweep_is_shown_by_seed_and_by_checkpoint() -> None:
    save(GRID)
    page = app()
    assert "Sweeps" in [header.value for header in page.header]
    assert "12 of 20 runs are not computed yet." in texts(page)
    by_seed = heat_map(page)
    assert by_seed["layout"]["xaxis"]["ticktext"] == ["0", "1"]
    assert all(row[0] and not row[1] for row in numbers(page))
    assert "– not computed." in texts(page)  # noqa: RUF001
    page.radio(key=state.SWEEP_COLUMNS).set_value("checkpoints").run()
    assert heat_map(page)["layout"]["xaxis"]["ticktext"] == ["control", "0", "100", "MDM"]
    assert [[bool(text) for text in row] for row in numbers(page)] == [[True] * 4, [True, False, False, True]]
    assert "Each is the mean over seeds." in texts(page)
    assert page.query_params["sweep_columns"] == "checkpoints"


@pytest.mark.usefixtures("seeded", "queue_of")
def test_numbers_are_those_of_the_overview_at_every_k() -> None:
    save(GRID)
    for k in (50, 200, 1000):
        page = app(k=str(k), sweep_k=str(k))
        table = next(frame.value for frame in page.dataframe if "Overlap" in frame.value.columns)
        told = dict(zip(table["Task"], table["Overlap"], strict=True))
        assert [row[0] for row in numbers(page)] == [
            f"{told[task]:.2f}" for task in ("Indirect object identification", "COUNTDOWN")
        ]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_chance_is_told_of_overlaps_at_every_k() -> None:
    save(GRID)
    for k, chance in ((50, 50 / (2 * 3628 - 50)), (1000, 1000 / (2 * 3628 - 1000))):
        assert f"Two random circuits of this size overlap by {chance:.3f}." in texts(app(sweep_k=str(k)))
    assert "random circuits" not in texts(app(sweep_shown="accuracy"))


@pytest.mark.usefixtures("seeded", "queue_of")
def test_it_is_told_where_f_is_that_of_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    save(GRID)
    evidence.compute([RunSpec(task="countdown")], ["faithfulness"], compute=fake_compute)
    assert "Not every circuit was run" not in texts(app(sweep_shown="faithfulness"))
    read = panel._rows

    def nearest(*args: Any) -> list[dict[str, Any]]:
        return [{**row, "f_k": 150 if row["f_k"] else None} for row in read(*args)]

    monkeypatch.setattr(panel, "_rows", nearest)
    told = "Not every circuit was run at K = 200: these are measured at the nearest K, 150."
    assert told in texts(app(sweep_shown="faithfulness")) and told not in texts(app())


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_control_and_step_0_are_told_to_be_the_same_where_both_are_shown() -> None:
    save(GRID)
    assert panel.STEP_0 in texts(app(sweep_columns="checkpoints"))
    assert panel.STEP_0 not in texts(app())
    save(Sweep("grid", tasks=("ioi",), models=("arm", "mdm", "steps")))
    assert panel.STEP_0 not in texts(app(sweep_columns="checkpoints"))


@pytest.mark.usefixtures("seeded", "queue_of")
def test_another_model_and_other_numbers_can_be_chosen() -> None:
    save(GRID)
    page = app(sweep_model="control", sweep_shown="accuracy")
    assert page.selectbox(key=state.SWEEP_MODEL).value == "control"
    assert numbers(page)[0][0] not in ("", numbers(app())[0][0])
    page = app(sweep_shown="faithfulness")
    assert numbers(page) == [["", ""], ["", ""]]
    evidence.compute([RunSpec(task="countdown")], ["faithfulness"], compute=fake_compute)
    after = numbers(page.run())
    assert after[0] == ["", ""] and after[1][0]


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize(
    ("cell", "address"),
    [
        ("1,0", {"pair": "embedded", "task": "countdown", "step": "control", "k": "200"}),
        ("0,2", {"pair": "embedded", "task": "ioi", "step": "100", "k": "200"}),
        ("0,3", {"pair": "embedded", "task": "ioi", "k": "200"}),
    ],
)
def test_a_click_opens_the_comparison(cell: str, address: dict[str, str]) -> None:
    save(GRID)
    page = app(sweep_columns="checkpoints", seed="7")
    page.session_state[panel.CLICKED] = cell
    page.run()
    assert not page.exception
    assert page.title[0].value != "Does a diffusion model keep its old circuits?"
    there = {key: page.query_params[key] for key in ("pair", "task", "step", "k") if key in page.query_params}
    assert there == address and "seed" not in page.query_params
    assert page.query_params["sweep_columns"] == "checkpoints"  # so that Back shows the same


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_sweep_without_choices_has_no_widgets_for_them() -> None:
    save(Sweep("small", tasks=("ioi",)))
    page = app()
    keys = [box.key for box in page.selectbox] + [radio.key for radio in page.radio]
    assert state.SWEEP in keys and state.SWEEP_COLUMNS not in keys and state.SWEEP_MODEL not in keys
    assert "are not computed yet" not in texts(page)


@pytest.mark.usefixtures("seeded", "queue_of")
@pytest.mark.parametrize(
    ("sweep", "sentence"),
    [
        (Sweep("alone", models=("arm",)), "The sweep alone compares nothing"),
        (Sweep("gone", pairs=("nobody",)), "no pair called 'nobody'"),
        (Sweep("later", seeds=(8, 9)), "4 of 4 runs are not computed yet."),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(sweep: Sweep, sentence: str) -> None:
    save(sweep)
    page = app()
    assert sentence in texts(page)
    assert len(page.header) > 2  # the page goes on below


@pytest.mark.usefixtures("seeded", "queue_of")
def test_groups_are_read_once_and_again_when_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = panel.rows_of

    def rows_of(group: Any, *more: Any, **how: Any) -> Any:
        read.append(group.arm.spec.task)
        return plain(group, *more, **how)

    monkeypatch.setattr(panel, "rows_of", rows_of)
    panel.st.cache_data.clear()
    save(GRID)
    app()
    assert sorted(read) == ["countdown", "ioi"]
    app(sweep_k="50", sweep_shown="accuracy")
    assert len(read) == 2
    evidence.compute([RunSpec(task="ioi")], ["faithfulness"], compute=fake_compute)
    app()
    assert read[2:] == ["ioi"]
