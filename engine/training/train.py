"""How the embedded pair was made.

1. Draw a pool of training problems per task (never a held-out one) and encode it once.
2. Train the ARM: next-token cross-entropy on the answer tokens, causal attention.
3. Post-train the MDM from the ARM's weights with the recipe of Gong et al. 2025 (arXiv 2410.17891): mask each
   answer token with probability t ~ U(0.001, 1), cross-entropy on masked tokens weighted by 1/t, logits shifted by
   one so that the ARM's head keeps its meaning, and an attention mask annealed from causal to full.
4. Keep half-precision checkpoints of the MDM at log-spaced steps; measure both on held-out problems.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from engine.models.light_tokenizer import MASK
from engine.models.model import wrap
from engine.tasks.accuracy import measure_accuracy
from engine.tasks.base import Split
from engine.tasks.registry import TASKS
from engine.training.model_card import Role, write_model_card
from engine.training.word_tokenizer import BOS, PAD, build_tokenizer, vocabulary

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, Qwen2ForCausalLM

# The task of each step, in turn. COUNTDOWN is the hardest to learn, and for the MDM harder still.
SCHEDULES = {
    "arm": ("countdown", "sudoku", "countdown", "ioi", "countdown", "sudoku", "countdown", "greater_than"),
    "mdm": ("countdown", "sudoku", "countdown", "ioi", "countdown", "countdown", "countdown", "greater_than"),
}
SMALLEST_T = 1e-3
ANNEAL_SHARE = 1 / 16  # 10,000 of 160,000 steps in the published recipe


@dataclass(frozen=True)
class TrainSpec:
    """Everything that decides the weights. Steps are optimiser steps of one batch of one task."""

    seed: int = 0
    arm_steps: int = 5000
    mdm_steps: int = 16000
    batch: int = 192
    arm_lr: float = 2e-3
    mdm_lr: float = 1.5e-3
    warmup: int = 200
    pool: int = 100000
    layers: int = 6
    d_model: int = 128
    d_mlp: int = 512
    heads: int = 8
    kv_heads: int = 4
    precision: str = "fp32"
    compile: bool = False
    measured: int = 1000  # held-out problems a task at the end of a stage, and while it runs:
    watched: int = 200


@dataclass(frozen=True)
class Pool:
    """Encoded problems of one task, right-padded: the answer tokens of row i start at `start[i]`."""

    ids: torch.Tensor  # [problem, pos]
    start: torch.Tensor  # [problem]
    answer_length: int

    def answer_positions(self, rows: torch.Tensor) -> torch.Tensor:
        return self.start[rows, None] + torch.arange(self.answer_length)  # [batch, answer]


def encode_pool(task_name: str, n: int, seed: int, split: Split = "train") -> Pool:
    """Draw `n` problems (repeats allowed, as in sampling with replacement) and encode prompt + answer."""
    task, vocab = TASKS[task_name], vocabulary()
    rng = random.Random(f"pool/{task_name}/{split}/{seed}")
    drawn = [task.sample(rng, split) for _ in range(n)]
    prompts = [[vocab[BOS], *(vocab[w] for w in e.prompt.split())] for e in drawn]
    answers = [[vocab[w] for w in e.answer.split()] for e in drawn]
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    rows = [p + a + [vocab[PAD]] * (width - len(p) - len(a)) for p, a in zip(prompts, answers, strict=True)]
    return Pool(torch.tensor(rows), torch.tensor([len(p) for p in prompts]), len(answers[0]))


def new_arm(spec: TrainSpec) -> Qwen2ForCausalLM:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(spec.seed)
    vocab = vocabulary()
    config = Qwen2Config(
        vocab_size=len(vocab),
        hidden_size=spec.d_model,
        intermediate_size=spec.d_mlp,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=vocab[BOS],
        pad_token_id=vocab[PAD],
        eos_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    model.set_attn_implementation("eager")  # CPU flash attention is slower than eager at these widths
    return model


def as_llama(model: Qwen2ForCausalLM) -> LlamaForCausalLM:
    """The same function as a Llama with attention biases (that of the output is zero).

    Models are stored so because AutoTokenizer takes any folder of type qwen2 for one with Qwen's own tokenizer.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    fields = {key: value for key, value in model.config.to_dict().items() if key in LlamaConfig().to_dict()}
    fields |= {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": True}
    with torch.random.fork_rng():  # a new model draws weights, and training must not notice that it was saved
        llama = LlamaForCausalLM(LlamaConfig(**fields))
    biases = {name: torch.zeros_like(value) for name, value in llama.state_dict().items() if "o_proj.bias" in name}
    llama.load_state_dict({**model.state_dict(), **biases})
    return llama


def attention_bias(ids: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Additive mask from `allowed` [pos, pos] (query, key) that also hides padding keys."""
    real = (ids != vocabulary()[PAD])[:, None, None, :]  # [batch, 1, 1, pos]
    keep = allowed[None, None] & real
    return torch.zeros(keep.shape).masked_fill(~keep, -1e9)  # [batch, 1, pos, pos]


def arm_loss(forward: Forward, pool: Pool, rows: torch.Tensor, share: float) -> torch.Tensor:
    ids = pool.ids[rows]  # [batch, pos]
    at = pool.answer_positions(rows)  # [batch, answer]
    causal = torch.ones(ids.shape[1], ids.shape[1]).tril().bool()
    logits = forward(ids, attention_bias(ids, causal), at - 1)  # [batch, answer, vocab]
    return cross_entropy(logits.float().flatten(0, 1), ids.gather(1, at).flatten())


def mdm_loss(forward: Forward, pool: Pool, rows: torch.Tensor, share: float) -> torch.Tensor:
    """The masked-diffusion loss at `share` of the annealed steps' end (0: causal, 1 and up: full attention)."""
    ids = pool.ids[rows]  # [batch, pos]
    at = pool.answer_positions(rows)  # [batch, answer]
    answer = ids.gather(1, at)
    # Evenly spread t (one random offset for the batch) keeps U(0.001, 1) and halves the loss's variance.
    t = (torch.rand(1) + torch.arange(len(rows)) / len(rows)) % 1
    t = (SMALLEST_T + (1 - SMALLEST_T) * t)[:, None]  # [batch, 1]
    masked = torch.rand(at.shape) < t  # [batch, answer]
    noisy = ids.scatter(1, at, answer.masked_fill(masked, vocabulary()[MASK]))
    width = ids.shape[1]
    allowed = torch.ones(width, width).tril().bool() | (torch.rand(width, width) < share)
    logits = forward(noisy, attention_bias(ids, allowed), at - 1)  # [batch, answer, vocab]
    losses = cross_entropy(logits.float().flatten(0, 1), answer.flatten(), reduction="none")
    return (losses.view(at.shape) * masked / t).mean()


Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Report = Callable[[str, int, int, float], None]


def make_forward(model: Qwen2ForCausalLM, spec: TrainSpec) -> Forward:
    """Logits at chosen positions only: `(ids, bias, read_at) -> [batch, read, vocab]`."""

    def forward(ids: torch.Tensor, bias: torch.Tensor, read_at: torch.Tensor) -> torch.Tensor:
        hidden = model.model(input_ids=ids, attention_mask=bias, use_cache=False).last_hidden_state
        read = hidden.gather(1, read_at[..., None].expand(-1, -1, hidden.shape[-1]))
        return model.lm_head(read)

    compiled = torch.compile(forward, dynamic=False) if spec.compile else forward

    def run(ids: torch.Tensor, bias: torch.Tensor, read_at: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=spec.precision == "bf16"):
            return compiled(ids, bias, read_at)

    return run


def optimise(
    model: Qwen2ForCausalLM,
    spec: TrainSpec,
    stage: str,
    pools: dict[str, Pool],
    report: Report,
    on_step: Callable[[int], None] = lambda step: None,
) -> list[dict[str, float | int | str]]:
    """Run one stage ("arm" or "mdm") in place and return its loss curve, a mean per task over windows of 100 steps."""
    steps, lr = (spec.arm_steps, spec.arm_lr) if stage == "arm" else (spec.mdm_steps, spec.mdm_lr)
    loss_of = arm_loss if stage == "arm" else mdm_loss
    torch.manual_seed(spec.seed + (1 if stage == "arm" else 2))
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min(1.0, (i + 1) / spec.warmup) * (0.5 + 0.5 * math.cos(math.pi * i / steps))
    )
    forward = make_forward(model, spec)
    curve: list[dict[str, float | int | str]] = []
    recent: dict[str, list[float]] = {}
    window = min(100, max(1, steps // 5))
    for step in range(steps):
        on_step(step)
        name = SCHEDULES[stage][step % len(SCHEDULES[stage])]
        rows = torch.randint(len(pools[name].ids), (spec.batch,))
        loss = loss_of(forward, pools[name], rows, step / (ANNEAL_SHARE * steps))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        recent.setdefault(name, []).append(loss.item())
        if (step + 1) % window == 0:
            curve += [{"step": step + 1, "task": k, "loss": sum(v) / len(v)} for k, v in recent.items()]
            report(stage, step + 1, steps, sum(map(sum, recent.values())) / window)
            recent = {}
    on_step(steps)
    return curve


def checkpoint_steps(steps: int, count: int = 8) -> list[int]:
    """`count` steps from 0 to the end, evenly spaced on a log axis: 0, then powers up to `steps`."""
    first = max(1, round(steps / 1000))
    ratio = (steps / first) ** (1 / (count - 2))
    return sorted({0, *(min(steps, round(first * ratio**k)) for k in range(count - 1))})


def held_out_accuracy(model: Qwen2ForCausalLM, stage: str, n: int, seed: int) -> dict[str, float]:
    """Share of `n` held-out problems solved, by task. Measured on a copy, because wrapping changes a model in place."""
    copy = wrap(
        as_llama(model).eval().requires_grad_(False),
        build_tokenizer(),
        causal=stage == "arm",
        shifted=True,
        mask_token=MASK,
    )
    return {name: measure_accuracy(copy, task, n, seed) for name, task in TASKS.items()}


def train(spec: TrainSpec, out: Path, report: Report, evaluate_every: int = 1000) -> None:
    """Train both models into `out/arm`, `out/mdm` and `out/steps/NNNNNN`, with `out/training.json` beside them."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    pools = {name: encode_pool(name, spec.pool, spec.seed) for name in TASKS}
    model = new_arm(spec)
    record: dict[str, Any] = {"spec": asdict(spec), "torch": torch.__version__}

    def save(folder: Path, causal: bool, half: bool = False) -> None:
        stored = as_llama(model)
        if half:
            stored.half()
        stored.config.is_causal = causal
        stored.save_pretrained(folder)

    stages: tuple[Role, Role] = ("arm", "mdm")
    for stage in stages:
        kept = checkpoint_steps(spec.mdm_steps) if stage == "mdm" else []
        progress: list[dict[str, Any]] = []

        def on_step(
            step: int, stage: str = stage, kept: list[int] = kept, progress: list[dict[str, Any]] = progress
        ) -> None:
            if step in kept:
                save(out / "steps" / f"{step:06d}", causal=False, half=True)
            if step and step % evaluate_every == 0:
                progress.append({"step": step, **held_out_accuracy(model, stage, spec.watched, seed=1)})

        began = time.time()
        curve = optimise(model, spec, stage, pools, report, on_step)
        record[stage] = {
            "minutes": (time.time() - began) / 60,
            "accuracy": held_out_accuracy(model, stage, spec.measured, seed=0),
            "accuracy_n": spec.measured,
            "progress": progress,
            "curve": curve,
            "checkpoints": kept,
        }
        save(out / stage, causal=stage == "arm")
        tokenizer.save_pretrained(out / stage)
        (out / "training.json").write_text(json.dumps(record, indent=1))
        write_model_card(out / stage, stage, record)
