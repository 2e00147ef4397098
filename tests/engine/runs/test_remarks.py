"""Runs whose numbers say little say so: zeros, rounding errors, one example, clean and corrupted runs alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.attribution.edge_scores import Attribution, attribute
from engine.attribution.sites import AttributionInput
from engine.errors import UserError
from engine.models.model import Model
from engine.runs.compute_circuit import _part_scores
from engine.runs.remarks import refuse_unranked, remarks, rounding_level
from engine.runs.spec import METHODS, METRICS, RunSpec
from tests import tiny

SPEC = RunSpec(pair="small", task="ioi")


def swapped(row: AttributionInput, example: int) -> AttributionInput:
    """The same prompts the other way round, as contradictory rows have them."""
    sites = tuple(replace(site, right=site.wrong, wrong=site.right) for site in row.sites)
    return replace(row, example=example, sites=sites)


def remark_text(
    model: Model, rows: list[AttributionInput], n: int, metric: str = "logit_diff", method: str = "eap-ig"
) -> str:
    attribution_of_rows = attribute(model, rows, n, method, 5, metric)
    parts = _part_scores(attribution_of_rows, n)
    refuse_unranked(SPEC, model, rows, parts["total"])
    return "\n".join(remarks(attribution_of_rows, parts, rows))


def attribution(scores: Tensor, clean: list[float], corrupt: list[float]) -> Attribution:
    """Of one part; `scores` [example, source, destination]."""
    return Attribution(
        {"site-00": scores.sum(0)}, scores, torch.zeros(2, 1, 1), torch.tensor(clean), torch.tensor(corrupt)
    )


@pytest.fixture(scope="module", params=[True, False], ids=["arm", "mdm"])
def model(request: pytest.FixtureRequest) -> Model:
    return tiny.model("llama", causal=request.param)


def test_nothing_is_said_of_a_sound_run(model: Model) -> None:
    assert remark_text(model, tiny.rows_of(model, tiny.random_examples(4)), 4) == ""


def test_one_example_is_said_to_be_one(model: Model) -> None:
    text = remark_text(model, tiny.rows_of(model, tiny.random_examples(1)), 1)
    assert text == "It is of one example only: there are no halves to compare, and no intervals."


def test_inputs_that_are_the_same_rank_nothing(model: Model) -> None:
    rows = [replace(row, corrupt=row.clean) for row in tiny.rows_of(model, tiny.random_examples(2))]
    with pytest.raises(UserError) as error:
        remark_text(model, rows, 2)
    message = str(error.value)
    assert message.startswith("All edge scores of the MDM of the pair small on ioi are exactly zero")
    assert "clean and corrupted inputs are the same" in message and "Nothing is stored." in message


def test_some_inputs_that_are_the_same_are_counted(model: Model) -> None:
    rows = tiny.rows_of(model, tiny.random_examples(3))
    rows[0] = replace(rows[0], corrupt=rows[0].clean)
    assert f"1 of its {len(rows)} inputs are the same in the clean and the corrupted run" in remark_text(model, rows, 3)


def test_an_unembedding_of_zeros_is_named(model: Model) -> None:
    model = tiny.model("llama", model.causal)
    model.plain.lm_head.weight.zero_()  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"Its weight lm_head\.weight is all zeros"):
        remark_text(model, tiny.rows_of(model, tiny.random_examples(2)), 2)


def test_a_metric_that_depends_on_nothing_is_said_to(model: Model) -> None:
    rows = tiny.rows_of(model, tiny.random_examples(2))
    rows = [replace(row, sites=tuple(replace(site, wrong=site.right) for site in row.sites)) for row in rows]
    with pytest.raises(UserError, match="Its metric does not depend on what differs"):
        remark_text(model, rows, 2)


def test_contradictory_examples_cancel(model: Model) -> None:
    rows = tiny.rows_of(model, tiny.random_examples(1))
    rows += [swapped(row, 1) for row in rows]
    result = attribute(model, rows, 2)
    if not result.total.any():
        with pytest.raises(UserError, match="exactly zero"):
            remark_text(model, rows, 2)
        return
    text = remark_text(model, rows, 2)
    assert "cancel each other down to rounding errors" in text and "nearly the same on clean and on corrupted" in text


@pytest.mark.parametrize("metric", METRICS)
def test_rounding_errors_are_told_from_scores(model: Model, metric: str) -> None:
    """The gradient of kl at the clean point is zero: what `eap` makes of it is the rounding of that zero."""
    rows = tiny.rows_of(model, tiny.random_examples(4))
    sound = remark_text(model, rows, 4, metric)
    assert "no larger than rounding errors" not in sound
    result = attribute(model, rows, 4, "eap", 5, metric)
    text = "\n".join(remarks(result, _part_scores(result, 4), rows))
    assert ("no larger than rounding errors may be" in text) == (metric == "kl")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("points", [1, 5])
def test_only_the_metric_that_peaks_at_the_only_point_is_refused(
    model: Model, method: str, metric: str, points: int
) -> None:
    if method in ("eap", "relp") and metric == "kl":
        with pytest.raises(UserError, match=r"exactly zero.*Choose the method eap-ig, or the metric logit_diff"):
            RunSpec(method=method, metric=metric, points=points)
        return
    RunSpec(method=method, metric=metric, points=points)
    result = attribute(model, tiny.rows_of(model, tiny.random_examples(2)), 2, method, points, metric)
    assert float(result.total.abs().max()) / 2 > rounding_level(result)


@pytest.mark.parametrize(
    ("clean", "corrupt", "close"),
    [
        ([3.0, 4.0], [-3.0, -4.0], False),
        ([3.0, 5.0, 1.0], [3.05, 5.01, 1.0], True),  # 0.02 apart, spread 1.6
        ([3.0, 3.0], [2.9, 2.9], False),  # little, but nothing varies
        ([3.0], [3.0], True),
        ([3.0], [2.9], False),
        ([100.0, -100.0], [-99.0, 95.0], True),
        ([0.0, 0.0], [0.0, 0.0], True),
    ],
)
def test_metrics_that_are_close_are_said_to_be(clean: list[float], corrupt: list[float], close: bool) -> None:
    scores = torch.ones(len(clean), 2, 3)
    result = attribution(scores, clean, corrupt)
    text = "\n".join(remarks(result, {"total": scores.mean(0)}, []))
    assert ("hardly a difference that a circuit could explain" in text) == close


def test_parts_without_an_order_are_named() -> None:
    scores = torch.ones(2, 2, 3)
    nothing = torch.zeros(2, 3)
    parts = {"total": scores.mean(0), "half-a": scores[0], "half-b": nothing}
    parts |= {f"step-{step:02d}": 1e-9 * scores[0] if step else scores[0] for step in range(8)}
    text = "\n".join(remarks(attribution(scores, [3.0, 4.0], [0.0, 0.0]), parts, []))
    assert text == (
        "Scores of these parts are zero or no larger than rounding errors, so that their order means nothing: half-b, "
        "step-01, step-02, step-03, step-04 and 3 more."
    )


def test_remarks_are_short_enough_for_a_bundle() -> None:
    scores = torch.full((1, 2, 3), 1e-12)
    parts = {"total": scores[0], **{f"step-{step:04d}": torch.zeros(2, 3) for step in range(900)}}
    sentences = remarks(attribution(scores, [1e30], [1e30]), parts, [])
    assert len(sentences) >= 3 and all(len(remark) < 500 for remark in sentences)
