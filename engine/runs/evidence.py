"""Evidence of stored circuits: which artifacts there are, what each depends on, and how they are read.

1. An evidence artifact examines the circuit of a run. `faithfulness` and `knockouts` also use the circuit of the other
   model: the MDM's of the same settings for an ARM, the ARM's for every other model. As an ARM's settings have no
   number of denoising steps, that of the MDM is asked for by itself (`denoising_steps`; 0: the task's own).
2. Its key is the hash of the kind, the keys of the circuits and the versions of what computes it.
3. `plan` lists the circuits and the evidence that are missing, in the order of computing; execution.carry_out computes
   them, here or in the worker.
4. `find`, `faithfulness_of` and `table` read what is stored, whichever versions computed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cache import queries
from cache.keys import hash_of
from cache.layout import Record
from engine.errors import UserError
from engine.runs import lifecycle, read
from engine.runs.cache_connection import errors_of_cache, records, store
from engine.runs.execution import Compute, OnProgress, not_stored
from engine.runs.provenance import LIBRARIES, WeightsNotHere, library_version, resolve
from engine.runs.records import EvidenceInputs, Run
from engine.runs.spec import RunSpec
from engine.runs.steps import Step, circuit_steps
from engine.schema.artifacts import EvidenceKind, tables_in
from engine.schema.evidence_tables import EVIDENCE_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

EVIDENCE_VERSION = 2  # raised by every change of engine/evidence that changes a number
OF_ONE_MODEL: tuple[EvidenceKind, ...] = ("audit",)  # kinds that use no other model's circuit
FAITHFULNESS: tuple[EvidenceKind, ...] = ("faithfulness", "faithfulness_at")
DEFAULT_KINDS: tuple[EvidenceKind, ...] = ("faithfulness", "knockouts", "audit")


@dataclass(frozen=True)
class EvidenceStep(Step):
    """Evidence to be computed. `circuit`, `other`: the provenance of the circuits; `size`: K, of `faithfulness_at`."""

    circuit: Mapping[str, Any] = field(default_factory=dict)
    other: Mapping[str, Any] | None = None
    size: int | None = None

    @property
    def key(self) -> str:
        return hash_of(self._made_with())

    @property
    def title(self) -> str:
        return f"{super().title}, K = {self.size}" if self.size else super().title

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(hash_of(circuit) for circuit in (self.circuit, self.other) if circuit)

    def record(self, meta: Mapping[str, Any], created: str, seconds: float) -> Record:
        return Record(self.key, self.kind, self._made_with(), meta, created, seconds)

    def inputs(self) -> EvidenceInputs:
        """The scores of the circuits, which are stored by now.

        Raises:
            UserError: one is not.
        """
        own = read.scores(hash_of(self.circuit))
        return EvidenceInputs(own, read.scores(hash_of(self.other)) if self.other else None, self.size)

    def is_current(self) -> bool:
        return resolve(self.spec).key == self.run.key  # which says weights, mask and shift as well

    def _made_with(self) -> dict[str, Any]:
        return {
            "artifact": self.kind,
            "evidence_version": EVIDENCE_VERSION,
            "circuit": hash_of(self.circuit),
            "spec": self.circuit["spec"],
            "other": hash_of(self.other) if self.other else None,
            "other_spec": self.other["spec"] if self.other else None,
            "size": self.size,
            "libraries": {name: library_version(name) for name in LIBRARIES},
        }


@dataclass(frozen=True)
class Evidence:
    """A stored evidence artifact."""

    record: Record

    @property
    def key(self) -> str:
        return self.record.key

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def size(self) -> int | None:
        """K, of `faithfulness_at`."""
        size: int | None = self.record.made_with.get("size")
        return size

    @property
    def meta(self) -> Mapping[str, Any]:
        """What sums it up: engine/evidence/circuit_runs.py, knockouts.py, audit.py."""
        return self.record.meta


def other_of(spec: RunSpec, denoising_steps: int = 0) -> RunSpec:
    """The run whose circuit is compared with that of a spec: the MDM's for an ARM, the ARM's for any other model.

    `denoising_steps`: of the MDM with which an ARM is compared. A circuit that a file brought is compared with one of
    the usual method.
    """
    method = RunSpec.method if spec.is_imported else spec.method
    model = "mdm" if spec.is_arm else "arm"
    return replace(spec, model=model, method=method, source="", denoising_steps=denoising_steps)


def plan(
    specs: Sequence[RunSpec],
    kinds: Sequence[EvidenceKind],
    size: int | None = None,
    denoising_steps: int = 0,
    there: Mapping[RunSpec, Run] | None = None,
) -> list[Step]:
    """What is missing of this evidence, the circuits that it needs first; of one model after the other.

    `denoising_steps`: as in `other_of`. `there`: the stored runs of all that is needed, where they were looked up.

    Raises:
        UserError: a spec asks for what there is not, or its weights are not here.
    """
    steps: list[Step] = []
    for spec in specs:
        needed = [spec] + ([other_of(spec, denoising_steps)] if any(kind not in OF_ONE_MODEL for kind in kinds) else [])
        runs = [resolve(each) for each in needed]
        provenances = []
        for run in runs:
            stored = lifecycle.find(run.spec) if there is None else there.get(run.spec)
            provenances.append(stored.provenance if stored else run.provenance)
            if stored is None:
                steps += circuit_steps(run)
        for kind in kinds:
            alone = kind in OF_ONE_MODEL
            steps.append(
                EvidenceStep(
                    runs[0], kind, provenances[0], None if alone else provenances[1],
                    size if kind == "faithfulness_at" else None,
                )
            )  # fmt: skip
    return sorted(not_stored(steps), key=lambda step: isinstance(step, EvidenceStep))


def plan_circuits(specs: Sequence[RunSpec]) -> list[Step]:
    """What computes the circuits of these specs that are missing, nothing else of their runs. Raises like `plan`."""
    steps = [step for spec in specs if lifecycle.find(spec) is None for step in circuit_steps(resolve(spec))]
    return not_stored(steps)


def compute(
    specs: Sequence[RunSpec],
    kinds: Sequence[EvidenceKind],
    size: int | None = None,
    on_progress: OnProgress = lifecycle.ignore,
    compute: Compute | None = None,
    denoising_steps: int = 0,
) -> None:
    """Compute here what is missing of this evidence, circuits included; `denoising_steps`: as in `other_of`.

    Nothing is where the weights are not here but all of it is stored.

    Raises:
        UserError: as `plan`, and as lifecycle.run_all.
    """
    try:
        lifecycle.carry_out(lambda: plan(specs, kinds, size, denoising_steps), on_progress, compute)
    except WeightsNotHere:
        if not all(_is_stored(spec, kind, size, denoising_steps) for spec in specs for kind in kinds):
            raise


def compute_circuits(
    specs: Sequence[RunSpec], on_progress: OnProgress = lifecycle.ignore, compute: Compute | None = None
) -> None:
    """Compute here the circuits of these specs that are missing, nothing else of their runs. Raises like `compute`."""
    lifecycle.carry_out(lambda: plan_circuits(specs), on_progress, compute)


def find(run: Run, kind: EvidenceKind, other: Run | None = None, size: int | None = None) -> Evidence | None:
    """The newest stored evidence of a run; `other`: the run of the other model, where the kind uses one."""
    compared = None if kind in OF_ONE_MODEL or other is None else other.key
    wanted = {"circuit": run.key, "other": compared, "size": size}
    for record in records():
        if record.kind == kind and {name: record.made_with.get(name) for name in wanted} == wanted:
            return Evidence(record)
    return None


def faithfulness_of(run: Run, other: Run) -> list[Evidence]:
    """The newest stored faithfulness of a run: over the grid of sizes, where it is there, then at single sizes by K."""
    newest: dict[int, Evidence] = {}
    for record in records():
        there = Evidence(record)
        compared = (record.made_with.get("circuit"), record.made_with.get("other"))
        if there.kind in FAITHFULNESS and compared == (run.key, other.key):
            newest.setdefault(there.size or 0, there)
    return [newest[size] for size in sorted(newest)]


def _is_stored(spec: RunSpec, kind: EvidenceKind, size: int | None, denoising_steps: int) -> bool:
    run, other = lifecycle.find(spec), lifecycle.find(other_of(spec, denoising_steps))
    return run is not None and find(run, kind, other, size if kind == "faithfulness_at" else None) is not None


def table(evidence: Evidence, name: str, /, **where: int | str) -> pa.Table:
    """The rows of one of its tables, in the table's order, where columns have the given values.

    Raises:
        UserError: it has no such table or column, or the artifact was deleted.
    """
    if name not in tables_in(evidence.kind):
        raise UserError(f"Evidence of the kind {evidence.kind} has no table {name!r}.")
    columns = [column.name for column in EVIDENCE_TABLES[name].columns]
    unknown = sorted(set(where) - set(columns))
    if unknown:
        raise UserError(f"The table {name} has no column {unknown[0]!r}. Choose from: {', '.join(columns)}.")
    with errors_of_cache():
        return queries.rows(store(), name, [evidence.key], (), columns, where)
