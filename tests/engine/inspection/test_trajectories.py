"""Every sampler against its definition written out a second time, one example and one position at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from engine.inspection.trajectories import orders_in, reveal_table, trajectory_table
from engine.models.decoding import decode, reveal_order
from engine.models.encoding import Encoded, encode
from engine.models.example import Example
from engine.models.model import Model
from engine.models.samplers import SAMPLERS, example_generator
from engine.tasks.registry import TASKS, examples
from tests import tiny

MASK = 3
LENGTHS = (3, 7, 3, 5, 7, 1, 4)


class Numbers:
    """A task whose words are those of no other; the right answer is whatever the example says."""

    name = "numbers"
    parallel = False

    def __init__(self, right: dict[str, str]) -> None:
        self.right = right

    def check(self, prompt: str, answer: str) -> bool:
        return self.right[prompt] == answer


def problems(model: Model) -> tuple[Numbers, list[Example], list[Encoded]]:
    """Seven problems whose answers differ in length; what `decode` answers to the first two is called right."""
    encoded = [
        tiny.random_examples(1, seed=i, lengths=(5 + i % 2,), answer=length)[0] for i, length in enumerate(LENGTHS)
    ]
    drawn = [Example(f"problem {i}", "", "", "", f"numbers/{i}") for i in range(len(encoded))]
    right = {e.prompt: "" for e in drawn}
    for i in (0, 1):
        (ids,) = decode(model, [encoded[i].prompt], LENGTHS[i], LENGTHS[i])
        right[drawn[i].prompt] = " ".join(model.tokenizer.convert_ids_to_tokens(list(ids)))
    return Numbers(right), drawn, encoded


def table(model: Model, seed: int = 0) -> pa.Table:
    task, drawn, encoded = problems(model)
    return trajectory_table(model, task, drawn, encoded, seed)  # type: ignore[arg-type]


def rows_of(recorded: pa.Table, sampler: str, example: int) -> list[dict[str, Any]]:
    rows = [r for r in recorded.to_pylist() if (r["sampler"], r["example"]) == (sampler, example)]
    assert [r["step"] for r in rows] == list(range(len(rows)))
    return rows


def dream(key: Callable[[list[float]], float]) -> Callable[..., set[int]]:
    """Dream's `sample` for one sequence: transfer the `number` of masked positions with the largest key."""

    def choose(p: dict[int, list[float]], step: int, length: int, rng: torch.Generator) -> set[int]:
        timesteps = torch.linspace(1, 1e-3, length + 1)
        t, s = timesteps[step], timesteps[step + 1]
        number = int(len(p) * (1 - s / t)) if step < length - 1 else len(p)
        return set(sorted(p, key=lambda place: -key(p[place]))[:number])

    return choose


def dream_origin(p: dict[int, list[float]], step: int, length: int, rng: torch.Generator) -> set[int]:
    timesteps = torch.linspace(1, 1e-3, length + 1)
    transfer = float(1 - timesteps[step + 1] / timesteps[step]) if step < length - 1 else 1.0
    drawn = torch.rand(length, generator=rng).tolist()
    return {place for place in p if drawn[place] < transfer}


def diffullama(p: dict[int, list[float]], step: int, length: int, rng: torch.Generator) -> set[int]:
    t = list(range(length - 1, -1, -1))[step]
    drawn = torch.rand(length, generator=rng).tolist()
    return {place for place in p if drawn[place] < 1 / (t + 1)}


def random_position(p: dict[int, list[float]], step: int, length: int, rng: torch.Generator) -> set[int]:
    return {sorted(p)[int(torch.randint(len(p), (1,), generator=rng))]}


def gap(p: list[float]) -> float:
    first, second = sorted(p, reverse=True)[:2]
    return first - second


LITERAL: dict[str, Callable[..., set[int]]] = {
    "confidence": lambda p, step, length, rng: {max(p, key=lambda place: max(p[place]))},
    "left-to-right": lambda p, step, length, rng: {min(p)},
    "random": random_position,
    "dream-maskgit": dream(max),
    "dream-margin": dream(gap),
    "dream-entropy": dream(lambda p: sum(x * math.log(x) for x in p if x)),
    "dream-origin": dream_origin,
    "diffullama": diffullama,
}


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny.model("qwen2", causal=False)


@pytest.fixture(scope="module")
def recorded(model: Model) -> pa.Table:
    return table(model)


def test_every_sampler_has_a_second_definition() -> None:
    assert list(LITERAL) == list(SAMPLERS)


@pytest.mark.parametrize("shifted", [True, False], ids=["shifted", "unshifted"])
@pytest.mark.parametrize("sampler", list(LITERAL))
def test_trajectories_are_the_samplers_definition_step_by_step(sampler: str, shifted: bool) -> None:
    model = tiny.model("qwen2", causal=False, shifted=shifted)
    recorded, (task, drawn, encoded) = table(model), problems(model)
    for example in range(6):
        e, length, rng = encoded[example], LENGTHS[example], example_generator(sampler, 0, example)
        ids, sure = [*e.prompt, *[MASK] * length], [0.0] * length
        rows = rows_of(recorded, sampler, example)
        assert len(rows) == length
        for step, row in enumerate(rows):
            logits = model.logits(torch.tensor([ids]))[0].clone()
            logits[:, MASK] = -torch.inf
            p = {
                t: logits[e.start + t - shifted].softmax(-1).tolist() for t in range(length) if ids[e.start + t] == MASK
            }
            best = [p[t].index(max(p[t])) if t in p else ids[e.start + t] for t in range(length)]
            chosen = LITERAL[sampler](p, step, length, rng)
            assert row["visible"] == [t not in p for t in range(length)]
            assert row["revealed"] == [t in chosen for t in range(length)]
            assert row["tokens"] == model.tokenizer.convert_ids_to_tokens(best)
            expected = [max(p[t]) if t in p else sure[t] for t in range(length)]
            assert row["confidences"] == pytest.approx(expected, abs=1e-5)
            for t in chosen:
                ids[e.start + t], sure[t] = best[t], max(p[t])
        assert MASK not in ids
        answer = " ".join(model.tokenizer.convert_ids_to_tokens(ids[e.start :]))
        assert {row["correct"] for row in rows} == {task.check(drawn[example].prompt, answer)}


def test_confidence_ends_where_decode_does(model: Model, recorded: pa.Table) -> None:
    _, _, encoded = problems(model)
    for example in range(6):
        (ids,) = decode(model, [encoded[example].prompt], LENGTHS[example], LENGTHS[example])
        last = rows_of(recorded, "confidence", example)[-1]
        assert last["tokens"] == model.tokenizer.convert_ids_to_tokens(list(ids))
        assert last["correct"] == (example < 2)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_position_is_revealed_once_and_then_stays(recorded: pa.Table, sampler: str) -> None:
    for example in range(6):
        rows, length = rows_of(recorded, sampler, example), LENGTHS[example]
        for t in range(length):
            (when,) = [step for step, row in enumerate(rows) if row["revealed"][t]]
            assert [row["visible"][t] for row in rows] == [step > when for step in range(length)]
            assert {(row["tokens"][t], row["confidences"][t]) for row in rows[when:]} == {
                (rows[when]["tokens"][t], rows[when]["confidences"][t])
            }
        assert not any("<mask>" in row["tokens"] for row in rows)


def test_left_to_right_goes_from_left_to_right(recorded: pa.Table) -> None:
    for example in range(6):
        rows = rows_of(recorded, "left-to-right", example)
        assert [row["revealed"].index(True) for row in rows] == list(range(LENGTHS[example]))


def test_chance_follows_the_seed_and_nothing_else(model: Model, recorded: pa.Table) -> None:
    assert table(model).equals(recorded)
    other = table(model, seed=1)
    for sampler in SAMPLERS:
        mine, theirs = (t.filter(pc.equal(t["sampler"], sampler)) for t in (recorded, other))
        assert mine.equals(theirs) == (sampler not in ("random", "dream-origin", "diffullama")), sampler


def test_an_example_alone_goes_the_same_way(model: Model, recorded: pa.Table) -> None:
    task, drawn, encoded = problems(model)
    alone = trajectory_table(model, task, drawn[:1], encoded[:1], 0)  # type: ignore[arg-type]
    assert set(alone["example"].to_pylist()) == {0}
    for sampler in SAMPLERS:
        mine, theirs = rows_of(alone, sampler, 0), rows_of(recorded, sampler, 0)
        assert [r["revealed"] for r in mine] == [r["revealed"] for r in theirs]
        assert [r["tokens"] for r in mine] == [r["tokens"] for r in theirs]


def test_one_token_is_revealed_at_once_by_everyone(recorded: pa.Table) -> None:
    assert LENGTHS[5] == 1
    assert {str(rows_of(recorded, sampler, 5)[0]["revealed"]) for sampler in SAMPLERS} == {"[True]"}


def test_an_arm_has_no_trajectories_but_the_same_columns(recorded: pa.Table) -> None:
    empty = table(tiny.model("qwen2", causal=True))
    assert empty.num_rows == 0 and empty.schema == recorded.schema


def test_dreams_schedule_may_wait_and_then_catch_up(recorded: pa.Table) -> None:
    """int() rounds down, so with one step a token the first steps reveal nothing or too little."""
    counts = [sum(row["revealed"]) for row in rows_of(recorded, "dream-maskgit", 1)]
    assert counts[0] == 0 and counts[-1] > 1 and sum(counts) == 7


def test_reveals_are_the_runs_own_orders() -> None:
    model = tiny.model("llama", causal=False)
    encoded = [encode(e, model.tokenizer) for e in examples(TASKS["ioi"], 1, 0)]
    assert reveal_table(reveal_order(model, encoded, "left-to-right", 1, 0)).to_pylist() == [
        {"example": 0, "step": 0, "index": 0}
    ]
    orders = [((2,), (0, 1)), ((1,), (0,))]
    table = reveal_table(orders)
    assert orders_in(table) == orders and orders_in(table.take([4, 2, 0, 1, 3])) == orders and not orders_in(table[:0])
    assert reveal_table(orders, 5)["example"].to_pylist() == [5, 5, 5, 6, 6]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (0, 0, 2), (0, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)
    ]  # fmt: skip
    assert reveal_table([]).schema == table.schema and set(table.schema.types) == {pa.int32()}
