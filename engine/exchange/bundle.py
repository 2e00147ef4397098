"""Write the runs of a pair to a bundle, a file that another machine can show without the models, and import one.

A bundle holds the artifacts of the runs of a pair (on a task) as the cache has them, each once, the evidence of their
circuits, what the pair is, the own prompts that the runs are about, and what made them. It is read as data of unknown
origin, and so is what earlier versions wrote: a bundle or a whole cache in one database.

1. The container must hold what a bundle does and nothing else (engine/exchange/bundle_file.py), and its files plain
   tables (cache/sandbox.py).
2. The header and every record are checked field by field (engine/exchange/bundle_checks.py, evidence_checks.py), every
   table row by row (table_checks.py, evidence_table_checks.py), and written anew beside the cache's files (staging.py).
3. All of it gets into its place, or nothing. An artifact that is here already stays as it is.
4. A pair that nobody here knows is kept under its name. Folders that it names on the other machine are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path

from cache.earlier_layout import opened_earlier
from cache.folder import ArtifactFolder
from cache.owners import owned_name
from cache.sandbox import Refused
from engine import settings
from engine.errors import UserError
from engine.exchange.bundle_file import form_of, reading, unpacked, write_bundle
from engine.exchange.bundle_header import Header, written_header
from engine.exchange.earlier_files import EarlierOffer
from engine.exchange.offered_runs import BundleOffer, Offer
from engine.exchange.staging import Staging
from engine.files.temporary import scratch_folder
from engine.models import pairs
from engine.runs import cache_connection, stored
from engine.runs.records import Run, size_text
from engine.tasks import own_prompts
from engine.tasks.countdown import problem_file
from engine.tasks.own_prompts import OwnPrompts
from engine.tasks.registry import task_named


@dataclass(frozen=True)
class Written:
    """A bundle that was written; `left_out`: runs that it cannot hold, as `write` says."""

    runs: int
    artifacts: int  # evidence included
    left_out: int
    size: int  # bytes
    evidence: int = 0
    evidence_left_out: int = 0  # whose other circuit is not in it

    @property
    def summary(self) -> str:
        """What it holds."""
        evidence = f" ({self.evidence} of them evidence)" if self.evidence else ""
        return f"{self.runs} runs, {self.artifacts} artifacts{evidence}, {size_text(self.size)}"

    @property
    def without(self) -> list[str]:
        """Sentences on what it does not hold, where there is something."""
        told = []
        if self.left_out:
            told.append(
                f"{self.left_out} runs are left out: they are circuits from elsewhere, their prompts are gone, or it "
                "is not known what made them."
            )
        if self.evidence_left_out:
            told.append(
                f"Pieces of evidence that are left out, as the other circuit that they use is not in it: "
                f"{self.evidence_left_out}."
            )
        return told


@dataclass(frozen=True)
class Taken:
    """What an import added to the cache.

    `pairs`: those of its runs; `known`: runs that were there before; `artifacts`, `size`: new files and their bytes;
    `left_out`: why runs of an earlier version were not taken, a text for each.
    """

    pairs: tuple[str, ...]
    added: int
    known: int
    artifacts: int
    size: int
    left_out: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """In sentences."""
        of = f" of the pair{'s' * (len(self.pairs) != 1)} {', '.join(self.pairs)}" if self.pairs else ""
        files = f" ({self.artifacts} artifact{'s' * (self.artifacts != 1)}, {size_text(self.size)})"
        known = f", {self.known} were here before" if self.known else ""
        told = f"{_runs(self.added)}{of} added{files if self.artifacts else ''}{known}."
        if self.left_out:
            told += f" {_runs(len(self.left_out))} left out, the first because: {self.left_out[0]}."
        return told


def write(path: Path, pair: str, task: str | None = None) -> Written:
    """Write every stored run of a pair (on a task) to a new file, with those of its artifacts that are there.

    Evidence comes along where the circuits that it was computed from do.
    Left out are circuits from elsewhere, whose own file is what to hand on, runs whose prompts are gone, and runs that
    do not say what made them.

    Raises:
        UserError: there are none, one of their files is damaged, or the bundle cannot be written or is there already.
    """
    chosen = [run for run in stored.list_runs() if run.spec.pair == pair and task in (None, run.spec.task)]
    runs = [run for run in chosen if holds(run)]
    if not runs:
        on = f" on {task}" if task else ""
        raise UserError(f"There are no runs of the pair {pair}{on} in the cache that a bundle could hold.")
    folder = cache_connection.store()
    evidence, evidence_left_out = evidence_of(runs)
    files = {key: folder.file_of(key) for key in (*_keys(runs), *evidence)}
    for key in files:  # a damaged one would be noticed on the other machine only
        with cache_connection.errors_of_cache(), folder.reading(key):
            pass
    write_bundle(path, written_header(pair, sorted({run.spec.task for run in runs})), files)
    return Written(
        len(runs), len(files), len(chosen) - len(runs), path.stat().st_size, len(evidence), evidence_left_out
    )


def evidence_of(runs: Sequence[Run]) -> tuple[list[str], int]:
    """The keys of the stored evidence of these runs' circuits, and of how many pieces the other circuit is missing."""
    there = {run.key for run in runs}
    about = [record for record in cache_connection.records() if record.made_with.get("circuit") in there]
    about = [record for record in about if stored.is_evidence(record)]
    whole = [record.key for record in about if stored.circuits_of(record) <= there]
    return whole, len(about) - len(whole)


def holds(run: Run) -> bool:
    """Whether a bundle can hold a run."""
    return run.method_version is not None and not run.spec.is_imported and _is_there(run.spec.task)


def size_of(runs: Sequence[Run]) -> int:
    """Bytes that a bundle of these runs takes, about."""
    records = [cache_connection.store().record(key) for key in (*_keys(runs), *evidence_of(runs)[0])]
    return sum(record.size for record in records if record)


def packed(pair: str, task: str | None = None) -> BufferedReader:
    """What `write` writes, as an open file for a download; it has no name any more, and is gone when it is closed."""
    with scratch_folder(owned_name()) as folder:
        path = folder / "bundle"
        write(path, pair, task)
        return path.open("rb")


def take(path: Path) -> Taken:
    """Read a bundle, or a bundle or cache of an earlier version, into the cache.

    Whole or not at all; what is there already stays as it is.

    Raises:
        UserError: it is neither, of another version, or something in it is wrong; the text says what.
    """
    with _no_new_folders_if_refused():
        folder = cache_connection.store()  # what is wrong with the cache is no fault of the bundle
        with (
            cache_connection.errors_of_cache(),
            reading(path),
            scratch_folder(owned_name()) as scratch,
            _opened(path, scratch) as offer,
            folder.staged() as place,
        ):
            return _staged(offer, folder, place)


def take_bytes(content: bytes | memoryview, name: str) -> Taken:
    """`take` for an upload, which sentences call `name`."""
    with scratch_folder(owned_name()) as folder:
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise UserError(f"{name} cannot be kept while it is read: {error.strerror}.") from error
        return take(folder / name)


@contextmanager
def _opened(path: Path, scratch: Path) -> Iterator[Offer]:
    form = form_of(path)
    if form == "database":
        with opened_earlier(path, scratch) as file:
            yield EarlierOffer(file)
    else:
        yield BundleOffer(unpacked(path, form, scratch), scratch)


def _staged(offer: Offer, folder: ArtifactFolder, place: Path) -> Taken:
    """Stage what a file offers, and publish it."""
    staging = Staging(folder, place, datetime.now(UTC).isoformat(timespec="seconds"))
    taken, left_out = [], list(offer.left_out)
    for run in offer.runs:
        try:
            staging.add(run, offer)
            taken.append(run)
        except (UserError, Refused) as error:
            if offer.header:
                raise
            left_out.append(str(error).rstrip("."))
    for piece in offer.evidence:
        staging.add_evidence(piece)
    added = sum(run.keys["circuit"] in staging.keys for run in taken)
    told = Taken(
        pairs=(offer.header.pair.name,) if offer.header else tuple(sorted({run.spec.pair for run in taken})),
        added=added,
        known=len(taken) - added,
        artifacts=len(staging.keys),
        size=staging.size,
        left_out=tuple(left_out),
    )
    with _kept(offer.header):
        staging.publish()
    return told


@contextmanager
def _kept(header: Header | None) -> Iterator[None]:
    """Keep the pair, prompts and problems that are not known here; remove them again when what follows fails."""
    with ExitStack() as undo:
        if header:
            _keep(header, undo)
        yield
        undo.pop_all()


def _keep(header: Header, undo: ExitStack) -> None:
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


@contextmanager
def _no_new_folders_if_refused() -> Iterator[None]:
    """Remove the empty folders of a cache that was begun for an import which was refused."""
    cache = settings.cache_dir()
    folders = [cache, cache / "artifacts", cache / "artifacts" / "partial"]
    new = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except UserError:
        cache_connection.close()
        with suppress(OSError):
            for folder in reversed(new):
                folder.rmdir()
        raise


def _keys(runs: Sequence[Run]) -> list[str]:
    """The keys of the artifacts of some runs that are there, each once."""
    keys = dict.fromkeys(key for run in runs for key in (run.key, *run.companions.values()))
    return [key for key in keys if cache_connection.store().record(key)]


def _is_there(task: str) -> bool:
    """Whether a task can travel: own prompts with a row twice, as earlier versions kept them, have another name now."""
    try:
        known = task_named(task)
    except UserError:
        return False
    return not isinstance(known, OwnPrompts) or own_prompts.name_of(known.rows) == task


def _runs(n: int) -> str:
    return f"{n} run{'s' * (n != 1)}"
