"""What a sweep has to compute: of every run the artifacts, of every circuit the evidence, in the order of computing.

1. `wanted` lists it by specs alone, which every machine can, whether it has the weights or not: an artifact that
   several runs share (engine/runs/artifacts.py) belongs to the first of them.
2. engine/sweeps/shards.py shares that out.
3. `plan` looks up what is wanted (weights, keys) and leaves out what is stored. What cannot be looked up has failed,
   and keeps nothing else from being computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import UserError
from engine.models.pair import model_title
from engine.runs import evidence, lifecycle
from engine.runs.artifacts import FIELDS
from engine.runs.execution import not_stored
from engine.runs.provenance import resolve
from engine.runs.run_lines import settings_of
from engine.runs.spec import RunSpec
from engine.runs.steps import Step, circuit_steps
from engine.runs.stored import has
from engine.schema.artifacts import KIND_TITLES, EvidenceKind, Kind
from engine.sweeps import cost
from engine.sweeps.sweep_file import Sweep


@dataclass(frozen=True)
class Wanted:
    """Artifacts of a run that are computed together. `compared`: the runs whose circuits its evidence needs, too.

    `denoising_steps`: of the MDM that an ARM's evidence is compared with, for each a piece of evidence.
    """

    spec: RunSpec
    kinds: tuple[Kind, ...]
    evidence: tuple[EvidenceKind, ...] = ()
    denoising_steps: tuple[int, ...] = (0,)

    @property
    def compared(self) -> tuple[RunSpec, ...]:
        if all(kind in evidence.OF_ONE_MODEL for kind in self.evidence):
            return ()
        return tuple(evidence.other_of(self.spec, steps) for steps in self.denoising_steps)

    @property
    def multiplications(self) -> float:
        own = sum(cost.multiplications(self.spec, kind) for kind in self.kinds)
        return own + len(self.denoising_steps) * sum(cost.multiplications(self.spec, kind) for kind in self.evidence)


@dataclass(frozen=True)
class Refused:
    """Artifacts of a run that cannot be computed here, and why; `what`: of which kinds."""

    spec: RunSpec
    what: str
    reason: str

    def __str__(self) -> str:
        spec = self.spec
        run = f"{model_title(spec.model)}, {spec.pair}, {spec.task}, {settings_of(spec)}"
        return f"{self.what} of the {run}: {self.reason}"


@dataclass(frozen=True)
class Plan:
    """`steps`: what is to be computed, in that order."""

    steps: tuple[Step, ...]
    refused: tuple[Refused, ...]


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
        everything.append(Wanted(spec, tuple(kinds), sweep.evidence_kinds, steps))
    return everything


def plan(everything: Sequence[Wanted]) -> Plan:
    """What of it is missing in the cache, circuits before the evidence that needs them.

    Raises:
        UserError: the cache cannot be read.
    """
    steps: list[Step] = []
    of_evidence: list[Step] = []
    refused: list[Refused] = []
    for each in everything:
        try:
            steps += _of_run(each)
            for denoising_steps in each.denoising_steps if each.evidence else ():
                of_evidence += evidence.plan([each.spec], each.evidence, denoising_steps=denoising_steps)
        except UserError as error:
            what = ", ".join(KIND_TITLES[kind] for kind in (*each.kinds, *each.evidence))
            refused.append(Refused(each.spec, what, str(error)))
    return Plan(tuple(not_stored([*steps, *of_evidence])), tuple(refused))


def _of_run(each: Wanted) -> list[Step]:
    resolved = resolve(each.spec)
    stored = lifecycle.find(each.spec)
    if stored is not None and stored.key != resolved.key:  # which a bundle brought, of the same weights
        return [Step(resolved, kind) for kind in each.kinds if kind != "circuit" and not has(stored, kind)]
    steps: list[Step] = []
    for kind in each.kinds:
        steps += circuit_steps(resolved) if kind == "circuit" else [Step(resolved, kind)]
    return steps
