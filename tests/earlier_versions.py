"""Files as versions before artifacts wrote them: a cache or a bundle in one DuckDB file, made with their own SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from engine.runs.provenance import resolve
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec

MIGRATIONS = (
    "m001_runs", "m002_edges", "m003_examples_and_lenses", "m004_overlap_curves", "m005_what_components_do",
    "m006_where_runs_come_from", "m007_thin_overlap_curves", "m008_numbers_that_may_be_none", "m009_specs_as_columns",
)  # fmt: skip
SEARCHED = """
    pair VARCHAR, model VARCHAR, task VARCHAR, n INTEGER, seed BIGINT, method VARCHAR, points INTEGER, metric VARCHAR,
    "order" VARCHAR, dtype VARCHAR"""
RUNS = """
    id INTEGER NOT NULL, key VARCHAR NOT NULL UNIQUE, spec VARCHAR NOT NULL, meta VARCHAR NOT NULL,
    created VARCHAR NOT NULL, seconds DOUBLE NOT NULL"""
CURVES = """
    run_a INTEGER NOT NULL, part_a VARCHAR NOT NULL, run_b INTEGER NOT NULL, part_b VARCHAR NOT NULL,
    k INTEGER NOT NULL, shared INTEGER NOT NULL"""
TABLES = {
    "edges": "part VARCHAR NOT NULL, rank INTEGER NOT NULL, edge INTEGER NOT NULL, score FLOAT NOT NULL",
    "examples": """
        example INTEGER NOT NULL, prompt VARCHAR[] NOT NULL, answer VARCHAR[] NOT NULL,
        corrupt_prompt VARCHAR[] NOT NULL, corrupt_answer VARCHAR[] NOT NULL, predicted VARCHAR[] NOT NULL,
        correct BOOLEAN NOT NULL, metric_clean FLOAT NOT NULL, metric_corrupt FLOAT NOT NULL""",
    "readouts": """
        readout INTEGER NOT NULL, example INTEGER NOT NULL, part VARCHAR NOT NULL, position INTEGER NOT NULL,
        target INTEGER NOT NULL, tokens VARCHAR[] NOT NULL, answer VARCHAR NOT NULL, foil VARCHAR NOT NULL""",
    "node_lens": """
        readout INTEGER NOT NULL, node INTEGER NOT NULL, answer_logit FLOAT NOT NULL, foil_logit FLOAT NOT NULL,
        entropy FLOAT NOT NULL, top_probability FLOAT NOT NULL, promoted VARCHAR[] NOT NULL,
        suppressed VARCHAR[] NOT NULL, promoted_logit FLOAT[] NOT NULL, suppressed_logit FLOAT[] NOT NULL""",
    "residual_lens": """
        readout INTEGER NOT NULL, layer INTEGER NOT NULL, answer_probability FLOAT NOT NULL,
        foil_probability FLOAT NOT NULL, entropy FLOAT NOT NULL, answer_rank INTEGER NOT NULL,
        foil_rank INTEGER NOT NULL, tokens VARCHAR[] NOT NULL, probabilities FLOAT[] NOT NULL""",
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


@dataclass(frozen=True)
class Earlier:
    """A run as those versions recorded it; `made_with`: None of one that is older than bundles."""

    key: str
    spec: dict[str, Any]
    meta: dict[str, Any]
    made_with: dict[str, Any] | None
    run: RunTables


def recorded(spec: RunSpec, run: RunTables) -> Earlier:
    """A run of a pair that is here."""
    resolved = resolve(spec)
    meta = {**asdict(run.meta), **asdict(run.accuracy), "stored_bytes": 12_345}
    return Earlier(resolved.key, spec.as_dict(), meta, dict(resolved.provenance), run)


def write_cache(path: Path, runs: Sequence[Earlier], migrations: Sequence[str] = MIGRATIONS) -> None:
    """A cache that has been through some migrations, at least up to the fifth."""
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE migrations (name VARCHAR NOT NULL UNIQUE, applied VARCHAR NOT NULL)")
        db.execute("CREATE SEQUENCE run_ids")
        db.executemany("INSERT INTO migrations VALUES (?, '2026-01-01')", [[name] for name in migrations])
        _write(db, runs, migrations)


def write_bundle(path: Path, header: str, runs: Sequence[Earlier], migrations: Sequence[str] = MIGRATIONS[:-1]) -> None:
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE bundle (header VARCHAR, migrations VARCHAR[])")
        db.execute("INSERT INTO bundle VALUES (?, ?)", [header, list(migrations)])
        _write(db, runs, migrations)


def _write(db: duckdb.DuckDBPyConnection, runs: Sequence[Earlier], migrations: Sequence[str]) -> None:
    provenance = ", made_with VARCHAR, imported VARCHAR" if MIGRATIONS[5] in migrations else ""
    searched = f", {SEARCHED}" if MIGRATIONS[8] in migrations else ""
    db.execute(f"CREATE TABLE runs ({RUNS}{provenance}{searched})")
    db.execute(f"CREATE TABLE overlap_curves ({CURVES})")
    for name, columns in TABLES.items():
        db.execute(f"CREATE TABLE {name} (run INTEGER NOT NULL, {columns})")
    if MIGRATIONS[7] in migrations:
        db.execute("ALTER TABLE activation_histograms ALTER COLUMN kurtosis DROP NOT NULL")
        db.execute("ALTER TABLE heads ALTER COLUMN copying DROP NOT NULL")
    for number, made in enumerate(runs, 1):
        values = [number, made.key, json.dumps(made.spec), json.dumps(made.meta), "2026-01-01T00:00:00+00:00", 7.5]
        names = "id, key, spec, meta, created, seconds"
        if provenance:
            values.append(None if made.made_with is None else json.dumps(made.made_with))
            names += ", made_with"
        db.execute(f"INSERT INTO runs ({names}) VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
        db.execute("INSERT INTO overlap_curves VALUES (?, 'half-a', ?, 'half-b', 1, 0)", [number, number])
        for name, table in made.run.tables.items():
            db.register("incoming", table)
            db.execute(f"INSERT INTO {name} BY NAME SELECT {number} AS run, * FROM incoming")  # noqa: S608
            db.unregister("incoming")
