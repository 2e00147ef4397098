"""The model card of a trained model: README.md and loss.svg beside its weights, from the record of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from engine.files.reading import Json
from engine.tasks.registry import TASKS
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
    write_card,
)

Role = Literal["arm", "mdm"]

NAMES = {"arm": "ARM: the autoregressive half of the embedded pair", "mdm": "MDM: the masked diffusion half"}

HOW = {
    "arm": """Trained from scratch: next-token cross-entropy on the answer's tokens, causal attention. Read it
greedily, left to right, after a prompt that begins with `<bos>`.""",
    "mdm": f"""Post-trained from the ARM in `../arm` with the {RECIPE}: every answer
token is masked with probability t ~ U(0.001, 1), the cross-entropy of the masked tokens is weighted by 1/t, logits stay
shifted by one (the token at position i is predicted at i - 1), and the attention mask is annealed from causal to full
over the first sixteenth of the steps. There is no timestep input. Read it by denoising `<mask>` tokens, the most
confident first.

{BIDIRECTIONAL} This project loads it with
`engine.models`; elsewhere pass a four-dimensional attention mask that hides nothing but padding.""",
}


def write_model_card(folder: Path, role: Role, record: Json) -> None:
    """Write README.md and loss.svg into `folder`, which holds the model of `role` that `record` tells about.

    `record` is what engine.training writes as training.json. Numbers in the card are read from it and from the weights.
    """
    stage = record[role]
    lines = {
        task.title: [(point["step"], point["loss"]) for point in stage["curve"] if point["task"] == name]
        for name, task in TASKS.items()
    }
    write_card(folder, role, card(folder, role, record), lines, "100 steps")


def card(folder: Path, role: Role, record: Json) -> str:
    """The text of the card: metadata for the hub in YAML, then Markdown."""
    spec, stage = record["spec"], record[role]
    solved = {name: {"n": stage["accuracy_n"], "solved": share} for name, share in stage["accuracy"].items()}
    return f"""---
{hub_metadata(f"embedded-{role}", role, stage["accuracy"], library_name="transformers")}
---

# {NAMES[role]}

A {_shape(spec)}:
{_parameters(folder):,} parameters in fp32, with a word-level tokenizer. It solves four synthetic tasks, so that the
circuits of an autoregressive model and of the masked diffusion model made from it can be compared on any machine.

## Held-out accuracy

{accuracy_table(solved)}

{stage["accuracy_n"]} problems a task, drawn from the tenth of all problems that training never saw (chosen by a hash of
what makes the problem: operands and target, puzzle, names and template);
{MEASURED[role]}.
{INTERVALS} Any answer that the task's checker accepts counts, not only the one that was taught.

## Training

{HOW[role]}

![Training loss by task](loss.svg)

{LOSS_FLOOR}

| | |
|---|---|
| Steps | {spec[f"{role}_steps"]:,} of {spec["batch"]} problems of one task each |
| Problems | a pool of {spec["pool"]:,} a task |
| Optimiser | AdamW, peak learning rate {spec[f"{role}_lr"]:g}, {spec["warmup"]} steps of warm-up, cosine to 0 |
| Precision | {spec["precision"]}{", torch.compile" if spec["compile"] else ""}, torch {record["torch"]} |
| Seed | {spec["seed"]} |
| Time | {stage["minutes"]:.0f} minutes |

    {command(spec)}

makes both models again, on any machine; {OTHER_MACHINES}

## What it is not for

{PURPOSE} It knows the words and sentence frames of these four tasks, was never trained on
natural language, and answers every other input with noise. What its circuits show holds for models of this size and
these tasks; whether larger models behave alike is for measurements of larger models to say.
"""


def command(spec: Json) -> str:
    """The command line that trains with `spec`."""
    flags = [f"--{name.replace('_', '-')} {spec[name]}" for name in ("seed", "arm_steps", "mdm_steps", "precision")]
    return " ".join(["python -m engine train --out DIR", *flags, *(["--compile"] if spec["compile"] else [])])


def _shape(spec: dict[str, Any]) -> str:
    heads = f"{spec['heads']} query and {spec['kv_heads']} key-value heads"
    return f"transformer of {spec['layers']} layers, {heads}, d_model {spec['d_model']}, gated MLP of {spec['d_mlp']}"


def _parameters(folder: Path) -> int:
    from math import prod

    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118 - no mapping
