"""The specification of a run: small, frozen, picklable; everything in it changes a number."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import UserError
from engine.models.pair import CONTROL, DTYPES

METHODS = ("eap-ig", "eap-ig-midpoint", "clean-corrupted", "eap", "relp")
IMPORTED = "imported"  # the method of a circuit that a file brought (engine/exchange/import_circuit.py)
METRICS = ("logit_diff", "log_prob", "kl")
ORDERS = ("confidence", "left-to-right", "random")
LARGEST_SEED = 2**53 - 1  # the largest whole number that files and addresses keep exactly
TYPES = {
    "pair": str, "model": str, "task": str, "n": int, "seed": int, "points": int, "denoising_steps": int,
    "template": int, "source": str,
}  # fmt: skip
BOUNDS = {  # field -> what it is, the least and the most
    "n": ("a number of examples", 1, 10_000),
    "seed": ("a whole number", 0, LARGEST_SEED),
    "points": ("a number of integration points", 1, 1000),
    "denoising_steps": ("a number of steps", 0, 1000),
    "template": ("the number of a template", 0, 100),
}
LEFT_OUT_AT_ZERO = ("denoising_steps", "template")  # of what is stored, so that runs from before keep their keys
STEP = re.compile(r"step:(\d{1,12})", re.ASCII)
SOURCE = re.compile(r"[0-9a-f]{20}", re.ASCII)


@dataclass(frozen=True)
class RunSpec:
    """One circuit: a model of a pair on a task. Definitions of the words are METHOD's.

    `model` is "arm", "mdm", "control" for the ARM's own weights read as the MDM is (METHOD, "Step-0 control"), or
    "step:N" for the checkpoint after N steps of post-training ("step:000100" is step:100).
    `points` is m, the number of integration points; only the eap-ig methods use it.
    `order` is how an MDM's answer positions are revealed; an ARM ignores it.
    `denoising_steps` is S, in how many steps; 0: as many as the task has by default. An ARM has none, so that its spec
    says 0 whatever is asked: the ARM's circuit is one run for every S.
    `template` is the number of the prompt template of all examples; 0: the task's usual mixture (METHOD, "Templates").
    `source` tells circuits from elsewhere apart, whose method is "imported": it is made from their scores. `n`, `seed`,
    `metric` and `order` are then those with which such a circuit is evaluated, not what it was computed from.
    """

    pair: str = "embedded"
    model: str = "mdm"
    task: str = "ioi"
    n: int = 64
    seed: int = 0
    method: str = "eap-ig"
    points: int = 5
    metric: str = "logit_diff"
    order: str = "confidence"
    dtype: str = "float32"
    denoising_steps: int = 0
    template: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        self._refuse_other_types()
        if self.source and not SOURCE.fullmatch(self.source):
            raise UserError(f"source is {self.source!r}. It must be 20 of the digits 0 to 9 and a to f.")
        methods = (IMPORTED,) if self.source else METHODS
        for field, allowed in (("method", methods), ("metric", METRICS), ("order", ORDERS), ("dtype", DTYPES)):
            value = getattr(self, field)
            if value not in allowed:
                bring = " `python -m engine import-circuit` brings circuits from elsewhere." * (value == IMPORTED)
                raise UserError(f"{field} is {value!r}. Choose one of: {', '.join(allowed)}.{bring}")
        for field in ("pair", "task"):
            if not getattr(self, field).strip():
                raise UserError(f"{field} is {getattr(self, field)!r}. Name a {field}.")
        object.__setattr__(self, "model", _spelled(self.model))
        for field, (what, least, most) in BOUNDS.items():
            if not least <= getattr(self, field) <= most:
                raise UserError(f"{field} is {getattr(self, field)}. Choose {what} from {least} to {most}.")
        if self.method in ("eap", "relp") and self.metric == "kl":
            raise UserError(
                f"{self.method} takes gradients at the clean input only, where the metric kl has its maximum and its "
                "gradient is exactly zero: all scores would be rounding errors. Choose the method eap-ig, or the "
                "metric logit_diff or log_prob."
            )
        if self.is_arm:
            object.__setattr__(self, "denoising_steps", 0)

    def _refuse_other_types(self) -> None:
        for name, kind in TYPES.items():
            value = getattr(self, name)
            if type(value) is not kind:
                raise UserError(f"{name} is {value!r}. It must be {'a text' if kind is str else 'a whole number'}.")

    @property
    def is_arm(self) -> bool:
        return self.model == "arm"

    @property
    def is_control(self) -> bool:
        return self.model == CONTROL

    @property
    def is_imported(self) -> bool:
        """Whether it is a circuit from elsewhere, which nothing here can compute."""
        return self.method == IMPORTED

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as they are stored and sent; `source` and LEFT_OUT_AT_ZERO only where they are set."""
        left_out = (*LEFT_OUT_AT_ZERO, "source")
        return {name: value for name, value in asdict(self).items() if value or name not in left_out}

    @property
    def not_usual(self) -> tuple[str, ...]:
        """Choices that few runs make, as in "template 2", to be said beside a run's other settings."""
        return tuple(
            f"{name.replace('_', ' ')} {getattr(self, name)}" for name in LEFT_OUT_AT_ZERO if getattr(self, name)
        )


def _spelled(model: str) -> str:
    """The canonical spelling of a model: the same checkpoint is the same run."""
    step = STEP.fullmatch(model)
    if step:
        return f"step:{int(step[1])}"
    if model not in ("arm", "mdm", CONTROL):
        raise UserError(f"model is {model!r}. Choose arm, mdm, control or step:N, as in step:300.")
    return model
