"""What is read at the sites of runs adds up by part and example, and inputs that rows share are run once."""

from __future__ import annotations

import numpy as np
import pytest

from engine.attribution.sites import up_to_reads
from engine.evidence.outcomes import BatchOutcomes, Rows, inputs_to_run, outcomes_of_rows
from engine.models.batching import Capacity
from tests import tiny


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_every_input_is_run_once_with_all_of_its_sites(causal: bool) -> None:
    model = tiny.model("llama", causal)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    inputs = inputs_to_run(model, rows)
    assert [row for each in inputs for row in each.rows] == rows  # an example's rows follow each other
    assert len(inputs) == (3 if causal else len(rows)) < 2 * len(rows)
    for each in inputs:
        assert each.run.sites == tuple(site for row in each.rows for site in row.sites)
        longest = max((up_to_reads(row).clean if causal else row.clean for row in each.rows), key=len)
        assert each.run.clean == longest
        assert all(row.clean[: len(longest)] == longest for row in each.rows)
        assert all(row.corrupt[: len(longest)] == each.run.corrupt for row in each.rows)


def test_the_same_input_of_two_examples_counts_twice() -> None:
    model = tiny.model("llama", causal=True)
    same = tiny.random_examples(1) * 2
    assert [each.run.example for each in inputs_to_run(model, tiny.rows_of(model, same))] == [0, 1]


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("capacity", [1, 20, 1000])
def test_outcomes_add_up_by_part_and_example(causal: bool, capacity: int) -> None:
    model, done = tiny.model("llama", causal), []
    rows = tiny.rows_of(model, tiny.random_examples(4, lengths=(9, 5)))
    values = {row: float(i + 1) for i, row in enumerate(rows)}  # a row's own value, ten times that in another run

    def work(run: Rows, read: Rows) -> list[BatchOutcomes]:
        assert [site for row in run for site in row.sites] == [site for row in read for site in row.sites]
        metric = np.array([[values[row] for row in read]])
        return [
            BatchOutcomes(np.concatenate([metric, 10 * metric]), np.ones((2, len(read)))),
            BatchOutcomes(metric, metric),
        ]

    two, single = outcomes_of_rows(model, rows, 4, (2, 1), Capacity(capacity), work, done.append)
    for part in {row.part for row in rows}:
        expected = [sum(v for row, v in values.items() if (row.part, row.example) == (part, i)) for i in range(4)]
        assert np.array_equal(two.parts[part], [expected, [10 * v for v in expected]])
        assert np.array_equal(single.parts[part], [expected])
    assert np.array_equal(two.metric, sum(two.parts.values()))
    assert np.array_equal(two.right, [[sum(row.example == i for row in rows) for i in range(4)]] * 2)
    assert np.array_equal(single.right, single.metric) and list(two.parts) == sorted(two.parts)
    assert done[-1] == len(rows) and (len(done) == 1) == (capacity == 1000)
