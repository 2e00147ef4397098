"""Which GPUs each worker process sees, and how many a job takes."""

from __future__ import annotations

import threading

import pytest

from engine.errors import Cancelled
from engine.models.pairs import pair_named
from engine.runs import device_plan
from engine.runs.device_plan import GIB, gpus_needed, visible_indices
from engine.runs.gpu_slots import VISIBLE, Slot, environments_here, gpus_of, slots, together
from engine.runs.lifecycle import ignore
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from engine.runs.steps import Step


def test_each_process_sees_one_gpu_by_the_name_that_it_has() -> None:
    assert slots(0, None) == slots(1, None) == slots(1, "GPU-3f") == [{}]
    assert slots(3, None) == [{VISIBLE: "0"}, {VISIBLE: "1"}, {VISIBLE: "2"}]
    assert slots(2, "2, 0") == [{VISIBLE: "2"}, {VISIBLE: "0"}]
    assert slots(2, "GPU-3f,GPU-aa,99") == [{VISIBLE: "GPU-3f"}, {VISIBLE: "GPU-aa"}]
    assert together(slots(3, "5,GPU-aa,1")[:2]) == {VISIBLE: "5,GPU-aa"}


def test_visible_gpus_are_those_that_cuda_would_take() -> None:
    uuids = ["GPU-3f00", "GPU-3f11", "GPU-aa22"]
    assert visible_indices(uuids, None) == [0, 1, 2]
    assert visible_indices(uuids, "2, 0") == [2, 0]
    assert visible_indices(uuids, "GPU-aa,1") == [2, 1]
    assert visible_indices(uuids, "1,7,0") == [1]  # what follows one that is not there is not seen
    assert visible_indices(uuids, "GPU-3f") == []  # of two
    assert visible_indices(uuids, "") == visible_indices(uuids, "-1") == []
    assert visible_indices([], "0") == []


@pytest.mark.usefixtures("workspace")
def test_a_job_takes_as_few_gpus_as_hold_its_largest_model(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Step(resolve(RunSpec(n=4)), "circuit")]
    needs = {"float32": 5, "bfloat16": 1}
    monkeypatch.setattr(device_plan, "gpus_needed", lambda shape, dtype, memory: needs[dtype] if memory == GIB else 1)
    for gpus, taken in ((0, 1), (1, 1), (3, 3), (8, 5)):
        monkeypatch.setattr(device_plan, "_gpus", lambda gpus=gpus: ((GIB, GIB),) * gpus)
        assert gpus_of(steps) == taken
    assert gpus_of([]) == 1
    monkeypatch.setattr(device_plan, "shape_of", lambda pair: None)
    assert gpus_of(steps) == 1


def test_the_gpus_here_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_plan, "_gpus", lambda: ((GIB, GIB),) * 2)
    monkeypatch.setenv(VISIBLE, "6,3")
    assert environments_here() == [{VISIBLE: "6"}, {VISIBLE: "3"}]
    monkeypatch.setattr(device_plan, "_gpus", lambda: ())
    assert environments_here() == [{}]


def test_a_model_of_7b_takes_what_its_weights_and_work_need() -> None:
    shape = device_plan.shape_of(pair_named("dream"))
    assert shape is not None
    assert gpus_needed(shape, "bfloat16", 80 * GIB) == gpus_needed(shape, "float32", 80 * GIB) == 1
    assert gpus_needed(shape, "float32", 24 * GIB) == 2
    assert gpus_needed(shape, "bfloat16", 0) == 0
    for dtype in ("bfloat16", "float32"):
        needed = device_plan.weight_bytes(shape, dtype) + device_plan.work_bytes(shape, dtype, "cuda")
        count = gpus_needed(shape, dtype, 8 * GIB)
        assert needed <= device_plan.USABLE * count * 8 * GIB and needed > device_plan.USABLE * (count - 1) * 8 * GIB


@pytest.mark.usefixtures("workspace")
def test_a_slot_starts_no_process_for_what_was_cancelled() -> None:
    cancel = threading.Event()
    cancel.set()
    slot = Slot("GPU 0", "tests.fakes:tiny_compute", 1.0, {VISIBLE: "0"})
    with pytest.raises(Cancelled):
        slot.compute(Step(resolve(RunSpec(n=4)), "circuit"), ignore, cancel)
    slot.release()
    slot.close()
    assert slot._worker._process is None
