"""The settings of a head: a template and a number of steps are choices of the task, and of the address."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.runs import stored
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from pages.shared import availability, state
from pages.shared.jobs_panel import made
from pages.shared.state import Question
from tests.pages.payloads import overlap
from tests.pages.test_pages import TIMEOUT, app, texts
from tests.waiting import until

CHOSEN = {"task": "ioi", "n": "8", "template": "2", "denoising_steps": "1"}


def notes(page: AppTest) -> str:
    return "\n".join(str(warning.value) for warning in page.warning).replace("\\", "")


def test_a_question_and_its_address_say_the_same() -> None:
    usual, chosen = Question("embedded", "ioi"), Question("embedded", "ioi", template=2, denoising_steps=3)
    assert usual.address == {"pair": "embedded", "task": "ioi"}
    assert chosen.address == {**usual.address, "template": "2", "denoising_steps": "3"}
    assert Question.of(chosen.spec("mdm")) == chosen
    assert chosen.spec("arm") == RunSpec(model="arm", template=2)  # an ARM has no denoising steps
    assert availability.differences(usual, chosen) == "denoising steps = 3, template = 2"


@pytest.mark.usefixtures("pair")
def test_template_and_steps_are_computed_and_stay_in_the_address(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("circuits", **CHOSEN)
    page.button(key="compute 0").click().run()
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    specs = {run.spec.model: run.spec for run in stored.list_runs()}
    assert specs["arm"] == RunSpec(model="arm", n=8, template=2)
    assert specs["mdm"] == RunSpec(n=8, template=2, denoising_steps=1)
    (link,) = made(queue.jobs()[0])
    assert link[1] == {"pair": "embedded", **CHOSEN}
    page.run()
    assert overlap(page) > 0 and page.query_params == CHOSEN and not notes(page)
    assert page.selectbox(key=state.TEMPLATE).value == 2
    assert page.number_input(key=state.DENOISING_STEPS).value == 1
    page.selectbox(key=state.TEMPLATE).set_value(3).run()
    assert page.query_params == {**CHOSEN, "template": "3"}
    assert "Not computed yet with these settings: the ARM and the MDM" in texts(page)
    stored_with = [button for button in page.button if str(button.key).startswith("stored")]
    assert [button.label for button in stored_with] == ["template = 2"]
    stored_with[0].click().run()
    assert page.query_params == {**CHOSEN, "dtype": "float32"} and overlap(page) > 0
    page.switch_page("pages/activations.py").run()
    assert page.query_params == {**CHOSEN, "dtype": "float32"} and page.selectbox(key=state.TEMPLATE).value == 2


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_templates_offered_are_those_of_the_task() -> None:
    page = app("circuits", task="ioi")
    options = page.selectbox(key=state.TEMPLATE).options
    assert len(options) == 7 and options[0] == "the task's usual prompts"
    assert options[1].replace("\\", "").startswith("1: When {a} and {b} went to the {place} ,")
    other = app("circuits", task="countdown")
    assert other.selectbox(key=state.TEMPLATE).disabled
    assert other.selectbox(key=state.TEMPLATE).options == ["the task's usual prompts"]


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_template_that_the_task_does_not_have_says_so() -> None:
    for task, text, why in (
        ("countdown", "3", "There is only 0."),
        ("ioi", "9", "from 0 to 6"),
        ("ioi", "two", "from 0 to 100"),
    ):
        page = app("circuits", task=task, template=text)
        assert f"The link asked for the prompt template “{text}”" in notes(page) and why in notes(page)
        assert page.session_state[state.TEMPLATE] == 0 and overlap(page) > 0
    page = app("circuits", task="countdown", denoising_steps="1001")
    assert "the number of denoising steps “1001”" in notes(page)


@pytest.mark.usefixtures("pair")
def test_the_form_takes_template_and_steps_and_refuses_a_template_that_is_not_there(
    queue_of: Callable[[str], JobQueue],
) -> None:
    queue = queue_of("fake_compute")
    page = app("runs")
    page.number_input(key="start template").set_value(4)
    page.number_input(key="start denoising steps").set_value(1)
    page.button(key="start run").click().run()
    specs = queue.jobs()[0].specs
    assert {(spec.model, spec.template, spec.denoising_steps) for spec in specs} == {
        ("arm", 4, 0), ("mdm", 4, 1), ("control", 4, 1),
    }  # fmt: skip
    page.multiselect[0].set_value(["countdown"])
    page.button(key="start run").click().run()
    assert "COUNTDOWN has no templates to choose from" in texts(page)
    assert len(queue.jobs()) == 1
