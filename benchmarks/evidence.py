"""Time and peak memory of running circuits, against those of the model's own forward pass.

    python -m benchmarks.evidence [--shape smollm2-135m] [--batch 16] [--tokens 20] [--rounds 5] [--threads 2]

A circuit run is the corrupted run and the patched pass of one circuit; the metric of the full model is known from the
circuit's attribution (with it: a figure of its own). Circuits are prefixes of a random order of all edges, which need
nearly every node at any size: of a circuit found by attribution there is less to run. Floor and circuit run take turns
on the same random weights and inputs, in one batch, the unembedding of every position being part of the floor. Time is
processor time, which other programs disturb less, and the median over rounds of the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.attribution import SHAPES, Setup, best, random_model, random_passes
from benchmarks.peak import peak
from benchmarks.table import RESULTS, Figure, now, save, shown
from engine.circuits.graph import Graph
from engine.evidence.faithfulness import grid_sizes
from engine.evidence.footprint import footprint
from engine.evidence.patching import run_circuits
from engine.evidence.rankings import prefixes, random_orders
from engine.models.fast_model import copy_sharing_weights
from engine.models.model import wrap
from engine.training.word_tokenizer import build_tokenizer

RUN_BAR, SIZES_BAR = 3.0, 0.8
SHARE = 0.1  # of all edges, in the circuit that is run alone


def rows() -> list[Figure]:
    """The figures on the CPU, with two threads."""
    return measured(Setup(), threads=2) + qwen_told()


def measured(setup: Setup, threads: int) -> list[Figure]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _measured(setup)
    finally:
        torch.set_num_threads(before)


def _measured(setup: Setup) -> list[Figure]:
    plain = random_model(setup)
    model = wrap(copy_sharing_weights(plain), build_tokenizer(), causal=True)
    passes = random_passes(setup)
    ids = torch.tensor([row.clean for row in passes])
    graph = model.graph
    ten = prefixes(random_orders(graph.n_edges, draws=1)[0], grid_sizes(graph.n_edges))
    alone = prefixes(random_orders(graph.n_edges, draws=1)[0], [int(SHARE * graph.n_edges)])

    def floor() -> None:
        with torch.no_grad():
            plain(ids, use_cache=False)

    def run(circuits: NDArray[np.bool_], with_full: bool = False) -> Callable[[], None]:
        return lambda: _run(circuits, with_full)

    def _run(circuits: NDArray[np.bool_], with_full: bool) -> None:
        run_circuits(model, passes, len(passes), circuits, with_full=with_full)

    def apart() -> None:
        for circuit in ten:
            _run(circuit[None], with_full=False)

    single, both = _times(run(alone), floor, setup.rounds), _times(run(alone, with_full=True), floor, setup.rounds)
    together = _times(run(ten), apart, max(1, setup.rounds // 3))
    weights = list(plain.parameters())
    whole, forward = peak(run(alone), "cpu", weights), peak(floor, "cpu", weights)
    told = footprint(SHAPES[setup.shape].shape, 1, setup.batch, setup.tokens, setup.dtype, "cpu")
    memory = f"{whole / 2**20:.0f} MB, {told.buffer / 2**20:.0f} MB of it buffer, against {forward / 2**20:.0f} MB"
    return [
        Figure(f"one circuit run / plain forward, {setup.name}", _ratio(single), "x", RUN_BAR, best(single)),
        Figure(f"one circuit run and the clean run / plain forward, {setup.name}", _ratio(both), "x", None, best(both)),
        Figure(f"ten sizes / ten circuit runs, {setup.name}", _ratio(together), "x", SIZES_BAR, best(together)),
        Figure(f"peak memory of a circuit run / plain forward, {setup.name}", whole / forward, "x", None, memory),
        Figure(f"peak memory of a circuit run / told beforehand, {setup.name}", whole / told.peak, "x"),
    ]


def qwen_told(buffer: int | None = None) -> list[Figure]:
    """What ten circuits need at the shape of Qwen2.5-7B on a GPU, nothing being run."""
    shape, batch, tokens = SHAPES["qwen2.5-7b"].shape, 16, 40
    told = footprint(shape, 10, batch, tokens, "bfloat16", "cuda", buffer)
    graph = Graph(shape.layers, shape.heads)
    note = f"{graph.n_edges:,} edges, {told.circuits} at once, {told.buffer / 2**30:.1f} GB of it buffer"
    return [Figure("peak memory told, qwen2.5-7b, 16 x 40 tokens, bfloat16", told.peak / 2**30, "GB", None, note)]


def _times(work: Callable[[], None], floor: Callable[[], None], rounds: int) -> list[tuple[float, float]]:
    """Processor seconds of both, a pair a round; a round before these warms up."""
    return [(_seconds(work), _seconds(floor)) for _ in range(rounds + 1)][1:]


def _seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _ratio(times: Sequence[tuple[float, float]]) -> float:
    return statistics.median(a / b for a, b in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=Setup.shape)
    parser.add_argument("--batch", type=int, default=Setup.batch, help="rows")
    parser.add_argument("--tokens", type=int, default=Setup.tokens)
    parser.add_argument("--rounds", type=int, default=Setup.rounds)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (JSON)")
    chosen = parser.parse_args()
    setup = replace(Setup(), shape=chosen.shape, batch=chosen.batch, tokens=chosen.tokens, rounds=chosen.rounds)
    figures = measured(setup, chosen.threads) + qwen_told()
    save(figures, now(), chosen.out)
    print(shown(figures))


if __name__ == "__main__":
    main()
