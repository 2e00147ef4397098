"""The model card of a shipped adapter: README.md and loss.svg beside it, from the record of its training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.circuits.intervals import wilson
from engine.files.reading import Json
from engine.tasks.registry import TASKS
from engine.training.adapter_measures import Shares
from engine.training.loss_chart import loss_svg

BASE, LICENCE = "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"
WINDOW = 20  # batches of a task that a point of the loss chart is the mean of

NAMES = {
    "arm": "ARM of the pair smollm2: an adapter of SmolLM2-135M-Instruct",
    "mdm": "MDM of the pair smollm2: an adapter that makes its ARM a masked diffusion model",
}
HOW = {
    "arm": """Merged into SmolLM2-135M-Instruct it solves four tasks put as plain text. It was trained by next-token
cross-entropy of the answer's tokens, mixed with text that the base model wrote itself. Read it greedily.""",
    "mdm": """Merged into SmolLM2-135M-Instruct **after the adapter in `../arm`** it fills masked tokens in.
It was post-trained from that ARM by the recipe of Gong et al. 2025 (arXiv 2410.17891): masked cross-entropy weighted by
1/t with t integrated out, logits shifted by one (the token at position i is predicted at i - 1), the attention mask
annealed from causal to full over the first {anneal} steps. The mask is one added token, `<|mask|>`, whose embedding
is the tensor `mask_embedding` [1, 576] of the file. Read it by denoising, the most confident token first.

**Its attention is bidirectional: a loader that adds a causal mask gets other logits.**""",
}
KINDS = {"arm": "autoregressive", "mdm": "masked-diffusion"}
TEXT_LOSS = {
    "arm": ("Perplexity of held-out text of the base model", math.exp),
    "mdm": ("Cross-entropy of masked tokens of held-out text of the base model, half of them masked", float),
}
MEASURED = {
    "arm": "greedy decoding",
    "mdm": "confidence-ordered denoising, a token a step (IOI, greater-than: one step)",
}
FEWER = "\nThe MDM was asked fewer problems of the two tasks that it answers a token at a time."


def write_adapter_card(folder: Path, role: str, record: Json) -> None:
    """Write README.md and loss.svg into `folder`; `record` is what engine.training.adapter_release writes."""
    stage = record[role]
    lines = {task.title: _means(stage["curve"], name) for name, task in TASKS.items()}
    title = f"{role.upper()}: training loss (mean of {WINDOW} batches)"
    (folder / "loss.svg").write_text(loss_svg({title: line for title, line in lines.items() if line}, title))
    (folder / "README.md").write_text(card(role, record))


def card(role: str, record: Json) -> str:
    """The text of the card: metadata for the hub in YAML, then Markdown."""
    spec, stage = record["spec"], record[role]
    solved = stage["final"]
    fewer = max(share["n"] for share in solved.values()) != min(share["n"] for share in solved.values())
    return f"""---
{_metadata(role, solved)}
---

# {NAMES[role]}

{HOW[role].format(**spec)}

## Held-out accuracy

{_accuracy_table(solved)}

Problems drawn from the tenth of all problems that training never saw; {MEASURED[role]}.{FEWER if fewer else ""}
In brackets: 95 % Wilson intervals. COUNTDOWN has three operands from 2 to 40; any solution counts.

## Training

![Training loss by task](loss.svg)

Every later year is right in greater-than, so its loss has a floor above 0. Along the way, with fewer problems:

{_curve_table(role, stage["measured"])}

| | |
|---|---|
| Tokens | {stage["tokens"]:,} in {stage["step"]:,} steps of batches of two tasks |
| Time of the processor | {stage["seconds"] / 60:.0f} minutes of one core |
| Adapter | LoRA of rank {spec["rank"]}, alpha {spec["alpha"]:g}, all linear maps of all layers |
| Optimiser | Adam, learning rate {spec["lr"]:g} after {spec["warmup"]} steps of warm-up; kept: a running average |
| Precision | weights in {spec["precision"]}, adapters in fp32, torch {record["torch"]} |
| Seed | {spec["seed"]} |

    {command(record)}

trains both adapters again; another torch or processor gives slightly other weights.
{_checkpoints(stage)}
## What it is not for

Anything but the study of circuits. On the four tasks it answers in their formats, and on all else it is at best what
SmolLM2-135M was before; its text became less likely under it, as the table says.
"""


def command(record: Json) -> str:
    """The command line that trains both adapters for as long."""
    tokens = " ".join(f"--{role}-tokens {record[role]['tokens']}" for role in NAMES)
    return f"python -m engine train --recipe smollm2 --out DIR {tokens}"


def _metadata(role: str, solved: Shares) -> str:
    """What the hub reads of a card, in YAML: base model, licence, task, tags and the measured accuracies."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=name,
            dataset_name=f"{task.title} (held out)",
            metric_type="accuracy",
            metric_value=round(solved[name]["solved"], 4),
        )
        for name, task in TASKS.items()
    ]
    return ModelCardData(
        library_name="peft",
        base_model=BASE,
        license=LICENCE,
        pipeline_tag="text-generation" if role == "arm" else "fill-mask",
        tags=[
            "mechanistic-interpretability",
            "circuits",
            "lora",
            "autoregressive" if role == "arm" else "masked-diffusion",
        ],
        model_name=f"smollm2-{role}",
        eval_results=results,
    ).to_yaml()


def _accuracy_table(solved: Shares) -> str:
    rows = ["| Task | Family | Problems | Solved |", "|---|---|---|---|"]
    for name, task in TASKS.items():
        share, n = solved[name]["solved"], int(solved[name]["n"])
        low, high = wilson(share, n)
        rows.append(f"| {task.title} | {task.family} | {n} | {share:.1%} ({low:.1%} to {high:.1%}) |")
    return "\n".join(rows)


def _curve_table(role: str, measured: Sequence[Json]) -> str:
    what, of = TEXT_LOSS[role]
    titles = [task.title for task in TASKS.values()]
    rows = [f"| Tokens | {' | '.join(titles)} | {what} |", "|---" * (2 + len(titles)) + "|"]
    for point in measured:
        shares = " | ".join(f"{point['tasks'][name]['solved']:.0%} of {point['tasks'][name]['n']}" for name in TASKS)
        rows.append(f"| {point['tokens']:,} | {shares} | {of(point['text_loss']):.2f} |")
    return "\n".join(rows)


def _checkpoints(stage: Json) -> str:
    """What the shipped checkpoints solve; nothing of an ARM, which has none."""
    points = stage.get("checkpoints")
    if not points:
        return ""
    titles = [task.title for task in TASKS.values()]
    rows = [f"| Step | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for point in points:
        shares = " | ".join(f"{point['tasks'][name]['solved']:.0%} of {point['tasks'][name]['n']}" for name in TASKS)
        rows.append(f"| {point['step']:,} | {shares} |")
    return f"""
## Checkpoints

`../steps` holds the MDM along its training. To be small, each is the nearest adapter of rank {points[0]["rank"]};
what they solve as they are there:

{chr(10).join(rows)}
"""


def _means(curve: Sequence[Any], task: str) -> list[tuple[int, float]]:
    """(step, mean loss) of a task's batches, so many at a time."""
    points = [point for point in curve if point["task"] == task]
    windows = [points[start : start + WINDOW] for start in range(0, len(points), WINDOW)]
    return [(window[-1]["step"], sum(point["loss"] for point in window) / len(window)) for window in windows]
