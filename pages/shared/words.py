"""Plain words for models and artifacts, as they stand in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.models.pair import CONTROL
from engine.schema.artifacts import ALL_KINDS, KIND_TITLES, AnyKind
from pages.figures.palette import NAME

ARTIFACTS: dict[AnyKind, str] = {**KIND_TITLES, "weights": "analysis of the weights"}  # which are no weights of a model


def model_name(model: str) -> str:
    if model == CONTROL:
        return "the control"
    return f"the MDM after {int(model[5:]):,} steps" if model.startswith("step:") else f"the {NAME[model]}"


def artifact_name(kind: AnyKind, *models: str) -> str:
    """As in "logit lens of the ARM and the MDM"."""
    return f"{ARTIFACTS[kind]} of {listed([model_name(model) for model in models])}"


def artifact_names(artifacts: Iterable[tuple[AnyKind, str]]) -> str:
    """Kinds of artifacts and their models, as in "the logit lens of the ARM and the activations of the ARM"."""
    models: dict[AnyKind, list[str]] = {}
    for kind, model in artifacts:
        models.setdefault(kind, []).append(model)
    names = [f"the {artifact_name(kind, *models[kind])}" for kind in ALL_KINDS if kind in models]
    return listed(names) if len(names) < 3 else "; ".join(names)


def counted(number: int, noun: str) -> str:
    """As in "1 run", "2 runs"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """Names as they stand in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
