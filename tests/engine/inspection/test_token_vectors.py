"""Largest and smallest products with tokens' vectors: rough products first or not, the results are the exact ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.inspection import token_vectors
from engine.inspection.token_vectors import TokenVectors, multiplies_bfloat16

VOCAB, WIDTH, DIRECTIONS = 2003, 64, 50
both = pytest.mark.parametrize("rough", [True, False], ids=["bfloat16 first", "float32"])


def drawn(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors [vocab, d_model] of unequal length and directions [direction, d_model]."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(VOCAB, WIDTH, generator=generator) * (1 + torch.rand(VOCAB, 1, generator=generator))
    return vectors, torch.randn(DIRECTIONS, WIDTH, generator=generator)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of directions, the last one smaller."""
    monkeypatch.setattr(token_vectors, "VALUES_AT_ONCE", 7 * VOCAB)


@both
@pytest.mark.parametrize("seed", range(5))
def test_ends_are_those_of_all_products(rough: bool, seed: int) -> None:
    vectors, directions = drawn(seed)
    products = directions @ vectors.T
    order = products.argsort(dim=1, descending=True)
    ends = TokenVectors(vectors, rough).ends(directions, 5)
    assert torch.equal(ends.promoted, order[:, :5]) and torch.equal(ends.suppressed, order.flip(1)[:, :5])
    for tokens, values in ((ends.promoted, ends.promoted_logits), (ends.suppressed, ends.suppressed_logits)):
        torch.testing.assert_close(values, products.gather(1, tokens), rtol=1e-6, atol=1e-5)
    tokens, values = TokenVectors(vectors, rough).nearest(directions, 5)
    assert torch.equal(tokens, ends.promoted) and torch.equal(values, ends.promoted_logits)


@both
def test_tokens_too_alike_for_bfloat16_are_told_apart(rough: bool) -> None:
    """A thousand vectors that round to the same: the candidates leave a doubt, so all are multiplied."""
    _, directions = drawn()
    steps = 1 + torch.arange(1000.0)[:, None] * 2.0**-20
    vectors = torch.cat([torch.zeros(3, WIDTH), torch.ones(1000, WIDTH) * steps])
    along = directions.abs()
    tokens, values = TokenVectors(vectors, rough).nearest(along, 5)
    assert tokens.tolist() == [[1002, 1001, 1000, 999, 998]] * DIRECTIONS
    torch.testing.assert_close(values, (along @ vectors.T).gather(1, tokens), rtol=1e-6, atol=1e-5)


@both
def test_of_equal_tokens_the_first_comes_first(rough: bool) -> None:
    vectors, directions = drawn()
    vectors[1500:1510] = 5 * directions[3]
    tokens, _ = TokenVectors(vectors, rough).nearest(directions[3:4], 5)
    assert tokens.tolist() == [[1500, 1501, 1502, 1503, 1504]]


@both
def test_vocabularies_smaller_than_the_candidates(rough: bool) -> None:
    vectors, directions = drawn()
    ends = TokenVectors(vectors[:6], rough).ends(directions, 5)
    order = (directions @ vectors[:6].T).argsort(dim=1, descending=True)
    assert torch.equal(ends.promoted, order[:, :5]) and torch.equal(ends.suppressed, order.flip(1)[:, :5])
    assert TokenVectors(vectors[:3], rough).ends(directions, 5).promoted.shape == (DIRECTIONS, 3)


@both
def test_what_is_no_number_is_not_passed_over(rough: bool) -> None:
    vectors, directions = drawn()
    vectors[700] = torch.nan
    assert TokenVectors(vectors, rough).nearest(directions, 5)[1].isnan().any(1).all()


def test_other_devices_multiply_in_full() -> None:
    assert not multiplies_bfloat16(torch.device("cuda"))
    vectors, _ = drawn()
    assert TokenVectors(vectors, rough=False).rough is None
    assert (TokenVectors(vectors).rough is not None) == multiplies_bfloat16(torch.device("cpu"))
