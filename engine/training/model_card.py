"""The model card of a trained model: README.md and loss.svg beside its weights, from the record of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from engine.circuits.intervals import wilson
from engine.files.reading import Json
from engine.tasks.registry import TASKS
from engine.training.loss_chart import loss_svg

Role = Literal["arm", "mdm"]

NAMES = {"arm": "ARM: the autoregressive half of the embedded pair", "mdm": "MDM: the masked diffusion half"}

HOW = {
    "arm": """Trained from scratch: next-token cross-entropy on the answer's tokens, causal attention. Read it
greedily, left to right, after a prompt that begins with `<bos>`.""",
    "mdm": """Post-trained from the ARM in `../arm` with the recipe of Gong et al. 2025 (arXiv 2410.17891): every answer
token is masked with probability t ~ U(0.001, 1), the cross-entropy of the masked tokens is weighted by 1/t, logits stay
shifted by one (the token at position i is predicted at i - 1), and the attention mask is annealed from causal to full
over the first sixteenth of the steps. There is no timestep input. Read it by denoising `<mask>` tokens, the most
confident first.

**Its attention is bidirectional: a loader that adds a causal mask gets other logits.** This project loads it with
`engine.models`; elsewhere pass a four-dimensional attention mask that hides nothing but padding.""",
}

MEASURED = {
    "arm": "greedy decoding",
    "mdm": "confidence-ordered denoising, a token a step",
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
    (folder / "loss.svg").write_text(loss_svg(lines, f"{role.upper()}: training loss (mean of 100 steps)"))
    (folder / "README.md").write_text(card(folder, role, record))


def card(folder: Path, role: Role, record: Json) -> str:
    """The text of the card: metadata for the hub in YAML, then Markdown."""
    spec, stage = record["spec"], record[role]
    return f"""---
{hub_metadata(f"embedded-{role}", role, stage["accuracy"], library_name="transformers")}
---

# {NAMES[role]}

A {_shape(spec)}:
{_parameters(folder):,} parameters in fp32, with a word-level tokenizer. It solves four synthetic tasks, so that the
circuits of an autoregressive model and of the masked diffusion model made from it can be compared on any machine.

## Held-out accuracy

{_accuracy_table(stage)}

{stage["accuracy_n"]} problems a task, drawn from the tenth of all problems that training never saw (chosen by a hash of
what makes the problem: operands and target, puzzle, names and template);
{MEASURED[role]}.
In brackets: 95 % Wilson intervals. Any answer that the task's checker accepts counts, not only the one that was taught.

## Training

{HOW[role]}

![Training loss by task](loss.svg)

Every later year is right in greater-than, so its loss has a floor above 0.

| | |
|---|---|
| Steps | {spec[f"{role}_steps"]:,} of {spec["batch"]} problems of one task each |
| Problems | a pool of {spec["pool"]:,} a task |
| Optimiser | AdamW, peak learning rate {spec[f"{role}_lr"]:g}, {spec["warmup"]} steps of warm-up, cosine to 0 |
| Precision | {spec["precision"]}{", torch.compile" if spec["compile"] else ""}, torch {record["torch"]} |
| Seed | {spec["seed"]} |
| Time | {stage["minutes"]:.0f} minutes |

    {command(spec)}

makes both models again, on any machine; another torch or processor gives slightly other weights.

## What it is not for

Anything but the study of circuits. It knows the words and sentence frames of these four tasks, was never trained on
natural language, and answers every other input with noise. What its circuits show holds for models of this size and
these tasks; whether larger models behave alike is for measurements of larger models to say.
"""


def command(spec: Json) -> str:
    """The command line that trains with `spec`."""
    flags = [f"--{name.replace('_', '-')} {spec[name]}" for name in ("seed", "arm_steps", "mdm_steps", "precision")]
    return " ".join(["python -m engine train --out DIR", *flags, *(["--compile"] if spec["compile"] else [])])


def hub_metadata(name: str, role: str, solved: Mapping[str, float], tags: Sequence[str] = (), **fields: Any) -> str:
    """What the hub reads of a card, in YAML: task, tags, the shares that were solved by task, and `fields`."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=task_name,
            dataset_name=f"{task.title} (held out)",
            metric_type="accuracy",
            metric_value=round(solved[task_name], 4),
        )
        for task_name, task in TASKS.items()
    ]
    kind = {"arm": "autoregressive", "mdm": "masked-diffusion"}[role]
    return ModelCardData(
        pipeline_tag="text-generation" if role == "arm" else "fill-mask",
        tags=["mechanistic-interpretability", "circuits", *tags, kind],
        model_name=name,
        eval_results=results,
        **fields,
    ).to_yaml()


def _accuracy_table(stage: Json) -> str:
    rows = ["| Task | Family | Solved |", "|---|---|---|"]
    for name, task in TASKS.items():
        share = stage["accuracy"][name]
        low, high = wilson(share, stage["accuracy_n"])
        rows.append(f"| {task.title} | {task.family} | {share:.1%} ({low:.1%} to {high:.1%}) |")
    return "\n".join(rows)


def _shape(spec: dict[str, Any]) -> str:
    heads = f"{spec['heads']} query and {spec['kv_heads']} key-value heads"
    return f"transformer of {spec['layers']} layers, {heads}, d_model {spec['d_model']}, gated MLP of {spec['d_mlp']}"


def _parameters(folder: Path) -> int:
    from math import prod

    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118 - no mapping
