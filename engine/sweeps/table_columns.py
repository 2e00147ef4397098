"""The columns of a sweep's table: what each holds, in which unit and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Stored = Literal["string", "int64", "double", "bool"]  # as Arrow calls types


@dataclass(frozen=True)
class Column:
    """`nullable`: empty where something is not computed, or does not apply. `low`, `high`: the bounds of numbers."""

    name: str
    type: Stored
    unit: str
    meaning: str
    low: float = -inf
    high: float = inf
    nullable: bool = False

    @property
    def bounds(self) -> str:
        """As in "0 to 1", "from 0 on"; empty where there are none."""
        if self.high < inf:
            return f"{self.low:g} to {self.high:g}"
        return f"from {self.low:g} on" if self.low > -inf else ""


def _text(name: str, meaning: str) -> Column:
    return Column(name, "string", "", meaning)


def _count(name: str, unit: str, meaning: str, low: int = 0, nullable: bool = False) -> Column:
    return Column(name, "int64", unit, meaning, low, nullable=nullable)


def _share(name: str, meaning: str, unit: str = "share", nullable: bool = True) -> Column:
    return Column(name, "double", unit, meaning, 0, 1, nullable)


def _correlation(name: str, meaning: str) -> Column:
    return Column(name, "double", "Spearman", meaning, -1, 1, nullable=True)


def _f(name: str, meaning: str) -> tuple[Column, ...]:
    ends = (("_low", "lower"), ("_high", "upper"))
    interval = (Column(name + end, "double", "share", f"{which} end of its 95 % interval", nullable=True)
                for end, which in ends)  # fmt: skip
    return (Column(name, "double", "share", meaning, nullable=True), *interval)


COLUMNS = (
    _text("pair", "name of the pair of models"),
    _text("task", "name of the task"),
    _text("model", "what is compared with the ARM: mdm, control (the step-0 control) or step:N (a checkpoint)"),
    _count("step", "optimiser steps", "N of a checkpoint, after which it was saved; empty for other models",
           nullable=True),
    _text("method", "how edges were scored"),
    _count("points", "points", "integration points; only the eap-ig methods use them", 1),
    _text("metric", "of which the scores are"),
    _text("order", "in which the compared model reveals its answer"),
    _count("denoising_steps", "steps", "in how many steps it does; 0: the task's usual number"),
    _count("template", "", "number of the prompt template; 0: the task's usual prompts"),
    _count("n", "examples", "of which the circuits were computed", 1),
    _count("seed", "", "of the examples"),
    _text("dtype", "number format of the models"),
    _count("k", "edges", "K, the size of both circuits", 1),
    _count("n_edges", "edges", "all edges of the model", 1),
    _share("overlap", "of the ARM's K strongest edges with the compared model's", "Jaccard", nullable=False),
    _share("overlap_low", "lower end of its 95 % interval over prompts, edges ranked anew in every draw", "Jaccard"),
    _share("overlap_high", "upper end of it", "Jaccard"),
    _share("chance", "overlap of two random circuits of K edges", "Jaccard", nullable=False),
    _share("split_half_pair", "overlap of the ARM's circuit of one half of the examples with the compared model's of "
           "the other half, mean of both ways", "Jaccard"),
    _share("split_half_arm", "overlap of the ARM's circuits of both halves", "Jaccard"),
    _share("split_half_other", "the same of the compared model", "Jaccard"),
    _share("early_share_arm", "of the importance of components, what the first third of the layers has"),
    _share("early_share_other", "the same in the compared model"),
    Column("early_ratio", "double", "ratio", "early_share_other / early_share_arm", 0, nullable=True),
    Column("effective_number_arm", "double", "components", "over how many components importance is spread", 0,
           nullable=True),
    Column("effective_number_other", "double", "components", "the same in the compared model", 0, nullable=True),
    _share("accuracy_arm", "of held-out problems, those that the ARM solves"),
    _share("accuracy_other", "the same of the compared model"),
    _count("accuracy_n", "problems", "of which accuracies are, where both models were measured on as many", 1,
           nullable=True),
    Column("both_can_do", "bool", "", "whether both models can do the task: the circuit of a model that cannot is not "
           "informative; empty where an accuracy is not measured yet", nullable=True),
    _count("f_k", "edges", "size of the circuits whose faithfulness f follows: K, or the measured size that is nearest "
           "to it by ratio", 1, nullable=True),
    *_f("f_arm", "f of the ARM's circuit in the ARM: 1 is the whole model, 0 the corrupted run"),
    *_f("f_other", "f of the compared model's circuit in that model"),
    *_f("f_arm_in_other", "f of the ARM's circuit in the compared model"),
    *_f("f_other_in_arm", "f of the compared model's circuit in the ARM"),
    _correlation("knockouts_spearman", "rank correlation over heads and MLPs of the change of the metric without "
                 "each, in the ARM and in the compared model"),
    _share("right_without_shared_arm", "of scored tokens, those that the ARM gets right without the heads that are "
           "important in both models"),
    _share("right_without_shared_other", "the same of the compared model"),
    _correlation("audit_spearman_arm", "rank correlation of the scores that the ARM's circuit is made of with exact "
                 "ones, over the audited edges; empty where the method is not audited"),
    _correlation("audit_spearman_other", "the same in the compared model"),
    _text("arm_run", "key of the ARM's run"),
    _text("other_run", "key of the compared model's run"),
    _text("remarks", "what to know before the numbers are believed, in sentences, such as that a model cannot do the "
          "task"),
)  # fmt: skip
NAMES = tuple(column.name for column in COLUMNS)


def number_or_empty(value: float) -> float | None:
    """A number as a column holds it: empty where there is none."""
    return None if isnan(value) else value


def schema() -> pa.Schema:
    """The columns as Arrow has them, with their meanings."""
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
    return pa.schema(
        [
            pa.field(column.name, types[column.type], column.nullable, {"unit": column.unit, "meaning": column.meaning})
            for column in COLUMNS
        ]
    )
