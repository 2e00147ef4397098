"""Runs of what earlier versions wrote, a cache or a bundle in one DuckDB file, split into artifacts.

1. The circuit has the key of its run, so that the run is found again; the other keys follow from what it was made with.
2. The random tokens on which heads are scored were drawn with the run's seed. Now they are drawn with seed 0 whatever
   the run's: the `weights` artifact is taken of runs with that seed alone, and runs of another share it.
3. Lenses of components were averaged over more examples: those beyond the ones that are kept now are left out.
4. A bundle is taken whole or not at all. Of a cache, a run that can't be taken is left out, and counted: it may be of a
   version whose settings are refused by now.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cache.earlier_layout import EarlierFile, EarlierRun
from engine.errors import UserError
from engine.exchange import bundle_checks as checks
from engine.exchange.bundle_header import Header, read_header
from engine.exchange.offered_runs import OfferedEvidence, OfferedRun, Source
from engine.runs.artifacts import keys_of, record_of
from engine.schema.artifacts import KINDS, Kind, columns_in
from engine.schema.vocabulary import COMPONENT_EXAMPLES
from engine.tasks.registry import TASKS

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.runs.records import Accuracy, RunMeta

NO_PROVENANCE = "it does not say what it was made with, as it is older than bundles"
ABILITY = ("accuracy", "accuracy_n")  # fields of a run's meta that the ability artifact has now
GONE = ("stored_bytes",)  # those that nothing has now
SEED = 0


class EarlierArtifact:
    """An artifact of a run of an earlier version as a Source."""

    def __init__(self, file: EarlierFile, run: int, kind: Kind, runs: int) -> None:
        self._file, self._run, self._kind = file, run, kind
        self.unfolded = file.unfolded // runs

    def count(self, name: str) -> int:
        return self._file.count(self._run, name)

    def table(self, name: str) -> pa.Table:
        rows = self._file.rows(self._run, name, [column.name for column in columns_in(self._kind, name)])
        return without_later_components(rows) if name == "lens_layers" else rows


def without_later_components(rows: pa.Table) -> pa.Table:
    """`lens_layers` without the measures of components beyond the examples of which they are kept now."""
    import pyarrow.compute as pc

    kept = pc.less(rows["example"], COMPONENT_EXAMPLES)
    for name in ("node_entropy", "node_top"):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), pc.if_else(kept, rows[name], None))
    return rows


class EarlierOffer:
    """What a file of an earlier version offers."""

    def __init__(self, file: EarlierFile) -> None:
        """Read the header and the record of every run.

        Raises:
            UserError, Refused: one of them is not what it should be.
        """
        self.header: Header | None = None if file.header is None else read_header(file.header, earlier=True)
        self.left_out: list[str] = []
        self.evidence: Sequence[OfferedEvidence] = ()  # which no earlier version computed
        self._file = file
        self._numbers: dict[str, int] = {}
        runs: list[OfferedRun] = []
        for recorded in file.runs():
            try:
                runs.append(self._run(recorded))
            except UserError as error:
                if self.header:
                    raise
                self.left_out.append(str(error).rstrip("."))
        self.runs: Sequence[OfferedRun] = sorted(runs, key=lambda run: run.spec.seed != SEED)

    def source(self, run: OfferedRun, kind: Kind, stack: ExitStack) -> Source:
        return EarlierArtifact(self._file, self._numbers[run.keys["circuit"]], kind, len(self._numbers))

    def _run(self, recorded: EarlierRun) -> OfferedRun:
        if recorded.made_with is None and self.header is None:
            raise UserError(NO_PROVENANCE)
        header = self.header
        spec = checks.spec(checks.json_of(recorded.spec, "spec"), header.pair.name if header else None)
        meta, accuracy = _sums(checks.json_of(recorded.meta, "meta"))
        checks.refuse_other_parts(spec, meta)
        provenance = checks.provenance(checks.json_of(recorded.made_with or "", "made_with"), recorded.key, spec)
        if header and spec.task not in TASKS and spec.task not in header.tasks:
            raise UserError(f"a run is on the task {spec.task!r}, which this program does not know")
        created, seconds = checks.when(recorded.created), checks.seconds(recorded.seconds)
        keys = keys_of(provenance)
        sums: dict[str, dict[str, Any]] = {"circuit": asdict(meta), "ability": asdict(accuracy)}
        records = {
            # the seconds are those of the whole run; the rest is not told apart
            kind: record_of(kind, provenance, sums.get(kind, {}), created, seconds if kind == "circuit" else 0.0)
            for kind in KINDS
            if kind != "weights" or spec.seed == SEED
        }
        self._numbers[recorded.key] = recorded.number
        return OfferedRun(spec, meta, keys, records)


def _sums(meta: dict[str, Any]) -> tuple[RunMeta, Accuracy]:
    """What summed a run up, as its circuit and its ability have it now."""
    own = {name: value for name, value in meta.items() if name not in (*ABILITY, *GONE)}
    return checks.meta(own), checks.accuracy({name: meta[name] for name in ABILITY if name in meta})
