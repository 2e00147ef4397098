"""The examples of a run are drawn, encoded and revealed as its spec says; what a model can't be asked is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.attribution.sites import arm_inputs, mdm_inputs
from engine.errors import UserError
from engine.models.encoding import encode
from engine.models.model import Model, wrap
from engine.models.pairs import pair_named
from engine.runs import provenance, study
from engine.runs.provenance import Resolved, resolve
from engine.runs.spec import RunSpec
from engine.runs.study import study_of, task_of
from engine.tasks.registry import TASKS, examples
from engine.training.word_tokenizer import build_tokenizer
from tests.tiny import hf_model

SPEC = RunSpec(task="countdown", n=4, seed=3)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """The embedded pair's models, without their weights."""
    tokenizer = build_tokenizer()
    made = {}
    for model in ("arm", "mdm"):
        plain = hf_model("llama")
        plain.resize_token_embeddings(len(tokenizer))
        made[model] = wrap(plain, tokenizer, causal=model == "arm", shifted=True, mask_token="<mask>")  # noqa: S106

    return made


def resolved(model: str, **fields: object) -> Resolved:
    return resolve(replace(SPEC, model=model, **fields))  # type: ignore[arg-type]


def test_an_arm_reads_every_answer_whole(models: dict[str, Model]) -> None:
    study = study_of(resolved("arm"), models["arm"])
    drawn = examples(TASKS["countdown"], 4, 3)
    encoded = [encode(example, models["arm"].tokenizer) for example in drawn]
    assert (study.n, list(study.drawn), list(study.encoded), list(study.orders)) == (4, drawn, encoded, [])
    assert list(study.rows) == arm_inputs(models["arm"], encoded)
    assert [item.ids for item in study.inputs] == [e.prompt + e.answer for e in encoded]
    assert [len(roles) for roles in study.roles] == [len(e.prompt + e.answer) for e in encoded]


def test_an_mdm_reveals_in_the_order_of_the_spec(models: dict[str, Model]) -> None:
    study = study_of(resolved("mdm", order="left-to-right"), models["mdm"])
    for order, e in zip(study.orders, study.encoded, strict=True):
        assert order == tuple((t,) for t in range(len(e.answer)))
    assert list(study.rows) == mdm_inputs(models["mdm"], study.encoded, study.orders)
    random = study_of(resolved("mdm", order="random"), models["mdm"])
    assert random.orders != study.orders and random.encoded == study.encoded


@pytest.mark.parametrize("order", ["confidence", "left-to-right", "random"])
@pytest.mark.parametrize("steps", [1, 2, 4, 11])
def test_an_answer_is_revealed_in_as_many_steps_as_the_spec_says(
    models: dict[str, Model], order: str, steps: int
) -> None:
    study = study_of(resolved("mdm", order=order, denoising_steps=steps), models["mdm"])
    for revealed, e in zip(study.orders, study.encoded, strict=True):
        assert len(e.answer) == 11
        assert [len(step) for step in revealed] == [11 // steps + (i < 11 % steps) for i in range(steps)]
        assert sorted(t for step in revealed for t in step) == list(range(11))
    for i, e in enumerate(study.encoded):
        rows = [row for row in study.rows if row.example == i]
        targets = [site.target - e.start for row in rows for site in row.sites]
        assert sorted(targets) == list(e.contrasts) and all(row.weight == 1 / len(targets) for row in rows)
        for row in rows:
            step = int(row.part.removeprefix("step-"))
            hidden = {t for later in study.orders[i][step:] for t in later}
            assert {site.target - e.start for site in row.sites} <= set(study.orders[i][step])
            mask = models["mdm"].mask_id
            assert row.clean[e.start :] == tuple(mask if t in hidden else e.answer[t] for t in range(11))
    if steps == 11:
        assert study.orders == study_of(resolved("mdm", order=order), models["mdm"]).orders


def test_more_steps_than_the_longest_answer_has_tokens_are_refused(models: dict[str, Model]) -> None:
    with pytest.raises(UserError, match=r"^denoising_steps is 12, but the longest answer has 11 tokens, .* at most 11"):
        study_of(resolved("mdm", denoising_steps=12), models["mdm"])
    with pytest.raises(UserError, match=r"^denoising_steps is 2, but the longest answer has 1 token, "):
        study_of(resolved("mdm", task="ioi", denoising_steps=2), models["mdm"])
    assert study_of(resolved("arm", denoising_steps=12), models["arm"]).orders == []


@pytest.mark.parametrize("order", ["confidence", "left-to-right", "random"])
def test_a_part_of_a_run_is_what_the_run_has_there(
    models: dict[str, Model], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = study_of(resolved("mdm", order=order), models["mdm"])
    monkeypatch.setattr(provenance, "EXAMPLES_AT_ONCE", 3)
    run = resolved("mdm", order=order)
    whole = study_of(run, models["mdm"])
    assert [(part.start, part.stop) for part in run.parts] == [(0, 3), (3, 4)] and whole.first == 0
    parts = [study_of(run, models["mdm"], part) for part in run.parts]
    assert [part.first for part in parts] == [0, 3]
    for field in ("drawn", "encoded", "orders"):
        assert [*getattr(parts[0], field), *getattr(parts[1], field)] == list(getattr(whole, field))
    rows = [replace(row, example=part.first + row.example) for part in parts for row in part.rows]
    assert rows == list(whole.rows) and whole.orders == at_once.orders
    assert study_of(run, models["mdm"], orders=whole.orders).rows == whole.rows


def test_whether_there_are_too_many_steps_is_judged_by_all_examples(models: dict[str, Model]) -> None:
    whole = examples(TASKS["countdown"], 1, 3) + examples(TASKS["ioi"], 2, 3)
    short = [encode(example, models["mdm"].tokenizer) for example in whole[1:]]  # answers of one token
    spec = replace(SPEC, denoising_steps=4)
    assert study._steps(spec, TASKS["countdown"], models["mdm"], whole, short) == 4
    with pytest.raises(UserError, match="the longest answer has 1 token, "):
        study._steps(spec, TASKS["countdown"], models["mdm"], whole[1:], short)
    run = resolved("mdm", denoising_steps=12)
    with pytest.raises(UserError, match=r"^denoising_steps is 12, but the longest answer has 11 tokens"):
        study_of(run, models["mdm"], range(2))


def test_a_prompt_that_holds_the_mask_is_refused(models: dict[str, Model]) -> None:
    model = models["mdm"]
    digit = model.tokenizer.convert_tokens_to_ids("=")
    held = replace(model, mask_id=digit)
    with pytest.raises(UserError, match=f"contains token {digit}, which this model reads as masked"):
        study_of(resolved("mdm"), held)


def test_the_task_is_in_the_words_of_the_pair(models: dict[str, Model]) -> None:
    assert task_of(resolved("arm"), models["arm"]) is TASKS["countdown"]
    assert pair_named("embedded").prompts == "words"


def test_the_examples_are_of_the_template_of_the_spec(models: dict[str, Model]) -> None:
    for template in (2, 5):
        study = study_of(resolved("arm", task="ioi", template=template), models["arm"])
        assert {e.content.split("/")[1] for e in study.drawn} == {str(template - 1)}
