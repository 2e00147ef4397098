"""Write the runs of a pair to a bundle, a file that another machine can show without the models, and import one.

A bundle holds the runs of a pair (on a task), the overlap curves between them, what the pair is, the own prompts that
the runs are about, and what made them. It is read as data of unknown origin (cache/bundle.py,
engine/exchange/bundle_checks.py, engine/exchange/table_checks.py):

1. The file must be a bundle of this version, with nothing in it that computes.
2. The header and the record of every run are checked field by field, every table row by row.
3. All of it is stored in one transaction, or nothing. A run that is here already stays as it is.
4. A pair that nobody here knows is kept under its name. Folders that it names on the other machine are forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.exchange import bundle_checks as checks
from engine.exchange import table_checks
from engine.exchange.bundle_file import add_bundle, opened_bundle, write_bundle
from engine.exchange.bundle_header import Header, read_header, written_header
from engine.exchange.column_checks import Sizes, refuse_rows
from engine.files.temporary import scratch_folder
from engine.models import pairs
from engine.runs import cache_connection, lifecycle, provenance, read
from engine.runs.records import Run, RunMeta
from engine.runs.spec import RunSpec
from engine.schema.tables import TABLES
from engine.schema.vocabulary import HALVES
from engine.tasks import own_prompts
from engine.tasks.countdown import problem_file
from engine.tasks.own_prompts import OwnPrompts
from engine.tasks.registry import TASKS, task_named

if TYPE_CHECKING:
    import pyarrow as pa

    from cache.bundle import BundleFile
    from cache.layout import RunRow


@dataclass(frozen=True)
class Written:
    """A bundle that was written; `left_out`: runs older than bundles, or whose prompts are gone."""

    runs: int
    left_out: int
    size: int  # bytes


@dataclass(frozen=True)
class Taken:
    """What an import added to the cache, and how many runs were there before."""

    pair: str
    added: int
    known: int


def write(path: Path, pair: str, task: str | None = None) -> Written:
    """Write every stored run of a pair (on a task) to a new file.

    Raises:
        UserError: there are none, or the file cannot be written or is there already.
    """
    chosen = [run for run in lifecycle.list_runs() if run.spec.pair == pair and task in (None, run.spec.task)]
    runs = [run for run in chosen if run.method_version is not None and _is_there(run.spec.task)]
    if not runs:
        on = f" on {task}" if task else ""
        raise UserError(f"There are no runs of the pair {pair}{on} in the cache that a bundle could hold.")
    _work_out_curves(runs)
    header = written_header(pair, sorted({run.spec.task for run in runs}))
    write_bundle(path, header, [run.key for run in reversed(runs)])
    return Written(len(runs), len(chosen) - len(runs), path.stat().st_size)


def packed(pair: str, task: str | None = None) -> bytes:
    """What `write` writes, for a download."""
    with scratch_folder() as folder:
        path = folder / "bundle.duckdb"
        write(path, pair, task)
        return path.read_bytes()


def take(path: Path) -> Taken:
    """Read a bundle into the cache, whole or not at all; what is there already stays as it is.

    Raises:
        UserError: it is not a bundle, of another version, or something in it is wrong; the text says what.
    """
    cache_connection.store()  # what is wrong with the cache is no fault of the bundle
    with opened_bundle(path) as file:
        header = read_header(file.header())
        bundle = _Checked(file, header)
        with _kept(header):
            added = add_bundle(bundle)
    return Taken(header.pair.name, len(added), len(bundle.runs()) - len(added))


def take_bytes(content: bytes, name: str) -> Taken:
    """`take` for an upload, which sentences call `name`."""
    with scratch_folder() as folder:
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise UserError(f"{name} cannot be kept while it is read: {error.strerror}.") from error
        return take(folder / name)


class _Checked:
    """A bundle's runs for the store: whatever is read is checked before it is handed on."""

    def __init__(self, file: BundleFile, header: Header) -> None:
        self._file = file
        self._about: dict[str, tuple[int, RunSpec, RunMeta]] = {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._rows = [self._row(number, row, header, now) for number, row in file.runs().items()]
        self._keys = {number: key for key, (number, _, _) in self._about.items()}
        file.refuse_others(self._keys)

    def runs(self) -> list[RunRow]:
        return self._rows

    def tables(self, key: str) -> Mapping[str, pa.Table]:
        number, spec, meta = self._about[key]
        loose = table_checks.sizes(spec, meta)
        for name in ("readouts", "inputs"):
            refuse_rows(name, self._file.rows(number, name), loose)
        readouts, inputs = (self._file.table(number, name) for name in ("readouts", "inputs"))
        return _Tables(self._file, number, table_checks.sizes(spec, meta, readouts, inputs))

    def comparisons(self) -> list[tuple[str, str, str, str]]:
        comparisons = []
        for a, part_a, b, part_b in self._file.comparisons():
            if a not in self._keys or b not in self._keys:
                raise UserError("an overlap curve is of a run that is not there")
            comparisons.append((self._keys[a], part_a, self._keys[b], part_b))
        return comparisons

    def curve(self, of: tuple[str, str, str, str]) -> pa.Table:
        (a, _, first), (b, _, second) = (self._about[key] for key in (of[0], of[2]))
        for part, meta in ((of[1], first), (of[3], second)):
            checks.part(part, meta)
        return checks.curve(self._file.curve(a, of[1], b, of[3]), first.graph)

    def _row(self, number: int, row: RunRow, header: Header, now: str) -> RunRow:
        """A run's record as the cache keeps it: what was checked, written anew."""
        spec, meta = checks.spec(row.spec, header.pair.name), checks.meta(row.meta)
        checks.refuse_other_parts(spec, meta)
        made_with = checks.provenance(row.made_with, row.key, spec)
        if not provenance.is_key_of(row.key, made_with):
            raise UserError(f"the key of the run {row.key} is not that of what it was made with")
        if made_with["method_version"] > provenance.METHOD_VERSION:
            raise UserError("a later version of this program computed it. Update the program")
        if spec.task not in TASKS and spec.task not in header.tasks:
            raise UserError(f"a run is on the task {spec.task!r}, which this program does not know")
        self._about[row.key] = (number, spec, meta)
        return replace(
            row,
            spec=json.dumps(spec.as_dict()),
            meta=json.dumps(asdict(meta)),
            created=checks.when(row.created),
            seconds=checks.seconds(row.seconds),
            made_with=json.dumps(made_with),
            imported=now,
        )


class _Tables(Mapping[str, "pa.Table"]):
    """The tables of a run, each read and checked when it is asked for, so that one at a time is in memory."""

    def __init__(self, file: BundleFile, number: int, sizes: Sizes) -> None:
        self._file, self._number, self._sizes = file, number, sizes
        self._seen = table_checks.Seen()

    def __getitem__(self, name: str) -> pa.Table:
        refuse_rows(name, self._file.rows(self._number, name), self._sizes)
        return table_checks.check(name, self._file.table(self._number, name), self._sizes, self._seen)

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def _is_there(task: str) -> bool:
    """Whether a task can travel: own prompts with a row twice, as earlier versions kept them, have another name now."""
    try:
        known = task_named(task)
    except UserError:
        return False
    return not isinstance(known, OwnPrompts) or own_prompts.name_of(known.rows) == task


def _work_out_curves(runs: Sequence[Run]) -> None:
    """Keep the curves that pages ask for first: each run's two halves, the ARM with each MDM of the same settings."""
    a, b = HALVES
    for run in runs:
        if run.has_halves:
            read.overlap_curve(run.key, run.key, a, b)
        for arm in runs:
            if arm.spec.is_arm and not run.spec.is_arm and replace(run.spec, model="arm") == arm.spec:
                read.overlap_curve(arm.key, run.key)
                if arm.has_halves and run.has_halves:
                    read.overlap_curve(arm.key, run.key, a, b)
                    read.overlap_curve(arm.key, run.key, b, a)


@contextmanager
def _kept(header: Header) -> Iterator[None]:
    """Keep the pair, prompts and problems that are not known here; remove them again when what follows fails."""
    with ExitStack() as undo:
        if header.pair.name not in pairs.pairs():
            undo.callback(pairs.forget, header.pair.name)
            pairs.keep(header.pair)
        saved = {known.name for known in own_prompts.saved_sets()}
        for known in header.prompts:
            if known.name not in saved:
                undo.callback(own_prompts.delete, known.name)
                own_prompts.save(known.rows, known.title, known.pair)
        there = {known.name for known in problem_file.saved_files()}
        for file in header.problems:
            if file.name not in there:
                undo.callback(problem_file.delete, file.name)
                problem_file.keep(file)
        yield
        undo.pop_all()
