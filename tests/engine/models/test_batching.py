"""Batches as large as fit: halved when memory runs out, and nothing that finished is done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from engine.attribution import edge_scores
from engine.attribution.edge_scores import attribute
from engine.errors import UserError
from engine.models.batching import Capacity, in_batches, padded
from engine.models.decoding import decode
from engine.models.model import Model
from tests import tiny


def test_padding_is_to_the_right_and_marked() -> None:
    model = tiny.model("llama", causal=True)
    ids, real = padded(model, [(5, 6, 7), (8,)])
    assert ids.tolist() == [[5, 6, 7], [8, model.pad_id, model.pad_id]]
    assert real.tolist() == [[True, True, True], [True, False, False]]


def test_a_batch_that_does_not_fit_is_halved_and_the_size_stays() -> None:
    tried: list[list[int]] = []

    def work(batch: Sequence[int]) -> int:
        tried.append([*batch])
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return sum(batch)

    finished = [([*batch], total) for batch, total in in_batches(range(1, 9), lambda item: 1, Capacity(6), work)]
    assert finished == [([1, 2, 3], 6), ([4, 5, 6], 15), ([7, 8], 15)]
    assert tried == [[1, 2, 3, 4, 5, 6], [1, 2, 3], [4, 5, 6], [7, 8]]


def test_a_batch_costs_as_if_all_were_as_long_as_the_longest() -> None:
    batches = [
        [*batch] for batch, _ in in_batches([2, 2, 3, 9, 40, 1], lambda item: item, Capacity(9), lambda batch: 0)
    ]
    assert batches == [[2, 2, 3], [9], [40], [1]]


def test_what_does_not_fit_alone_is_refused_and_other_errors_pass() -> None:
    def full(batch: Sequence[int]) -> None:
        raise torch.OutOfMemoryError

    def broken(batch: Sequence[int]) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(UserError, match="Memory ran out on a single prompt"):
        list(in_batches([1, 2], lambda item: 1, Capacity(2), full))
    with pytest.raises(UserError, match=r"Memory ran out on number 1\. Use shorter prompts"):
        list(in_batches([1, 2], lambda item: 1, Capacity(2), full, lambda item: f"number {item}"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(in_batches([1, 2], lambda item: 1, Capacity(2), broken))


def no_memory(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patched:
        patched.setattr(edge_scores, "contract", full)
        work()


def test_an_attribution_survives_running_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("qwen2", causal=False)
    rows = tiny.rows_of(model, tiny.random_examples(6))
    expected = attribute(model, rows, 6)
    with pytest.raises(UserError, match=r"ran out on example 0, whose input has 9 tokens \(\S+ .*\)\. Use shorter"):
        no_memory(monkeypatch, lambda: attribute(model, rows, 6))
    contract, sizes = edge_scores.contract, []

    def short(*args: object) -> torch.Tensor:
        scores = contract(*args)  # type: ignore[arg-type]
        sizes.append(len(args[2].embedding))  # type: ignore[attr-defined]
        if len(sizes) == 3 or sizes[-1] > 4:  # too many rows, and once more at the end of a batch
            raise torch.OutOfMemoryError
        return scores

    progress: list[int] = []
    monkeypatch.setattr(edge_scores, "contract", short)
    result = attribute(model, rows, 6, on_rows=progress.append)
    assert sizes[:5] == [6, 3, 3, 1, 1]
    assert progress == sorted(set(progress)) and progress[-1] == len(rows)
    assert torch.allclose(result.blocks, expected.blocks, rtol=1e-4, atol=1e-6)
    assert torch.allclose(result.neurons, expected.neurons, rtol=1e-4, atol=1e-6)
    assert torch.allclose(result.metric_clean, expected.metric_clean)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_answers_survive_running_out_of_memory(monkeypatch: pytest.MonkeyPatch, causal: bool) -> None:
    model = tiny.model("llama", causal)
    prompts = [e.prompt for e in tiny.random_examples(7)]
    expected = decode(model, prompts, 2, 2)
    name = "next_logits" if causal else "logits"
    logits, sizes = getattr(Model, name), []

    def short(self: Model, ids: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        sizes.append(len(ids))
        if len(ids) > 2:
            raise torch.OutOfMemoryError
        return logits(self, ids, *args, **options)

    monkeypatch.setattr(Model, name, short)
    assert decode(model, prompts, 2, 2) == expected
    assert sizes[0] == 4 and max(sizes[1:]) == 2  # prompts of two lengths
