"""Steps: what is to be computed, each an artifact of a run or a part of its circuit; what it needs and what is kept.

A step says under which key its artifact will be stored, what has to be stored before, from what it is computed, and
whether it still has to be. engine/runs/execution.py plans and computes steps; those of evidence are in
engine/runs/evidence.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.layout import Record
from engine.models.pair import model_title
from engine.runs import parts
from engine.runs.artifacts import FIELDS, record_of
from engine.runs.cache_connection import store
from engine.runs.provenance import Resolved, resolve
from engine.runs.records import ExampleRange, Inputs
from engine.runs.run_lines import settings_of
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KIND_TITLES, PART, AnyKind


@dataclass(frozen=True)
class Step:
    """An artifact to be computed; of a run, a part of its circuit (PartStep), or evidence (engine/runs/evidence.py)."""

    run: Resolved
    kind: AnyKind

    @property
    def key(self) -> str:
        return self.run.keys[self.kind]  # type: ignore[index]  # a run's artifact has a run's kind

    @property
    def spec(self) -> RunSpec:
        return self.run.spec

    @property
    def title(self) -> str:
        """In plain words, as in "circuit of the MDM"."""
        return f"{KIND_TITLES[self.kind]} of the {model_title(self.spec.model)}"

    @property
    def description(self) -> str:
        """For whoever sees only this of the run, as in "circuit of the MDM, Embedded pair, IOI, eap-ig ..., seed 1"."""
        spec, known = self.spec, FIELDS.get(self.kind, ())  # of the other kinds everything matters
        task = self.run.task.title if "task" in known or not known else ""
        settings = settings_of(spec)
        if known:
            usual = {"n": f"n = {spec.n}", "seed": f"seed {spec.seed}", "dtype": spec.dtype}
            further = [text for text in spec.not_usual if text.rpartition(" ")[0].replace(" ", "_") in known]
            settings = ", ".join([*(text for name, text in usual.items() if name in known), *further])
        return ", ".join(filter(None, (self.title, self.run.pair.title, task, settings)))

    def record(self, meta: Mapping[str, Any], created: str, seconds: float) -> Record:
        """What is kept about it: `created` in ISO 8601, `seconds` of computing."""
        seconds += parts.stored_seconds(self.run) if self.kind == "circuit" else 0.0
        return record_of(self.kind, self.run.provenance, meta, created, seconds)  # type: ignore[arg-type]

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the circuits, or of the parts, that have to be stored before it can be computed."""
        return tuple(parts.key_of(self.run, part) for part in self.run.parts) if self.kind == "circuit" else ()

    def inputs(self) -> Inputs | None:
        """What it is computed from beside its spec; None: nothing.

        Raises:
            UserError: it is not stored.
        """
        return parts.stored_sums(self.run) if self.kind == "circuit" and self.run.parts else None

    def is_stored(self) -> bool:
        """Whether nothing is left to be computed of it."""
        return store().record(self.key) is not None

    def is_current(self) -> bool:
        """Whether weights and settings of the pair are still those that its key stands for."""
        return resolve(self.spec).keys[self.kind] == self.key  # type: ignore[index]


@dataclass(frozen=True)
class PartStep(Step):
    """A part of a circuit to be computed."""

    examples: range

    @property
    def key(self) -> str:
        return parts.key_of(self.run, self.examples)

    @property
    def title(self) -> str:
        first, last = self.examples.start + 1, self.examples.stop
        return f"circuit of the {model_title(self.spec.model)}, examples {first:,} to {last:,} of {self.spec.n:,}"

    def record(self, meta: Mapping[str, Any], created: str, seconds: float) -> Record:
        return parts.record_of(self.run, self.examples, meta, created, seconds)

    def inputs(self) -> ExampleRange:
        return ExampleRange(self.examples.start, self.examples.stop)

    def is_stored(self) -> bool:
        return super().is_stored() or store().record(self.run.key) is not None  # when the parts are deleted

    def is_current(self) -> bool:
        return resolve(self.spec).key == self.run.key


def circuit_steps(run: Resolved) -> list[Step]:
    """The parts of a run's circuit, if it has any, and the circuit."""
    return [*(PartStep(run, PART, examples) for examples in run.parts), Step(run, "circuit")]
