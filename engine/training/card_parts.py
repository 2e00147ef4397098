"""What the cards of trained models and of adapters share: metadata for the hub, tables, sentences, both files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.circuits.intervals import wilson
from engine.tasks.registry import TASKS
from engine.training.loss_chart import loss_svg

if TYPE_CHECKING:
    from engine.training.adapter_measures import Shares

RECIPE = "recipe of Gong et al. 2025 (arXiv 2410.17891)"
BIDIRECTIONAL = "**Its attention is bidirectional: a loader that adds a causal mask gets other logits.**"
INTERVALS = "In brackets: 95 % Wilson intervals."
LOSS_FLOOR = "Every later year is right in greater-than, so its loss has a floor above 0."
OTHER_MACHINES = "another torch or processor gives slightly other weights."
PURPOSE = "Anything but the study of circuits."
MEASURED = {"arm": "greedy decoding", "mdm": "confidence-ordered denoising, a token a step"}


def write_card(folder: Path, role: str, text: str, losses: Mapping[str, Sequence[tuple[int, float]]], per: str) -> None:
    """Write README.md and loss.svg into `folder`; `losses`: (step, mean loss over `per`) by title of the task."""
    (folder / "loss.svg").write_text(loss_svg(losses, f"{role.upper()}: training loss (mean of {per})"))
    (folder / "README.md").write_text(text)


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


def accuracy_table(solved: Shares, with_counts: bool = False) -> str:
    """The share of every task that was solved, with its Wilson interval; `with_counts`: of how many problems, too."""
    rows = []
    for name, task in TASKS.items():
        share, n = solved[name]["solved"], int(solved[name]["n"])
        low, high = wilson(share, n)
        count = [str(n)] if with_counts else []
        rows.append(" | ".join([task.title, task.family, *count, f"{share:.1%} ({low:.1%} to {high:.1%})"]))
    return table(" | ".join(["Task", "Family", *(["Problems"] if with_counts else []), "Solved"]), rows)


def table(head: str, rows: Sequence[str]) -> str:
    """A table in Markdown; the cells of `head` and of each row are separated by " | "."""
    rule = "---".join("|" * (head.count("|") + 2))
    return "\n".join([f"| {head} |", rule, *(f"| {row} |" for row in rows)])
