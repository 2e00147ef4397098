"""What a worker needs, from the shape of its model: GPUs by memory, the rest of the plan in one group a shape."""

from __future__ import annotations

import pytest

from engine.models.pairs import pair_named
from engine.runs import device_plan
from engine.runs.device_plan import GIB, gpus_needed, shape_of, weight_bytes, work_bytes
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.sweeps import resources
from engine.sweeps.resources import Resources, groups, resources_of


@pytest.mark.parametrize(
    ("dtype", "gpu", "gpus"), [("bfloat16", 80, 1), ("float32", 80, 1), ("bfloat16", 24, 1), ("float32", 24, 2)]
)
def test_a_model_of_seven_billion_gets_as_many_gpus_as_hold_it(dtype: str, gpu: int, gpus: int) -> None:
    shape = shape_of(pair_named("dream"))
    assert shape
    needed = weight_bytes(shape, dtype) + work_bytes(shape, dtype, "cuda")
    count = resources_of("dream", dtype, gpu * GIB).gpus
    assert (count - 1) * device_plan.USABLE * gpu * GIB < needed <= count * device_plan.USABLE * gpu * GIB
    assert count == gpus_needed(shape, dtype, gpu * GIB) and count >= gpus


def test_without_gpus_a_worker_needs_memory_for_weights_and_work() -> None:
    shape = shape_of(pair_named("dream"))
    assert shape
    needed = weight_bytes(shape, "bfloat16") + work_bytes(shape, "bfloat16", "cpu")
    assert resources_of("dream", "bfloat16", 0) == Resources(0, needed)


@pytest.mark.usefixtures("workspace")
def test_steps_go_in_groups_the_largest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Step(resolve(RunSpec(n=4, model=model)), "circuit") for model in ("arm", "mdm")]
    assert groups(steps, 0) == [(resources_of("embedded", "float32", 0), steps)]
    by_model = {"arm": Resources(1, 10), "mdm": Resources(2, 5)}
    monkeypatch.setattr(resources, "resources_of", lambda pair, dtype, memory: by_model[next(order)])
    order = iter(("arm", "mdm"))
    assert groups(steps, 80) == [(Resources(2, 5), steps[1:]), (Resources(1, 10), steps[:1])]
