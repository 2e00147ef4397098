"""What earlier versions wrote: one DuckDB file with all runs, a cache or a bundle; read in cache/sandbox.py.

A cache has the table `migrations`, with the names of the changes of layout that it has been through; a bundle has the
table `bundle`, with a header and these names. Runs say what they were made with since the sixth; those after it changed
no column of a table that is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache.layout import SORTED_BY
from cache.sandbox import MOST_RECORD_BYTES, Columns, ForeignFile, Refused, opened

if TYPE_CHECKING:
    import pyarrow as pa

MOST_RUNS = 10_000
NEEDED = "m006_where_runs_come_from"
MIGRATIONS = (
    "m001_runs",
    "m002_edges",
    "m003_examples_and_lenses",
    "m004_overlap_curves",
    "m005_what_components_do",
    NEEDED,
    "m007_thin_overlap_curves",
    "m008_numbers_that_may_be_none",
    "m009_specs_as_columns",
)
RUNS = {
    "id": "INTEGER", "key": "VARCHAR", "spec": "VARCHAR", "meta": "VARCHAR", "created": "VARCHAR", "seconds": "DOUBLE",
    "made_with": "VARCHAR", "imported": "VARCHAR",
}  # fmt: skip
SEARCHED = {  # of a cache that has been through m009
    "pair": "VARCHAR", "model": "VARCHAR", "task": "VARCHAR", "n": "INTEGER", "seed": "BIGINT", "method": "VARCHAR",
    "points": "INTEGER", "metric": "VARCHAR", "order": "VARCHAR", "dtype": "VARCHAR",
}  # fmt: skip
CURVES = {
    "run_a": "INTEGER", "part_a": "VARCHAR", "run_b": "INTEGER", "part_b": "VARCHAR", "k": "INTEGER",
    "shared": "INTEGER",
}  # fmt: skip
HEADER = {"header": "VARCHAR", "migrations": "VARCHAR[]"}
DONE = {"name": "VARCHAR", "applied": "VARCHAR"}
# Fixed for ever: the columns of a run's tables, beside `run`, by their type.
OF_RUNS: dict[str, dict[str, str]] = {
    "edges": {"INTEGER": "rank edge", "VARCHAR": "part", "FLOAT": "score"},
    "examples": {
        "INTEGER": "example", "VARCHAR[]": "prompt answer corrupt_prompt corrupt_answer predicted",
        "BOOLEAN": "correct", "FLOAT": "metric_clean metric_corrupt",
    },
    "readouts": {
        "INTEGER": "readout example position target", "VARCHAR": "part answer foil", "VARCHAR[]": "tokens",
    },
    "node_lens": {
        "INTEGER": "readout node", "FLOAT": "answer_logit foil_logit entropy top_probability",
        "VARCHAR[]": "promoted suppressed", "FLOAT[]": "promoted_logit suppressed_logit",
    },
    "residual_lens": {
        "INTEGER": "readout layer answer_rank foil_rank", "FLOAT": "answer_probability foil_probability entropy",
        "VARCHAR[]": "tokens", "FLOAT[]": "probabilities",
    },
    "edge_blocks": {"INTEGER": "edge", "FLOAT[]": "scores"},
    "inputs": {"INTEGER": "input example start", "VARCHAR": "part", "VARCHAR[]": "tokens roles"},
    "neurons": {
        "INTEGER": "layer neuron", "INTEGER[]": "counts", "VARCHAR[]": "promoted suppressed",
        "FLOAT": "attribution half_a half_b mean std low high active cos_in cos_gate cos_out",
        "FLOAT[]": "promoted_logit suppressed_logit",
    },
    "neuron_detail": {
        "INTEGER": "layer neuron", "INTEGER[]": "top_input_example top_position",
        "VARCHAR[]": "top_part gate_tokens up_tokens", "FLOAT[]": "top_value gate_cosine up_cosine",
    },
    "neuron_tokens": {"INTEGER": "input layer neuron", "FLOAT[]": "activations gates ups"},
    "activation_histograms": {
        "INTEGER": "layer", "VARCHAR": "region", "BIGINT[]": "counts", "BIGINT": "n",
        "FLOAT": "mean std kurtosis active",
    },
    "residual_norms": {"INTEGER": "layer offset n", "FLOAT": "mean std"},
    "heads": {
        "INTEGER": "node",
        "FLOAT": "norm_prompt norm_answer norm_readout previous_token duplicate_token induction copying",
    },
    "attention_roles": {"INTEGER": "node queries", "VARCHAR": "query key", "FLOAT": "weight"},
    "attention_patterns": {"INTEGER": "input node", "UTINYINT[]": "pattern"},
    "lens_layers": {"INTEGER": "example layer", "FLOAT": "residual_entropy residual_top node_entropy node_top"},
    "position_lens": {
        "INTEGER": "example step target layer answer_rank", "VARCHAR": "token",
        "FLOAT": "probability answer_probability",
    },
    "reveals": {"INTEGER": "example step index"},
    "trajectories": {
        "INTEGER": "example step", "VARCHAR": "sampler", "VARCHAR[]": "tokens", "FLOAT[]": "confidences",
        "BOOLEAN[]": "revealed visible", "BOOLEAN": "correct",
    },
    "accuracy_steps": {"INTEGER": "steps correct total"},
}  # fmt: skip


@dataclass(frozen=True)
class EarlierRun:
    """A run as it was recorded; `spec`, `meta` and `made_with` are JSON texts, the last None before bundles."""

    number: int
    key: str
    spec: str
    meta: str
    created: str
    seconds: float
    made_with: str | None


class EarlierFile:
    """An open file of an earlier version. `header`: what a bundle says before its runs; None: it is a cache."""

    def __init__(self, file: ForeignFile, header: str | None) -> None:
        self._file, self.header = file, header

    @property
    def unfolded(self) -> int:
        """Bytes of the whole file's content, unpacked."""
        return self._file.unfolded

    def runs(self) -> list[EarlierRun]:
        """Every run, the oldest first."""
        count = self._file.count("runs")
        if count > MOST_RUNS:
            raise Refused(f"it has {count:,} runs; {MOST_RUNS:,} are the most")
        columns = ("id", "key", "spec", "meta", "created", "seconds", "made_with")
        rows = self._file.rows("runs", columns, "id", most=MOST_RECORD_BYTES).to_pylist()
        if any(value is None for row in rows for name, value in row.items() if name != "made_with"):
            raise Refused("a run in it lacks a value")
        if len({row["id"] for row in rows}) < len(rows) or len({row["key"] for row in rows}) < len(rows):
            raise Refused("it has a run twice")
        for name in OF_RUNS:
            if self._file.count(name, "NOT list_contains(?, run) OR run IS NULL", [row["id"] for row in rows]):
                raise Refused(f"its table {name!r} has rows of a run that is not there")
        return [EarlierRun(row.pop("id"), **row) for row in rows]

    def count(self, run: int, name: str) -> int:
        """How many rows a run has in a table; none of them is read."""
        return self._file.count(name, "run = ?", run)

    def rows(self, run: int, name: str, columns: list[str]) -> pa.Table:
        """The rows of a run in a table, in the order in which the cache keeps them."""
        return self._file.rows(name, columns, SORTED_BY[name], "run = ?", run)


@contextmanager
def opened_earlier(path: Path, scratch: Path) -> Iterator[EarlierFile]:
    """A file of an earlier version, to be read as `sandbox.opened` reads any.

    Raises:
        Refused: it is of another layout, of a later version, or of one before runs said what they were made with.
    """
    with opened(path, scratch) as file:
        if file.columns.get("bundle", {}) == HEADER:
            own: Columns = {"bundle": HEADER, "runs": RUNS}
            done = file.read("SELECT unnest(migrations) AS name FROM foreign_file.main.bundle LIMIT 1000")
        elif file.columns.get("migrations", {}) == DONE:
            done = file.read("SELECT name FROM foreign_file.main.migrations LIMIT 1000")
            own = {"migrations": DONE, "runs": RUNS}
        else:
            raise Refused("it is the database of another program, neither a bundle nor a cache of an earlier version")
        names = {str(name) for name in done["name"].to_pylist()}
        _refuse_other_versions(names)
        if "migrations" in own and MIGRATIONS[-1] in names:
            own = {**own, "runs": RUNS | SEARCHED}
        file.refuse_other_columns({**own, "overlap_curves": CURVES, **_of_runs()})
        yield EarlierFile(file, file.text("bundle", "header") if "bundle" in own else None)


def _refuse_other_versions(done: set[str]) -> None:
    later = sorted(done - set(MIGRATIONS))
    if later:
        named = ", ".join(later)[:200]
        raise Refused(f"a later version of this program made it (it has {named}). Update the program")
    if NEEDED not in done:
        last = max(done, default="nothing")
        raise Refused(
            f"a version of this program made it that did not keep what runs were made with (its last change of layout "
            f"is {last}; {NEEDED} is needed). Compute its runs again"
        )


def _of_runs() -> dict[str, dict[str, str]]:
    return {
        table: {"run": "INTEGER"} | {name: kind for kind, names in columns.items() for name in names.split()}
        for table, columns in OF_RUNS.items()
    }
