"""The database's layout as a list of small steps, each applied once and recorded by name.

A change of layout is a new function at the end of MIGRATIONS; those before it never change.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def m001_runs(db: DuckDBPyConnection) -> None:
    """A row per run; `id` is what the tables below refer to, spec and meta are JSON."""
    db.execute("CREATE SEQUENCE run_ids")
    db.execute("""
        CREATE TABLE runs (
            id INTEGER NOT NULL, key VARCHAR NOT NULL UNIQUE, spec VARCHAR NOT NULL, meta VARCHAR NOT NULL,
            created VARCHAR NOT NULL, seconds DOUBLE NOT NULL
        )""")


def m002_edges(db: DuckDBPyConnection) -> None:
    """Written in the order (run, part, rank), so that the top K of a part are neighbours on disk."""
    db.execute("""
        CREATE TABLE edges (
            run INTEGER NOT NULL, part VARCHAR NOT NULL, rank INTEGER NOT NULL, edge INTEGER NOT NULL,
            score FLOAT NOT NULL
        )""")


def m003_examples_and_lenses(db: DuckDBPyConnection) -> None:
    db.execute("""
        CREATE TABLE examples (
            run INTEGER NOT NULL, example INTEGER NOT NULL, prompt VARCHAR[] NOT NULL, answer VARCHAR[] NOT NULL,
            corrupt_prompt VARCHAR[] NOT NULL, corrupt_answer VARCHAR[] NOT NULL, predicted VARCHAR[] NOT NULL,
            correct BOOLEAN NOT NULL, metric_clean FLOAT NOT NULL, metric_corrupt FLOAT NOT NULL
        )""")
    db.execute("""
        CREATE TABLE readouts (
            run INTEGER NOT NULL, readout INTEGER NOT NULL, example INTEGER NOT NULL, part VARCHAR NOT NULL,
            position INTEGER NOT NULL, target INTEGER NOT NULL, tokens VARCHAR[] NOT NULL, answer VARCHAR NOT NULL,
            foil VARCHAR NOT NULL
        )""")
    db.execute("""
        CREATE TABLE node_lens (
            run INTEGER NOT NULL, readout INTEGER NOT NULL, node INTEGER NOT NULL, answer_logit FLOAT NOT NULL,
            foil_logit FLOAT NOT NULL, entropy FLOAT NOT NULL, top_probability FLOAT NOT NULL,
            promoted VARCHAR[] NOT NULL, suppressed VARCHAR[] NOT NULL, promoted_logit FLOAT[] NOT NULL,
            suppressed_logit FLOAT[] NOT NULL
        )""")
    db.execute("""
        CREATE TABLE residual_lens (
            run INTEGER NOT NULL, readout INTEGER NOT NULL, layer INTEGER NOT NULL, answer_probability FLOAT NOT NULL,
            foil_probability FLOAT NOT NULL, entropy FLOAT NOT NULL, answer_rank INTEGER NOT NULL,
            foil_rank INTEGER NOT NULL, tokens VARCHAR[] NOT NULL, probabilities FLOAT[] NOT NULL
        )""")


def m004_overlap_curves(db: DuckDBPyConnection) -> None:
    """A row per K of a comparison; the side that sorts first is `a`, so that a pair is kept once."""
    db.execute("""
        CREATE TABLE overlap_curves (
            run_a INTEGER NOT NULL, part_a VARCHAR NOT NULL, run_b INTEGER NOT NULL, part_b VARCHAR NOT NULL,
            k INTEGER NOT NULL, shared INTEGER NOT NULL
        )""")


def m005_what_components_do(db: DuckDBPyConnection) -> None:
    """Neurons, activations, attention, lenses by layer, denoising; the strongest edges' scores by block of examples."""
    for name, columns in COMPONENT_TABLES.items():
        db.execute(f"CREATE TABLE {name} (run INTEGER NOT NULL, {columns})")


# Fixed for ever, like the migration that reads it.
COMPONENT_TABLES = {
    "edge_blocks": "edge INTEGER NOT NULL, scores FLOAT[] NOT NULL",
    "inputs": """
        input INTEGER NOT NULL, example INTEGER NOT NULL, part VARCHAR NOT NULL, tokens VARCHAR[] NOT NULL,
        roles VARCHAR[] NOT NULL, start INTEGER NOT NULL""",
    "neurons": """
        layer INTEGER NOT NULL, neuron INTEGER NOT NULL, attribution FLOAT NOT NULL, half_a FLOAT NOT NULL,
        half_b FLOAT NOT NULL, mean FLOAT NOT NULL, std FLOAT NOT NULL, low FLOAT NOT NULL, high FLOAT NOT NULL,
        active FLOAT NOT NULL, counts INTEGER[] NOT NULL, promoted VARCHAR[] NOT NULL,
        promoted_logit FLOAT[] NOT NULL, suppressed VARCHAR[] NOT NULL, suppressed_logit FLOAT[] NOT NULL,
        cos_in FLOAT, cos_gate FLOAT, cos_out FLOAT""",
    "neuron_detail": """
        layer INTEGER NOT NULL, neuron INTEGER NOT NULL, top_input_example INTEGER[] NOT NULL,
        top_part VARCHAR[] NOT NULL, top_position INTEGER[] NOT NULL, top_value FLOAT[] NOT NULL,
        gate_tokens VARCHAR[] NOT NULL, gate_cosine FLOAT[] NOT NULL, up_tokens VARCHAR[] NOT NULL,
        up_cosine FLOAT[] NOT NULL""",
    "neuron_tokens": """
        input INTEGER NOT NULL, layer INTEGER NOT NULL, neuron INTEGER NOT NULL, activations FLOAT[] NOT NULL,
        gates FLOAT[] NOT NULL, ups FLOAT[] NOT NULL""",
    "activation_histograms": """
        layer INTEGER NOT NULL, region VARCHAR NOT NULL, counts BIGINT[] NOT NULL, n BIGINT NOT NULL,
        mean FLOAT NOT NULL, std FLOAT NOT NULL, kurtosis FLOAT NOT NULL, active FLOAT NOT NULL""",
    "residual_norms": """
        layer INTEGER NOT NULL, "offset" INTEGER NOT NULL, mean FLOAT NOT NULL, std FLOAT NOT NULL,
        n INTEGER NOT NULL""",
    "heads": """
        node INTEGER NOT NULL, norm_prompt FLOAT NOT NULL, norm_answer FLOAT NOT NULL, norm_readout FLOAT NOT NULL,
        previous_token FLOAT NOT NULL, duplicate_token FLOAT NOT NULL, induction FLOAT NOT NULL,
        copying FLOAT NOT NULL""",
    "attention_roles": """
        node INTEGER NOT NULL, query VARCHAR NOT NULL, key VARCHAR NOT NULL, weight FLOAT NOT NULL,
        queries INTEGER NOT NULL""",
    "attention_patterns": "input INTEGER NOT NULL, node INTEGER NOT NULL, pattern UTINYINT[] NOT NULL",
    "lens_layers": """
        example INTEGER NOT NULL, layer INTEGER NOT NULL, residual_entropy FLOAT NOT NULL, residual_top FLOAT NOT NULL,
        node_entropy FLOAT NOT NULL, node_top FLOAT NOT NULL""",
    "position_lens": """
        example INTEGER NOT NULL, step INTEGER NOT NULL, target INTEGER NOT NULL, layer INTEGER NOT NULL,
        token VARCHAR NOT NULL, probability FLOAT NOT NULL, answer_probability FLOAT NOT NULL,
        answer_rank INTEGER NOT NULL""",
    "reveals": 'example INTEGER NOT NULL, step INTEGER NOT NULL, "index" INTEGER NOT NULL',
    "trajectories": """
        sampler VARCHAR NOT NULL, example INTEGER NOT NULL, step INTEGER NOT NULL, tokens VARCHAR[] NOT NULL,
        confidences FLOAT[] NOT NULL, revealed BOOLEAN[] NOT NULL, visible BOOLEAN[] NOT NULL,
        correct BOOLEAN NOT NULL""",
    "accuracy_steps": "steps INTEGER NOT NULL, correct INTEGER NOT NULL, total INTEGER NOT NULL",
}


def m006_where_runs_come_from(db: DuckDBPyConnection) -> None:
    """`made_with`: the description of which the key is the hash (JSON); `imported`: when a bundle brought the run."""
    db.execute("ALTER TABLE runs ADD COLUMN made_with VARCHAR")
    db.execute("ALTER TABLE runs ADD COLUMN imported VARCHAR")


def m007_thin_overlap_curves(db: DuckDBPyConnection) -> None:
    """A row per K that is drawn instead of every K; those of before are worked out again where they are asked for."""
    db.execute("DELETE FROM overlap_curves")


def m008_numbers_that_may_be_none(db: DuckDBPyConnection) -> None:
    """Kurtosis where nothing varies, copying where a head writes nothing."""
    db.execute("ALTER TABLE activation_histograms ALTER COLUMN kurtosis DROP NOT NULL")
    db.execute("ALTER TABLE heads ALTER COLUMN copying DROP NOT NULL")


def m009_specs_as_columns(db: DuckDBPyConnection) -> None:
    """The fields of a run's spec as columns, by which runs are searched; `spec` stays the record of them.

    A field that a spec was written without has the value that it had then. Of a spec that cannot be read, the columns
    stay empty: it costs that run alone, not the cache.
    """
    for name, (kind, _) in SPEC_FIELDS.items():
        db.execute(f'ALTER TABLE runs ADD COLUMN "{name}" {kind}')
    rows = db.execute("SELECT id, spec FROM runs").fetchall()
    columns = ", ".join(f'"{name}" = TRY_CAST(? AS {kind})' for name, (kind, _) in SPEC_FIELDS.items())
    for run, spec in rows:
        try:
            fields = json.loads(spec)
        except ValueError:
            continue
        if not isinstance(fields, dict):
            continue
        values = [fields.get(name, usual) for name, (_, usual) in SPEC_FIELDS.items()]
        db.execute(f"UPDATE runs SET {columns} WHERE id = ?", [*values, run])  # noqa: S608


# Fixed for ever, like the migration that reads it: a column's type, and the value of a field that is not there.
SPEC_FIELDS: dict[str, tuple[str, str | int]] = {
    "pair": ("VARCHAR", "embedded"),
    "model": ("VARCHAR", "mdm"),
    "task": ("VARCHAR", "ioi"),
    "n": ("INTEGER", 64),
    "seed": ("BIGINT", 0),
    "method": ("VARCHAR", "eap-ig"),
    "points": ("INTEGER", 5),
    "metric": ("VARCHAR", "logit_diff"),
    "order": ("VARCHAR", "confidence"),
    "dtype": ("VARCHAR", "float32"),
}


MIGRATIONS = (
    m001_runs,
    m002_edges,
    m003_examples_and_lenses,
    m004_overlap_curves,
    m005_what_components_do,
    m006_where_runs_come_from,
    m007_thin_overlap_curves,
    m008_numbers_that_may_be_none,
    m009_specs_as_columns,
)


# They change nothing that a bundle holds: bundles from before and after can be read by either version.
NOT_IN_BUNDLES = ("m009_specs_as_columns",)


class NewerSchema(Exception):
    """The file was written by a later version of this program."""


def applied(db: DuckDBPyConnection) -> list[str]:
    """Names of the migrations that a database has been through, in order."""
    db.execute("CREATE TABLE IF NOT EXISTS migrations (name VARCHAR NOT NULL UNIQUE, applied VARCHAR NOT NULL)")
    return [name for (name,) in db.execute("SELECT name FROM migrations ORDER BY name").fetchall()]


def migrate(db: DuckDBPyConnection) -> None:
    """Bring a database up to date; every migration is applied and recorded in one transaction, or not at all.

    Raises:
        NewerSchema: the database knows a migration that this program does not.
    """
    done = applied(db)
    unknown = set(done) - {migration.__name__ for migration in MIGRATIONS}
    if unknown:
        raise NewerSchema(", ".join(sorted(unknown)))
    for migration in MIGRATIONS:
        if migration.__name__ in done:
            continue
        db.begin()
        try:
            migration(db)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            db.execute("INSERT INTO migrations VALUES (?, ?)", [migration.__name__, now])
            db.commit()
        except BaseException:
            db.rollback()
            raise
