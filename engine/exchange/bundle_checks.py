"""What a bundle says of its artifacts, checked field by field before any is kept; their tables: table_checks.py.

A bundle may come from anybody, so its texts are read within the bounds of engine/files/reading.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from cache.keys import KEY, hash_of
from cache.layout import SCHEMA, NoRecord, Record, record_of
from engine.errors import UserError
from engine.files.checked import checked
from engine.files.reading import Json, read_json_table
from engine.runs import provenance as here
from engine.runs.records import Accuracy, RunMeta
from engine.runs.spec import RunSpec
from engine.schema.artifacts import ALL_KINDS
from engine.schema.columns import LARGEST, LONGEST_TEXT, MOST_COUNT
from engine.schema.vocabulary import SITE, STEP

PART = re.compile(rf"({SITE}|{STEP})\d{{2,4}}")
MOST_LAYERS = MOST_HEADS = 512
MOST_EDGES = 10_000_000
MOST_NEURONS = 1_000_000  # of an MLP
MOST_PARTS = 1000
MOST_REMARKS = 20
MOST_VERSIONS = 100
LONGEST_JSON = 20_000_000  # characters
BOUNDS = {  # of the numbers of a run's record
    "n_layers": (1, MOST_LAYERS),
    "n_heads": (1, MOST_HEADS),
    "n_neurons": (1, MOST_NEURONS),
    "n_sites": (1, MOST_COUNT),
    "accuracy": (0, 1),
    "accuracy_n": (1, MOST_COUNT),
    "metric_clean": (-LARGEST, LARGEST),
    "metric_corrupt": (-LARGEST, LARGEST),
}


def record(text: str) -> Record:
    """The record of an artifact; what its `meta` and `made_with` say is still to be checked.

    Raises:
        UserError: a field is missing, too many or not what it should be; or another version wrote it.
    """
    values = json_of(text, "its record")
    refuse_other_schema(values.get("schema"))
    try:
        stated = record_of(text)
    except NoRecord as error:
        raise UserError(f"its record is wrong: {error}") from error
    named = f"the artifact {stated.key[:40]!r}"
    _refuse(stated.kind not in ALL_KINDS, f"{named} is of the kind {stated.kind[:40]!r}, which there is not")
    _refuse(
        not KEY.fullmatch(stated.key) or hash_of(stated.made_with) != stated.key,
        f"the key of {named} is not that of what it was made with",
    )
    own = stated.kind == "circuit"
    _refuse(bool(stated.companions) != own, f"{named} names artifacts that belong to it, or lacks them")
    return replace(stated, created=when(stated.created), seconds=seconds(stated.seconds), imported=None, size=0)


def refuse_other_schema(schema: object) -> None:
    """Refuse what has another layout than this version's files, naming it."""
    _refuse(type(schema) is not int, "it does not say the version of its layout")
    if schema != SCHEMA:
        later = isinstance(schema, int) and schema > SCHEMA
        remedy = "Update the program" if later else "Make it again with this version"
        raise UserError(
            f"{'a later' if later else 'an earlier'} version of this program made it (layout {str(schema)[:20]}, where "
            f"this one has {SCHEMA}). {remedy}"
        )


def spec(values: object, pair: str | None) -> RunSpec:
    """The spec of a run of `pair` (None: of any).

    Raises:
        UserError: a field is unknown, missing or of another type, or says what no run can be asked.
    """
    if not isinstance(values, dict):
        raise UserError("a run does not say its spec")
    for name, value in values.items():
        _refuse(isinstance(value, str) and len(value) > LONGEST_TEXT, f"{name} in spec is a very long text")
        _refuse(isinstance(value, int) and abs(value) >= 2**53, f"{name} in spec is a very large number")
    stated = checked(RunSpec, values, "spec", "in spec")
    if pair is not None and stated.pair != pair:
        raise UserError(f"a run is of the pair {stated.pair!r}, not of {pair!r}")
    _refuse(
        stated.is_imported, "it holds a circuit from elsewhere, which bundles do not. Import that circuit's own file"
    )
    return stated


def accuracy(values: Json) -> Accuracy:
    """What sums up how well a model solves a task; raises like `spec`."""
    about = checked(Accuracy, values, "meta", "in meta")
    _refuse_beyond_bounds(about, ("accuracy", "accuracy_n"))
    return about


def meta(values: Json) -> RunMeta:
    """What sums up a circuit; raises like `spec`."""
    about = checked(RunMeta, values, "meta", "in meta")
    _refuse_beyond_bounds(about, ("n_layers", "n_heads", "n_neurons", "n_sites", "metric_clean", "metric_corrupt"))
    edges = _n_edges(about.n_layers, about.n_heads)
    _refuse(
        edges > MOST_EDGES,
        f"{about.n_layers} layers of {about.n_heads} heads have {edges:,} edges, more than {MOST_EDGES:,}",
    )
    for part in about.parts:
        _refuse(not PART.fullmatch(part), f"meta has a part {part[:40]!r}")
    ordered = 1 <= len(about.parts) <= MOST_PARTS and list(about.parts) == sorted(set(about.parts))
    _refuse(not ordered, "meta has no parts, too many, one twice, or parts out of order")
    _refuse(len(about.versions) > MOST_VERSIONS, f"meta has more than {MOST_VERSIONS} versions")
    _refuse(len(about.remarks) > MOST_REMARKS, f"meta has more than {MOST_REMARKS} remarks")
    texts = (*about.remarks, about.device, about.architecture, about.file, *about.versions, *about.versions.values())
    _refuse(any(len(text) > LONGEST_TEXT for text in texts), "meta has a very long text")
    return about


def refuse_other_parts(of: RunSpec, about: RunMeta) -> None:
    """An ARM's run has sites, an MDM's denoising steps."""
    kind = SITE if of.is_arm else STEP
    other = next((name for name in about.parts if not name.startswith(kind)), None)
    _refuse(other is not None, f"meta has a part {other!r}, which a run of {of.model} has not")


def provenance(made_with: Json, key: str, of: RunSpec) -> Json:
    """What a run of a spec was made with, whose hash is its key.

    Raises:
        UserError: something is missing, or a later version computed it.
    """
    _refuse(not KEY.fullmatch(key), f"a run's key is {key[:40]!r}")
    _refuse(made_with.get("spec") != of.as_dict(), f"the run {key} was made with another spec than it says")
    arm = type(None) if of.is_arm else str
    for name, kind in (("method_version", int), ("weights", str), ("compared_with", arm), ("libraries", dict)):
        _refuse(name not in made_with or type(made_with[name]) is not kind, f"the run {key} does not say its {name}")
    _refuse(of.is_control and type(made_with.get("read_as")) is not str, f"the run {key} does not say its read_as")
    _refuse(hash_of(made_with) != key, f"the key of the run {key} is not that of what it was made with")
    later = made_with["method_version"] > here.METHOD_VERSION
    _refuse(later, "a later version of this program computed it. Update the program")
    return made_with


def when(text: str) -> str:
    """A moment in ISO 8601, UTC, which a moment without a zone is taken for."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()
    except (ValueError, OverflowError) as error:
        raise UserError(f"{text[:40]!r} is no date") from error


def text(value: object, what: str, longest: int = LONGEST_TEXT) -> str:
    """A text that is not too long."""
    if not isinstance(value, str) or len(value) > longest:
        raise UserError(f"{what} is no text, or longer than {longest:,} characters")
    return value


def seconds(value: float) -> float:
    """How long something took."""
    _refuse(not 0 <= value < MOST_COUNT, f"a run took {value} seconds")
    return value


def json_of(text: str, what: str) -> Json:
    """The table of fields that a text says in JSON."""
    if len(text) > LONGEST_JSON:
        raise UserError(f"{what} is longer than {LONGEST_JSON:,} characters")
    return read_json_table(text, what, exact=True)


def _n_edges(n_layers: int, n_heads: int) -> int:
    """Graph.n_edges, without making the graph."""
    before = [1 + layer * (n_heads + 1) for layer in range(n_layers)]  # sources before a layer
    inner = sum(3 * n_heads * sources + sources + n_heads for sources in before)
    return inner + 1 + n_layers * (n_heads + 1)


def _refuse_beyond_bounds(about: object, names: tuple[str, ...]) -> None:
    for name in names:
        value, (low, high) = getattr(about, name), BOUNDS[name]
        _refuse(not low <= value <= high, f"meta says {name} = {value}. It must be from {low:g} to {high:g}")


def _refuse(wrong: bool, why: str) -> None:
    if wrong:
        raise UserError(why)
