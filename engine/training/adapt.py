"""How the small real pair was made: two low-rank adapters of one pretrained language model.

1. The base model writes text of its own, a part of which is held out (engine/training/self_text.py).
2. ARM: the adapter learns the four tasks as plain text, mixed with that text, by next-token cross-entropy.
3. MDM: an adapter of the ARM, that is of the base model with the first adapter merged into it, learns the same mixture
   by the recipe of Gong et al. 2025 (arXiv 2410.17891): masked cross-entropy, shifted logits, an attention mask
   annealed from causal to full (engine/training/adapter_loss.py). The mask token is one more embedding, trained with
   the adapter.
4. What is measured and kept is a running average of the trained numbers, in place of a learning rate that falls to 0:
   so training can stop at any time and go on later. The state is stored every few minutes, and training from it is
   the same to the last bit as training without a stop.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import UserError
from engine.files.writing import write_whole
from engine.training import phase_state
from engine.training.adapter_loss import Inputs, arm_inputs, mdm_inputs
from engine.training.adapter_measures import merged_model, solved_share, text_loss, told
from engine.training.low_rank import AdaptedModel, Shape, save_adapter
from engine.training.mixture import TEXT, Mixture, chosen_tasks
from engine.training.phase_state import Progress
from engine.training.self_text import sampled_text

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

PHASES = ("arm", "mdm")
TEXT_FILE, RECORD, STEPS = "text.safetensors", "training.json", "steps"
RECENT = 0.9  # how much of `Progress.solved` a new batch leaves
FIRST_KEPT = 8  # the MDM is kept after 8, 16, 32, ... steps
MOST_BATCHES = 40  # that a line tells about


@dataclass(frozen=True)
class AdaptSpec:
    """Everything that decides the adapters but the base model. A phase ends when it has seen its `tokens`."""

    seed: int = 0
    arm_tokens: int = 2_000_000
    mdm_tokens: int = 2_000_000
    rank: int = 16
    alpha: float = 32.0
    lr: float = 1e-3
    warmup: int = 20  # optimiser steps
    anneal: int = 100  # optimiser steps until attention is full
    longest_average: float = 0.99
    clip: float = 1.0
    text_rows: int = 640
    text_length: int = 48
    text_start: int = 0  # the token between two documents
    text_heldout: int = 64
    measured: int = 48  # held-out problems a task
    precision: str = "bfloat16"


@dataclass(frozen=True)
class Pace:
    """How long, and how often; none of it changes the trained numbers. Minutes of each phase in this call."""

    minutes: Mapping[str, float]
    store_every: float = 3.0  # minutes
    measure_every: float = 15.0
    report_every: int = 10  # steps


def adapt(
    base: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    spec: AdaptSpec,
    out: Path,
    pace: Pace,
) -> Iterator[str]:
    """Train both adapters of `base` into `out`, going on from what is there; lines tell how it goes.

    out/arm and out/mdm: the state of the phases; out/arm_adapter, out/mdm_adapter, out/steps/NNNNNN: adapters in PEFT's
    format; out/training.json: what was measured. `base` is adapted in place.

    Raises:
        UserError: `out` holds an MDM that began from an earlier state of the ARM.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = _text(base, spec, out)
    base.set_attn_implementation("eager")  # faster on a CPU for short sequences
    adapted = AdaptedModel(base, Shape(spec.rank, spec.alpha), spec.seed, getattr(torch, spec.precision))
    mixture = Mixture(tokenizer, text[spec.text_heldout :], spec.seed)
    arm = Phase("arm", adapted, mixture, text[: spec.text_heldout], spec, out)
    arm.resume(arm_tokens=0)
    yield from arm.run(pace)
    adapted.build_on(arm.average, spec.seed + 1)  # the second adapter begins with other random numbers
    mdm = Phase("mdm", adapted, mixture, text[: spec.text_heldout], spec, out)
    mdm.resume(arm.progress.tokens)
    yield from mdm.run(pace)


def _text(base: LlamaForCausalLM, spec: AdaptSpec, out: Path) -> Tensor:
    """The base model's own text, written once."""
    file = out / TEXT_FILE
    if not file.is_file():
        save_file({TEXT: sampled_text(base, spec.text_start, spec.text_rows, spec.text_length, spec.seed)}, file)
    return load_file(file)[TEXT]


class Phase:
    """One of the two phases of training."""

    def __init__(
        self,
        name: str,
        adapted: AdaptedModel,
        mixture: Mixture,
        heldout_text: Tensor,
        spec: AdaptSpec,
        out: Path,
    ) -> None:
        self.name, self.adapted, self.mixture, self.heldout_text = name, adapted, mixture, heldout_text
        self.spec, self.out = spec, out
        self.budget = {"arm": spec.arm_tokens, "mdm": spec.mdm_tokens}[name]
        self.optimiser = torch.optim.AdamW([adapted.vector], lr=spec.lr, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = adapted.vector.detach().clone()
        self.progress = Progress()

    def resume(self, arm_tokens: int) -> None:
        """Take what was stored, else begin: an MDM from the ARM after `arm_tokens`."""
        state = phase_state.stored(self.out / self.name)
        vector = self.adapted.vector.detach()
        if state is None:
            self.progress = Progress(arm_tokens=arm_tokens)
            return
        tensors, self.progress = state
        if self.progress.arm_tokens != arm_tokens:
            raise UserError(
                f"The MDM in {self.out} began from the ARM after {self.progress.arm_tokens:,} tokens, and the ARM has "
                f"seen {arm_tokens:,} by now. Move {self.out / self.name} and {self.out / STEPS} away to begin the MDM "
                f"anew, or give --arm-tokens {self.progress.arm_tokens}."
            )
        vector.copy_(tensors["vector"])
        self.average.copy_(tensors["average"])
        step = torch.tensor(float(self.progress.step))
        moments = {"step": step, "exp_avg": tensors["mean"], "exp_avg_sq": tensors["square"]}
        self.optimiser.state[self.adapted.vector].update(moments)

    def run(self, pace: Pace) -> Iterator[str]:
        """Steps until the tokens or the minutes are used up, with what is stored and measured along the way."""
        if not self.progress.measured:
            yield self.measure()
        last_stored = last_measured = time.monotonic()
        end = last_stored + 60 * pace.minutes[self.name]
        while self.progress.tokens < self.budget and time.monotonic() < end:
            self.step()
            now = time.monotonic()
            if self.progress.step % pace.report_every == 0:
                yield self._recent()
            if self.name == "mdm" and _is_kept(self.progress.step):
                self.save_adapter(self.out / STEPS / f"{self.progress.step:06d}")
            if now - last_measured > 60 * pace.measure_every:
                yield self.measure()
                last_measured = time.monotonic()
            if now - last_stored > 60 * pace.store_every:
                self.store()
                last_stored = time.monotonic()
        if self.progress.measured[-1]["step"] != self.progress.step:
            yield self.measure()
        self.store()

    def step(self) -> None:
        """One optimiser step on a batch of each chosen task."""
        began, progress, spec = time.process_time(), self.progress, self.spec
        self.adapted.merge()
        self.adapted.gradient.zero_()
        for task in chosen_tasks(spec.seed, self.name, progress.step):
            inputs = self._inputs(task)
            logits = self.adapted.logits(inputs.ids, inputs.bias(self.adapted.embeddings.dtype), inputs.read)
            loss = inputs.loss(logits)
            loss.backward()
            solved = inputs.solved(logits.detach())
            progress.solved[task] = RECENT * progress.solved.get(task, solved) + (1 - RECENT) * solved
            progress.tokens += inputs.ids.numel()
            point = {"step": progress.step + 1, "tokens": progress.tokens, "task": task}
            progress.curve.append(point | {"loss": loss.item(), "solved": solved})
        torch.nn.utils.clip_grad_norm_([self.adapted.vector], spec.clip)
        self.optimiser.param_groups[0]["lr"] = spec.lr * min(1.0, (progress.step + 1) / spec.warmup)
        self.optimiser.step()
        progress.step += 1
        share = min(spec.longest_average, (1 + progress.step) / (10 + progress.step))
        self.average.lerp_(self.adapted.vector.detach(), 1 - share)
        progress.seconds += time.process_time() - began

    def _inputs(self, task: str) -> Inputs:
        step = self.progress.step
        batch = self.mixture.batch(task, self.name, step)
        if self.name == "arm":
            return arm_inputs(batch)
        own_seed = random.Random(f"{self.spec.seed}/masks/{task}/{step}").getrandbits(62)
        generator = torch.Generator().manual_seed(own_seed)
        return mdm_inputs(batch, self.adapted.mask_id, step / self.spec.anneal, generator)

    def measure(self) -> str:
        """Held-out problems and text, with the average of the trained numbers; in a line."""
        vector = self.adapted.vector.detach()
        now = vector.clone()
        vector.copy_(self.average)
        self.adapted.merge()
        text = text_loss(self.adapted, self.heldout_text, self.name)
        vector.copy_(now)
        model = merged_model(self.adapted, self.average, self.adapted.embeddings.dtype)
        tasks = solved_share(model, self.mixture.tokenizer, self.name, self.spec.measured, seed=1)
        progress = self.progress
        entry = {"step": progress.step, "tokens": progress.tokens, "seconds": progress.seconds, "text_loss": text}
        progress.measured.append(entry | {"tasks": tasks})
        return f"{self.name} held out after {progress.tokens:,} tokens: {told(tasks)}; text loss {text:.3f}"

    def store(self) -> None:
        """The state, the adapter, and the record of both phases."""
        state = self.optimiser.state[self.adapted.vector]
        vector = self.adapted.vector.detach()
        tensors = {
            "vector": vector,
            "average": self.average,
            "mean": state.get("exp_avg", torch.zeros_like(vector)),
            "square": state.get("exp_avg_sq", torch.zeros_like(vector)),
        }
        phase_state.store(self.out / self.name, tensors, self.progress)
        self.save_adapter(self.out / f"{self.name}_adapter")
        states = {name: phase_state.stored(self.out / name) for name in PHASES}
        phases = {name: asdict(stored[1]) for name, stored in states.items() if stored is not None}
        record = {"spec": asdict(self.spec), "torch": torch.__version__, **phases}
        write_whole(self.out / RECORD, json.dumps(record, indent=1))

    def save_adapter(self, folder: Path) -> None:
        tensors = self.adapted.parts_of(self.average)
        save_adapter(folder, tensors, self.adapted.shape, with_mask=self.name == "mdm")

    def _recent(self) -> str:
        progress = self.progress
        last = {point["task"]: point["loss"] for point in progress.curve[-MOST_BATCHES:]}
        tasks = ", ".join(f"{name} {loss:.3f} ({progress.solved[name]:.0%})" for name, loss in last.items())
        rate = f"{progress.tokens / progress.seconds:.0f} a second of the processor"
        return f"{self.name} step {progress.step}, {progress.tokens:,} tokens, {rate}: {tasks}"


def _is_kept(step: int) -> bool:
    return step >= FIRST_KEPT and step & (step - 1) == 0
