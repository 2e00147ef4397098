"""Time and peak memory of edge attribution, against those of the model's own passes.

    python -m benchmarks.attribution [--shape smollm2-135m] [--device cpu] [--dtype float32] [--batch 16] [--tokens 20]
    python -m benchmarks.attribution --device cuda --out FOLDER      # Qwen2.5-7B and LLaMA-2-7B, as large as fits

The floor of m integration points is m x (forward + backward to activations only) + 2 forwards of the plain
transformers model, with its own attention and without any hook. Floor and attribution take turns on the same random
weights and inputs, in one batch. Time is the median over rounds of their ratio. Peak memory is measured in passes of
its own, against the peak of the plain forward and backward pass; the contraction's buffer is a choice and left out.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks.peak import peak
from benchmarks.table import RESULTS, Figure, now, save, shown
from engine.attribution.edge_scores import attribute
from engine.attribution.footprint import BYTES, Footprint, footprint
from engine.attribution.sites import AttributionInput, Site
from engine.models.architecture import Shape
from engine.models.batching import Capacity, release
from engine.models.fast_model import copy_sharing_weights
from engine.models.model import wrap
from engine.runs.device_plan import cpu_memory
from engine.training.word_tokenizer import build_tokenizer

POINTS = 5


@dataclass(frozen=True)
class Kind:
    """A model of random weights, by the family of its classes and its numbers."""

    family: str
    shape: Shape


SHAPES = {
    "tiny": Kind("Qwen2", Shape(3, 4, 2, 16, 64, 160, 500, tied=False)),
    "smollm2-135m": Kind("Llama", Shape(30, 9, 3, 64, 576, 1536, 49_152, tied=True)),
    "qwen2.5-7b": Kind("Qwen2", Shape(28, 28, 4, 128, 3584, 18_944, 152_064, tied=False)),
    "llama-2-7b": Kind("Llama", Shape(32, 32, 32, 128, 4096, 11_008, 32_000, tied=False)),
}


@dataclass(frozen=True)
class Setup:
    """What is measured: a model with inputs of `batch` rows of `tokens` tokens; 0 rows: as many as fit."""

    shape: str = "smollm2-135m"
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 16
    tokens: int = 20
    rounds: int = 5

    @property
    def name(self) -> str:
        return f"{self.shape}, {self.batch} x {self.tokens} tokens, {self.dtype}, {self.device}"

    def footprint(self, batch: int) -> Footprint:
        return footprint(SHAPES[self.shape].shape, batch * self.tokens, self.tokens, self.dtype, self.device, POINTS)


@dataclass(frozen=True)
class Bars:
    """The most that time and memory may be, of the plain model's."""

    time: float | None = None
    memory: float | None = None


GPU_BARS = Bars(time=1.15, memory=1.25)


def rows() -> list[Figure]:
    """The figures on the CPU, with two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return measured(Setup(), Bars(time=1.2))
    finally:
        torch.set_num_threads(threads)


def gpu_rows(tokens: int, rounds: int) -> list[Figure]:
    """The figures on one GPU at 7B, in batches as large as fit."""
    return [
        row
        for shape in ("qwen2.5-7b", "llama-2-7b")
        for row in measured(Setup(shape, "cuda", "bfloat16", 0, tokens, rounds), GPU_BARS)
    ]


def measured(setup: Setup, bars: Bars) -> list[Figure]:
    release()  # what an earlier model held
    setup = replace(setup, batch=setup.batch or largest_batch(setup))
    plain = random_model(setup)
    model = wrap(copy_sharing_weights(plain), build_tokenizer(), causal=True)
    passes = random_passes(setup)
    ids = torch.tensor([row.clean for row in passes], device=setup.device)

    def floor() -> None:
        with torch.no_grad():
            plain(ids, use_cache=False), plain(ids, use_cache=False)
        for _ in range(POINTS):
            forward_backward(plain, ids)

    def ours() -> None:
        attribute(model, passes, len(passes), points=POINTS, capacity=Capacity(setup.batch * setup.tokens))

    times = [(seconds(ours, setup.device), seconds(floor, setup.device)) for _ in range(setup.rounds + 1)]
    times = times[1:]  # the first round warms up
    ratio = statistics.median(a / b for a, b in times)
    weights = list(plain.parameters())
    whole = peak(ours, setup.device, weights)
    alone = peak(lambda: forward_backward(plain, ids), setup.device, weights)
    predicted = setup.footprint(setup.batch)
    mb = [size / 2**20 for size in (whole, predicted.buffer, alone)]
    memory = f"{mb[0]:.0f} MB, {mb[1]:.0f} MB of it buffer, against {mb[2]:.0f} MB"
    return [
        Figure(f"attribution / floor, {setup.name}", ratio, "x", bars.time, best(times)),
        Figure(f"peak memory / plain pass, {setup.name}", (whole - predicted.buffer) / alone, "x", bars.memory, memory),
        Figure(f"peak memory / told beforehand, {setup.name}", whole / predicted.peak, "x"),
    ]


def best(times: Sequence[tuple[float, float]]) -> str:
    return f"{min(a for a, _ in times):.2f} s against {min(b for _, b in times):.2f} s at best"


def largest_batch(setup: Setup) -> int:
    """Rows, from the predicted memory of attribution: what a row adds, in what is left beside the weights."""
    small, large = setup.footprint(100), setup.footprint(200)
    row = (large.differences + large.sums + large.activations + large.logits) / 200
    free = torch.cuda.mem_get_info()[0] if setup.device == "cuda" else cpu_memory()[1]
    return max(1, int((0.85 * free - small.weights - small.scores) / row))


def random_model(setup: Setup) -> Any:
    """A transformers model of the shape, built on its device."""
    family, shape = SHAPES[setup.shape].family, SHAPES[setup.shape].shape
    config = getattr(transformers, f"{family}Config")(
        vocab_size=shape.vocabulary,
        hidden_size=shape.d_model,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
    )
    torch.manual_seed(0)
    with torch.device(setup.device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, setup.dtype))
    return model.eval().requires_grad_(False)


def random_passes(setup: Setup) -> list[AttributionInput]:
    """Rows whose corrupted prompt differs in one token of the prompt, read before the last token."""
    rng, vocab = random.Random(0), SHAPES[setup.shape].shape.vocabulary
    rows = []
    for example in range(setup.batch):
        clean = [rng.randrange(vocab) for _ in range(setup.tokens)]
        corrupt = [*clean]
        corrupt[setup.tokens // 3] = rng.randrange(vocab)
        site = Site(setup.tokens - 2, setup.tokens - 1, (clean[-1],), (rng.randrange(vocab),))
        rows.append(AttributionInput(example, "site-00", tuple(clean), tuple(corrupt), (site,), 1.0))
    return rows


def forward_backward(plain: Any, ids: Tensor) -> None:
    """The plain model's own pass on ids [row, pos], with gradients of all activations and of no weight."""
    embedding = plain.get_input_embeddings()(ids).requires_grad_()
    logits = plain(inputs_embeds=embedding, use_cache=False).logits
    torch.autograd.grad((logits[:, -2, 0] - logits[:, -2, 1]).sum(), embedding)


def seconds(work: Callable[[], None], device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, help="left out with --device cuda: both 7B shapes")
    parser.add_argument("--device", default=Setup.device, choices=("cpu", "cuda"))
    parser.add_argument("--dtype", choices=BYTES, help="float32 on the CPU, bfloat16 on a GPU")
    parser.add_argument("--batch", type=int, help="rows; 0, as many as fit, on a GPU")
    parser.add_argument("--tokens", type=int, default=Setup.tokens)
    parser.add_argument("--rounds", type=int, default=Setup.rounds)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (JSON)")
    chosen = parser.parse_args()
    on_gpu = chosen.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch can use")
    if on_gpu and chosen.shape is None:
        rows = gpu_rows(chosen.tokens, chosen.rounds)
    else:
        dtype = chosen.dtype or ("bfloat16" if on_gpu else Setup.dtype)
        batch = chosen.batch if chosen.batch is not None else 0 if on_gpu else Setup.batch
        shape = chosen.shape or Setup.shape
        setup = Setup(shape, chosen.device, dtype, batch, chosen.tokens, chosen.rounds)
        rows = measured(setup, GPU_BARS if on_gpu else Bars())
    save(rows, now(), chosen.out)
    print(shown(rows))


if __name__ == "__main__":
    main()
