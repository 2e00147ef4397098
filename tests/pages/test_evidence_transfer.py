"""Transfer on the evidence page: whose circuit does what in which model at K, and along the checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.runs import stored
from engine.runs.jobs import JobQueue
from engine.runs.spec import RunSpec
from tests.pages.evidence import ARM, measure
from tests.pages.evidence_page import labels, lines, rows, run_of, values
from tests.pages.test_pages import TIMEOUT, app, texts
from tests.waiting import until


@pytest.mark.usefixtures("measured")
def test_the_matrix_is_that_of_k_and_another_k_can_be_measured(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("fake_compute")
    page = app("evidence", task="ioi", k="275")
    assert "Measured at K = 200, the measured size nearest to K = 275." in texts(page)
    page.button(key="compute at k").click().run()
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    page.run()
    assert "Measured at K = 275." in texts(page) and "Measure at K = 275 (ARM, MDM)" not in labels(page)
    (other,) = rows(ARM, "faithfulness_at", "circuit_runs", 275, circuit="other", part="total")
    assert f"the MDM's 275 edges {other['f']:.2f} ({other['f_low']:.2f} to {other['f_high']:.2f})" in texts(page)


@pytest.mark.usefixtures("measured")
def test_checkpoints_are_drawn_in_their_order() -> None:
    measure(RunSpec(model="step:0"), RunSpec(model="step:100"), kinds=("faithfulness_at",), size=200)
    page = app("evidence", task="ioi", k="200")
    (row,) = rows(RunSpec(model="step:100"), "faithfulness_at", "circuit_runs", 200, circuit="other", part="total")
    drawn = lines(page, "ARM's circuit")["ARM's circuit"]
    assert list(drawn["customdata"]) == ["0", "100"] and values(drawn, "y")[1] == row["f"]
    page = app("evidence", task="ioi", k="200", step="100")
    assert "the final MDM's 200 edges" in texts(page) and "In the MDM after 100 steps" in texts(page)
    assert "They are about the final MDM, not the one chosen above." in texts(page)


@pytest.mark.usefixtures("measured")
def test_circuits_and_faithfulness_of_checkpoints_are_one_click_away(queue_of: Callable[[str], JobQueue]) -> None:
    queue, checkpoints = queue_of("fake_compute"), [RunSpec(model=f"step:{step}") for step in (0, 100)]
    stored.delete(run_of(checkpoints[1]).key)
    page = app("evidence", task="ioi", k="200")
    assert "Not computed yet: circuits and faithfulness at K = 200 of checkpoints." in texts(page)
    assert "Compute what is missing (2 checkpoints)" in labels(page)
    page.button(key="compute checkpoints").click().run()
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    assert set(queue.jobs()[0].specs) == set(checkpoints)
    for spec in checkpoints:
        assert rows(spec, "faithfulness_at", "circuit_runs", 200, circuit="other")
    page.run()
    assert list(lines(page, "ARM's circuit")["ARM's circuit"]["customdata"]) == ["0", "100"]
    assert "compute checkpoints" not in [button.key for button in page.button]
