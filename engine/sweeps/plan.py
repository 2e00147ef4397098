"""What a sweep has to compute: of every run the artifacts, of every circuit the evidence, in the order of computing.

1. `wanted` lists it by specs alone, which every machine can, whether it has the weights or not: an artifact that
   several runs share (engine/runs/artifacts.py) belongs to the first of them.
2. engine/sweeps/shards.py shares that out.
3. `plan` looks up what is wanted (weights, keys) and leaves out what is stored. What cannot be looked up has failed,
   and keeps nothing else from being computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.errors import UserError
from engine.runs import evidence, lifecycle
from engine.runs.artifacts import FIELDS
from engine.runs.cache_connection import store
from engine.runs.execution import not_stored
from engine.runs.provenance import parts_of, resolve
from engine.runs.records import Run
from engine.runs.run_lines import named
from engine.runs.spec import RunSpec
from engine.runs.steps import PartStep, Step
from engine.runs.stored import has
from engine.schema.artifacts import KIND_TITLES, PART, EvidenceKind, Kind
from engine.sweeps import cost
from engine.sweeps.sweep_file import Sweep


@dataclass(frozen=True)
class Wanted:
    """Artifacts of a run that are computed together. `compared`: the runs whose circuits its evidence needs, too.

    `denoising_steps`: of the MDM that an ARM's evidence is compared with, for each a piece of evidence.
    `parts`: the examples of the parts of its circuit that are computed with it, where that has any.
    """

    spec: RunSpec
    kinds: tuple[Kind, ...] = ()
    evidence: tuple[EvidenceKind, ...] = ()
    denoising_steps: tuple[int, ...] = (0,)
    parts: tuple[range, ...] = ()

    @property
    def compared(self) -> tuple[RunSpec, ...]:
        if all(kind in evidence.OF_ONE_MODEL for kind in self.evidence):
            return ()
        return tuple(evidence.other_of(self.spec, steps) for steps in self.denoising_steps)

    @property
    def multiplications(self) -> float:
        own = sum(cost.multiplications(self.spec, kind) for kind in self.kinds)
        if "circuit" in self.kinds and parts_of(self.spec):
            own -= (1 - cost.MADE_OF_PARTS) * cost.multiplications(self.spec, "circuit")
        of_parts = sum(cost.multiplications(self.spec, "circuit", len(part)) for part in self.parts)
        of_evidence = sum(
            cost.multiplications(self.spec, kind) * (1 if kind in evidence.OF_ONE_MODEL else len(self.denoising_steps))
            for kind in self.evidence
        )
        return own + of_parts + of_evidence


@dataclass(frozen=True)
class Refused:
    """Artifacts of a run that cannot be computed here, and why; `what`: of which kinds."""

    spec: RunSpec
    what: str
    reason: str
    multiplications: float = 0.0  # that they would take (engine/sweeps/cost.py)

    def __str__(self) -> str:
        return f"{self.what} of the {named(self.spec)}: {self.reason}"


@dataclass(frozen=True)
class SweepPlan:
    """`steps`: what is to be computed, in that order. `waiting`: what needs something that is computed elsewhere."""

    steps: tuple[Step, ...]
    refused: tuple[Refused, ...]
    waiting: tuple[Step, ...] = ()


def wanted(sweep: Sweep) -> list[Wanted]:
    """Everything that a sweep is to leave in the cache, model by model.

    Raises:
        UserError: as Sweep.specs.
    """
    seen: set[tuple[object, ...]] = set()
    everything = []
    for spec in sweep.specs():
        kinds = []
        for kind in sweep.kinds:
            depends_on = (kind, *(getattr(spec, field) for field in FIELDS[kind])) if kind in FIELDS else (kind, spec)
            if depends_on not in seen:
                seen.add(depends_on)
                kinds.append(kind)
        steps = sweep.denoising_steps if spec.is_arm else (0,)
        parts = parts_of(spec) if "circuit" in kinds or sweep.evidence else ()
        everything.append(Wanted(spec, tuple(kinds), sweep.evidence_kinds, steps, parts))
    return everything


def plan(own: Sequence[Wanted], everything: Sequence[Wanted] = ()) -> SweepPlan:
    """What of a share is missing in the cache, circuits before the evidence that needs them.

    `everything`: of which it is a share, so that parts of circuits which belong to another are left to it.

    Raises:
        UserError: the cache cannot be read.
    """
    steps: list[Step] = []
    refused: list[Refused] = []
    there = lifecycle.find_all([*(each.spec for each in own), *(other for each in own for other in each.compared)])
    # A run first, so that circuits come before evidence, whose circuits may be of other runs.
    apart = [*(replace(each, evidence=()) for each in own), *(replace(each, kinds=(), parts=()) for each in own)]
    for each in apart:
        try:
            steps += [*_of_run(each, there), *_of_evidence(each, there)]
        except UserError as error:
            what = ", ".join(KIND_TITLES[kind] for kind in (*each.kinds, *each.evidence)) or "part of the circuit"
            refused.append(Refused(each.spec, what, str(error), each.multiplications))
    elsewhere = _parts_of(everything) - _parts_of(own)
    missing = [step for step in not_stored(steps) if not _is_part_of(elsewhere, step)]
    ready = _without_waiting(missing)
    at_once = {step.key for step in ready}
    return SweepPlan(tuple(ready), tuple(refused), tuple(step for step in missing if step.key not in at_once))


def _of_run(each: Wanted, there: Mapping[RunSpec, Run]) -> list[Step]:
    if not each.kinds and not each.parts:
        return []
    resolved = resolve(each.spec)
    stored = there.get(each.spec)
    if stored is not None and stored.key != resolved.key:  # which a bundle brought, of the same weights
        # What runs of several seeds share is computed all the same: the others may not have come in the bundle.
        own = [kind for kind in each.kinds if "n" not in FIELDS.get(kind, ("n",)) or not has(stored, kind)]
        return [Step(resolved, kind) for kind in own if kind != "circuit"]
    parts: list[Step] = [PartStep(resolved, PART, part) for part in each.parts]
    return parts + [Step(resolved, kind) for kind in each.kinds]


def _of_evidence(each: Wanted, there: Mapping[RunSpec, Run]) -> list[Step]:
    steps: list[Step] = []
    for denoising_steps in each.denoising_steps if each.evidence else ():
        steps += evidence.plan([each.spec], each.evidence, denoising_steps=denoising_steps, there=there)
    return steps


def _parts_of(share: Sequence[Wanted]) -> set[tuple[RunSpec, range]]:
    return {(each.spec, part) for each in share for part in each.parts}


def _is_part_of(parts: set[tuple[RunSpec, range]], step: Step) -> bool:
    return isinstance(step, PartStep) and (step.spec, step.examples) in parts


def _without_waiting(steps: Sequence[Step]) -> list[Step]:
    """The steps of which everything they need is stored or among them."""
    left, before = list(steps), -1
    while len(left) != before:
        before, keys = len(left), {step.key for step in left}
        left = [step for step in left if all(key in keys or store().record(key) for key in step.needs)]
    return left
