"""Overlaps under other settings and beside controls: read from what is stored, and only from that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.circuits import along_k, comparison
from engine.errors import UserError
from engine.runs import lifecycle, read, stability
from engine.runs.records import ArtifactTables, Run
from engine.runs.spec import RunSpec
from engine.runs.stability import DEFAULT, Overlaps
from engine.schema.artifacts import Kind
from tests.fakes import tiny_compute

SPEC = RunSpec(task="countdown", n=16)
K = 9


def stored(spec: RunSpec, *models: str) -> list[Run]:
    return [lifecycle.run(replace(spec, model=model), compute=tiny_compute) for model in models or ("arm", "mdm")]


def overlaps_of(a: Run, b: Run, k: int = K) -> Overlaps:
    tops = [read.edge_table(run.key, limit=k) for run in (a, b)]
    return Overlaps(read.overlap(a.key, b.key, k), along_k.core_overlap(a.meta.graph, *tops))


@pytest.mark.usefixtures("workspace")
def test_settings_change_one_thing_each_and_leave_the_arm_alone_where_it_has_no_such_thing() -> None:
    settings = stability.settings_of(SPEC)
    assert settings[0].kind == DEFAULT and settings[0].arm == replace(SPEC, model="arm")
    for setting in settings[1:]:
        for spec, own in ((setting.arm, settings[0].arm), (setting.mdm, settings[0].mdm)):
            changed = [name for name, value in spec.as_dict().items() if value != own.as_dict().get(name)]
            assert changed == [setting.kind.replace(" ", "_")] or (
                spec.is_arm and setting.kind in ("order", "denoising steps")
            )
    names = [setting.name for setting in settings]
    assert {"seed 1", "seed 2", "10 points", "20 points", "eap", "log_prob", "kl", "random"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.usefixtures("workspace")
def test_settings_that_a_question_cannot_have_are_left_out() -> None:
    of_kl = [setting.name for setting in stability.settings_of(replace(SPEC, metric="kl"))]
    assert "eap" not in of_kl and "eap-ig-midpoint" in of_kl
    of_eap = [setting.name for setting in stability.settings_of(replace(SPEC, method="eap", seed=1))]
    assert "kl" not in of_eap and "10 points" not in of_eap and "seed 0" in of_eap and "seed 1" not in of_eap
    of_ioi = stability.settings_of(RunSpec(task="ioi"))
    assert "order" not in {setting.kind for setting in of_ioi}
    of_template = [setting.name for setting in stability.settings_of(RunSpec(task="ioi", template=2))]
    assert {"template 1", "template 3", "template 4"} <= set(of_template) and "template 2" not in of_template


@pytest.mark.usefixtures("workspace")
def test_numbers_of_steps_are_those_below_the_answers_length_and_concern_the_mdm_alone() -> None:
    assert "denoising steps" not in {setting.kind for setting in stability.settings_of(SPEC)}  # the length is unknown
    arm, mdm = stored(SPEC)
    length = max(len(answer) for answer in read.table(mdm.key, "examples", ("answer",))["answer"].to_pylist())
    settings = [setting for setting in stability.settings_of(SPEC) if setting.kind == "denoising steps"]
    assert [setting.mdm.denoising_steps for setting in settings] == stability.fewer_steps(length) != []
    assert settings[0].name == "1 denoising step" and settings[1].name == "2 denoising steps"
    assert {setting.arm for setting in settings} == {replace(SPEC, model="arm")}
    (two,) = stored(replace(SPEC, denoising_steps=2), "mdm")
    row = stability.overlaps([stability.settings_of(SPEC)[0], settings[1]], [K])[1]
    assert (row.pair, row.arm, row.mdm) == (overlaps_of(arm, two), None, overlaps_of(two, mdm))


@pytest.mark.parametrize(("length", "steps"), [(0, []), (1, []), (2, [1]), (8, [1, 2, 4]), (12, [1, 2, 4, 8])])
def test_numbers_of_steps_double_below_the_length_of_the_answer(length: int, steps: list[int]) -> None:
    assert stability.fewer_steps(length) == steps


@pytest.mark.usefixtures("workspace")
def test_overlaps_are_those_of_the_stored_circuits_and_none_where_a_run_is_not_there() -> None:
    arm, mdm = stored(SPEC)
    other_arm, other_mdm = stored(replace(SPEC, seed=1))
    _, reordered = stored(replace(SPEC, order="random"))
    settings = {setting.name: setting for setting in stability.settings_of(SPEC)}
    rows = {(row.setting.name, row.k): row for row in stability.overlaps(list(settings.values()), (4, K))}
    assert len(rows) == 2 * len(settings)
    default, seed, order, gone = (rows[name, K] for name in (DEFAULT, "seed 1", "random", "seed 2"))
    assert (default.pair, default.arm, default.mdm) == (overlaps_of(arm, mdm), None, None)
    assert seed.pair == overlaps_of(other_arm, other_mdm)
    assert (seed.arm, seed.mdm) == (overlaps_of(other_arm, arm), overlaps_of(other_mdm, mdm))
    assert (order.pair, order.arm, order.mdm) == (overlaps_of(arm, reordered), None, overlaps_of(reordered, mdm))
    assert (gone.pair, gone.arm, gone.mdm) == (None, None, None)
    assert rows["seed 1", 4].pair == overlaps_of(other_arm, other_mdm, 4)
    missing = stability.missing(list(settings.values()))
    assert settings["seed 2"].arm in missing and settings["seed 1"].arm not in missing
    assert len(missing) == len(set(missing))
    chart = stability.heat_map(list(rows.values()), K)
    assert chart.names == tuple(settings) and chart.edges.shape == chart.components.shape == (len(settings), 3)
    assert chart.edges[1].tolist() == [seed.pair.edges, seed.arm.edges, seed.mdm.edges]
    assert chart.components[1, 0] == seed.pair.components and np.isnan(chart.edges[0, 1:]).all()


@pytest.mark.usefixtures("workspace")
def test_a_setting_under_which_a_model_cannot_do_the_task_is_marked() -> None:
    def weak(spec: RunSpec, kind: Kind, on_progress: Any) -> ArtifactTables:
        made = tiny_compute(spec, kind, on_progress)
        return replace(made, meta={"accuracy": 0.1, "accuracy_n": 200}) if kind == "ability" else made

    stored(SPEC)
    lifecycle.run(replace(SPEC, dtype="bfloat16"), compute=weak)  # another dtype, as seeds share their accuracy
    own = stability.settings_of(SPEC)[0]
    other = stability.Setting("bfloat16", "dtype", own.arm, replace(own.mdm, dtype="bfloat16"))
    default, marked = stability.overlaps([own, other], [K])
    assert default.remark == "" and marked.remark.startswith("MDM: It solves 10% of 200 problems")
    assert marked.pair is not None


@pytest.mark.usefixtures("workspace")
def test_controls_stand_beside_the_pairs_overlap() -> None:
    assert stability.controls(SPEC, K) is None
    arm, mdm = stored(SPEC)
    alone = stability.controls(SPEC, K)
    assert alone is not None and alone.pair == overlaps_of(arm, mdm)
    assert alone.step_0 is alone.mdm_with_step_0 is alone.arm_other_seed is None
    assert alone.chance == comparison.chance(K, arm.meta.graph.n_edges)
    for floor in (alone.permuted_edges, alone.permuted_components):
        assert 0 <= floor.low <= floor.mean <= floor.high <= 1
    (control,), others = stored(SPEC, "control"), stored(replace(SPEC, seed=2))
    every = stability.controls(replace(SPEC, model="arm"), K)
    assert every is not None and every.pair == alone.pair
    assert (every.step_0, every.mdm_with_step_0) == (overlaps_of(arm, control), overlaps_of(mdm, control))
    assert (every.arm_other_seed, every.mdm_other_seed) == (overlaps_of(arm, others[0]), overlaps_of(mdm, others[1]))
    with pytest.raises(UserError, match=r"K is 1000, but the circuit has \d+ edges"):
        stability.controls(SPEC, 1000)


@pytest.mark.usefixtures("workspace")
def test_redrawn_overlaps_have_the_stored_values() -> None:
    arm, mdm, control = stored(SPEC, "arm", "mdm", "control")
    with_mdm, with_control = stability.pair_redrawn(arm, mdm, control, k=K)
    assert with_mdm.value == read.overlap(arm.key, mdm.key, K)
    assert with_control.value == read.overlap(arm.key, control.key, K)
    estimate = with_mdm.estimate
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    halves = stability.halves_redrawn(arm, mdm, K)
    values = read.split_half(arm, mdm, K)
    assert (halves.arm.value, halves.mdm.value, halves.pair.value) == (values.arm, values.mdm, values.pair)
    single = stored(replace(SPEC, n=1))
    assert stability.halves_redrawn(*single, K) is None
