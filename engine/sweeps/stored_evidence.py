"""All evidence in the cache, by the circuits that it is about: looked up once for the many comparisons of a sweep."""

from __future__ import annotations

from cache.layout import Record
from engine.runs.cache_connection import records
from engine.runs.evidence import Evidence
from engine.runs.records import Run
from engine.schema.artifacts import EVIDENCE_KINDS, EvidenceKind


class StoredEvidence:
    """The newest of every kind and every two circuits."""

    def __init__(self) -> None:
        """Raises UserError where the cache cannot be read."""
        self._there: dict[tuple[str, str, str | None], Evidence] = {}
        self._beside_any: dict[tuple[str, str], Evidence] = {}
        self._at_sizes: dict[tuple[str, str | None], dict[int, Evidence]] = {}
        self._keys: dict[str, list[str]] = {}
        for record in records():  # the newest first
            if record.kind in EVIDENCE_KINDS:
                self._add(record)

    def _add(self, record: Record) -> None:
        made_with, evidence = record.made_with, Evidence(record)
        circuit, other = str(made_with.get("circuit")), made_with.get("other")
        self._keys.setdefault(circuit, []).append(record.key)
        if evidence.size is not None:
            self._at_sizes.setdefault((circuit, other), {}).setdefault(evidence.size, evidence)
            return
        self._there.setdefault((record.kind, circuit, other), evidence)
        self._beside_any.setdefault((record.kind, circuit), evidence)

    def of(self, kind: EvidenceKind, run: Run, compared: Run) -> Evidence | None:
        """Of a run's circuit beside that of another run; of no kind that is of one size."""
        return self._there.get((kind, run.key, compared.key))

    def beside_any(self, kind: EvidenceKind, run: Run) -> Evidence | None:
        """As `of`, whichever other circuit the run's was compared with."""
        return self._beside_any.get((kind, run.key))

    def faithfulness(self, run: Run, compared: Run) -> list[Evidence]:
        """Over the grid of sizes, where that is there, then at single sizes."""
        grid = self.of("faithfulness", run, compared)
        return [*([grid] if grid else []), *self._at_sizes.get((run.key, compared.key), {}).values()]

    def keys(self, run: Run) -> tuple[str, ...]:
        """Those of all evidence of a run's circuit, which tell whether what was read before still holds."""
        return tuple(self._keys.get(run.key, ()))
