"""Which stored runs of a sweep are compared with each other: every other model with the ARM of the same settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.errors import UserError
from engine.runs import lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.sweeps.sweep_file import Sweep


@dataclass(frozen=True)
class Group:
    """An ARM's run, and the runs of other models with the same settings; two that hold the same runs are equal."""

    arm: Run
    others: tuple[Run, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.arm, *self.others)


@dataclass(frozen=True)
class ComparedRuns:
    """The runs of a sweep, of which `missing` have no stored circuit."""

    specs: tuple[RunSpec, ...]
    groups: tuple[Group, ...]
    missing: tuple[RunSpec, ...]

    @property
    def largest_k(self) -> int | None:
        """Up to which K all circuits can be compared; None: none are there."""
        return min((run.meta.graph.n_edges for group in self.groups for run in group.runs), default=None)


def compared_runs(sweep: Sweep) -> ComparedRuns:
    """Look up the runs of a sweep; nothing is computed.

    Raises:
        UserError: the sweep has no ARM or nothing to compare with it, or what it names is not there.
    """
    specs = tuple(sweep.specs())
    others = [spec for spec in specs if not spec.is_arm]
    if not others or len(others) == len(specs):
        raise UserError(
            f"The sweep {sweep.name} compares nothing: its models are {', '.join(sweep.models)}. "
            "Name arm and another model."
        )
    there = lifecycle.find_all(specs)
    missing = tuple(spec for spec in specs if spec not in there)
    return ComparedRuns(specs, _groups(there, others), missing)


def _groups(there: dict[RunSpec, Run], others: Iterable[RunSpec]) -> tuple[Group, ...]:
    compared: dict[RunSpec, list[Run]] = {}
    for spec in others:
        arm = replace(spec, model="arm")  # which has no number of denoising steps
        if spec in there and arm in there:
            compared.setdefault(arm, []).append(there[spec])
    return tuple(Group(there[arm], tuple(runs)) for arm, runs in compared.items())
