"""Edge attribution against the floor that the model itself sets: time and peak memory.

    python -m benchmarks.attribution [--shape smollm2-135m] [--device cpu] [--dtype float32] [--batch 16] [--tokens 20]

The floor of m integration points is m x (forward + backward to activations only) + 2 forwards of the plain
transformers model, with its own attention and without any hook. Floor and attribution take turns on the same random
weights and inputs. Time is the median over rounds of their ratio; peak memory is measured in rounds of its own, against
the peak of the plain forward and backward pass.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.table import RESULTS, Row, now, save, shown
from engine.attribution import attribute
from engine.models import wrap
from engine.plain import twin_of
from engine.sites import Row as Pass
from engine.sites import Site
from engine.tokenizer import build_tokenizer

POINTS = 5


@dataclass(frozen=True)
class Shape:
    """A model of random weights, by its class and the fields of its config."""

    family: str
    vocab: int
    layers: int
    heads: int
    kv_heads: int
    d_model: int
    d_mlp: int
    tied: bool = False


SHAPES = {
    "tiny": Shape("Qwen2", 500, 3, 4, 2, 64, 160),
    "smollm2-135m": Shape("Llama", 49_152, 30, 9, 3, 576, 1536, tied=True),
    "qwen2.5-7b": Shape("Qwen2", 152_064, 28, 28, 4, 3584, 18_944),
    "llama-2-7b": Shape("Llama", 32_000, 32, 32, 32, 4096, 11_008),
}


@dataclass(frozen=True)
class Setup:
    """What is measured: a model with inputs of `batch` rows of `tokens` tokens."""

    shape: str = "smollm2-135m"
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 16
    tokens: int = 20
    rounds: int = 5

    @property
    def name(self) -> str:
        return f"{self.shape}, {self.batch} x {self.tokens} tokens, {self.dtype}, {self.device}"


def rows() -> list[Row]:
    """The figures on the CPU, with two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return measured(Setup(), time_bar=1.2)
    finally:
        torch.set_num_threads(threads)


def measured(setup: Setup, time_bar: float | None = None, memory_bar: float | None = None) -> list[Row]:
    plain = random_model(setup)
    model = wrap(twin_of(plain), build_tokenizer(), causal=True)
    passes = random_passes(setup)
    ids = torch.tensor([one.clean for one in passes], device=setup.device)

    def floor() -> None:
        with torch.no_grad():
            plain(ids, use_cache=False), plain(ids, use_cache=False)
        for _ in range(POINTS):
            forward_backward(plain, ids)

    def ours() -> None:
        attribute(model, passes, len(passes), points=POINTS)

    times = [(seconds(ours, setup.device), seconds(floor, setup.device)) for _ in range(setup.rounds + 1)]
    best = times[1:]  # the first round warms up
    ratio = statistics.median(a / b for a, b in best)
    ours_peak, plain_peak = peak(ours, setup.device), peak(lambda: forward_backward(plain, ids), setup.device)
    told = f"{min(a for a, _ in best):.2f} s against {min(b for _, b in best):.2f} s"
    return [
        Row(f"attribution / floor, {setup.name}", ratio, "x", time_bar, told),
        Row(
            f"peak memory / plain pass, {setup.name}",
            ours_peak / plain_peak,
            "x",
            memory_bar,
            f"{ours_peak / 2**20:.0f} MB against {plain_peak / 2**20:.0f} MB",
        ),
    ]


def random_model(setup: Setup) -> Any:
    """A transformers model of the shape, built on its device."""
    import transformers

    shape = SHAPES[setup.shape]
    config = getattr(transformers, f"{shape.family}Config")(
        vocab_size=shape.vocab,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
    )
    torch.manual_seed(0)
    with torch.device(setup.device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, setup.dtype))
    return model.eval().requires_grad_(False)


def random_passes(setup: Setup) -> list[Pass]:
    """Rows whose twin differs in one token of the prompt, read before the last token."""
    rng, vocab = random.Random(0), SHAPES[setup.shape].vocab
    found = []
    for example in range(setup.batch):
        clean = [rng.randrange(vocab) for _ in range(setup.tokens)]
        corrupt = [*clean]
        corrupt[setup.tokens // 3] = rng.randrange(vocab)
        site = Site(setup.tokens - 2, setup.tokens - 1, (clean[-1],), (rng.randrange(vocab),))
        found.append(Pass(example, "site-00", tuple(clean), tuple(corrupt), (site,), 1.0))
    return found


def forward_backward(plain: Any, ids: Tensor) -> None:
    """The plain model's own pass, with gradients of all activations and of no weight."""
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


def peak(work: Callable[[], None], device: str) -> int:
    """Bytes: of tensors on a GPU; of the whole process on the CPU, as Linux counts its resident memory."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    work()
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default=Setup.shape)
    parser.add_argument("--device", default=Setup.device)
    parser.add_argument("--dtype", default=Setup.dtype)
    parser.add_argument("--batch", type=int, default=Setup.batch)
    parser.add_argument("--tokens", type=int, default=Setup.tokens)
    parser.add_argument("--rounds", type=int, default=Setup.rounds)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = vars(parser.parse_args())
    folder = chosen.pop("out")
    found = measured(Setup(**chosen))
    save(found, now(), folder)
    print(shown(found))


if __name__ == "__main__":
    main()
