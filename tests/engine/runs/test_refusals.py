"""A refusal names the model of a spec, and the weight at fault where one is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.attribution.soundness import Unsound
from engine.errors import UserError
from engine.runs.refusals import blamed, titled
from engine.runs.spec import RunSpec
from tests import tiny

SPEC = RunSpec(pair="small", task="ioi", n=2)


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("arm", "The ARM of the pair small"),
        ("mdm", "The MDM of the pair small"),
        ("control", "The step-0 control of the pair small"),
        ("step:1000", "The MDM after 1,000 steps of the pair small"),
    ],
)
def test_a_model_has_a_title(model: str, title: str) -> None:
    assert titled(replace(SPEC, model=model)) == title


def test_the_weight_at_fault_is_named() -> None:
    model = tiny.model("llama", causal=False)
    name, weight = list(model.plain.named_parameters())[-1]
    weight.data.view(-1)[0] = math.nan
    with pytest.raises(UserError) as error, blamed(SPEC, model):
        raise Unsound("its scores hold NaN")
    message = str(error.value)
    assert message.startswith("The MDM of the pair small gives no sound numbers: its scores hold NaN. ")
    assert f"Its weight {name} holds NaN" in message


def test_other_errors_stay_what_they_are() -> None:
    model = tiny.model("llama", causal=True)
    with pytest.raises(UserError, match=r"^another$"), blamed(SPEC, model):
        raise UserError("another")
    with blamed(SPEC, model):
        pass
