"""Synthetic runs, for tests and benchmarks: random, valid tables without a model, the same for the same spec."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.circuits.graph import Graph
from engine.models.example import Example
from engine.runs.artifacts import split
from engine.runs.execution import Compute, OnProgress
from engine.runs.parts import sums_table
from engine.runs.records import (
    Accuracy,
    ArtifactTables,
    EvidenceInputs,
    ExampleRange,
    Inputs,
    Progress,
    RunMeta,
    RunTables,
)
from engine.runs.spec import RunSpec
from engine.schema.arrow import table, table_of_rows
from engine.schema.artifacts import Kind
from engine.schema.vocabulary import HALVES, LENS_TOKENS, TOTAL, site_part, step_part
from engine.tasks.registry import examples, task_named
from engine.tasks.templates import of_template
from tools.synthetic_components import HOSTILE, N_NEURONS, component_tables
from tools.synthetic_evidence import fake_evidence

GRAPH = Graph(6, 8)
LLAMA = {  # a config.json
    "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 6,
    "num_attention_heads": 8,
}  # fmt: skip
VOCABULARY = np.array([HOSTILE, "Mary", "John", "the", "store", "to", "24", "17", "=", "*", "`x`", " ", "\n", "é", "_"])
LENS_EXAMPLES = 2


def fake_run(spec: RunSpec, on_progress: Callable[[Progress], None], graph: Graph = GRAPH) -> RunTables:
    """A complete run of `spec` on `graph`: parts sum to the total, halves average to it, ranks are right."""
    drawn = examples(of_template(task_named(spec.task), spec.template), spec.n, spec.seed)
    sites = sorted({t for example in drawn for t in _sites(example)})
    parts = [(site_part if spec.is_arm else step_part)(t) for t in sites]
    on_progress(Progress("Loading the model", 0, 0))
    edges = _edges(spec, graph, parts)
    for batch in range(4):
        on_progress(Progress("Scoring edges", batch + 1, 4))
    readouts = _readouts(spec, drawn)
    on_progress(Progress("Looking through the lens", 1, 1))
    meta = RunMeta(
        n_layers=graph.n_layers,
        n_heads=graph.n_heads,
        n_sites=sum(len(_sites(example)) for example in drawn),
        parts=tuple(parts),
        metric_clean=4.5,
        metric_corrupt=-4.25,
        device="cpu",
        architecture="Fake",
        versions={"numpy": np.__version__},
        n_neurons=N_NEURONS,
    )
    tables = {
        "edges": edges,
        "examples": _examples(spec, drawn),
        "readouts": readouts,
        "node_lens": _node_lens(spec, graph, readouts.num_rows),
        "residual_lens": _residual_lens(spec, graph, readouts.num_rows),
        **component_tables(spec, graph, drawn, edges, parts),
    }
    accuracy = Accuracy(round(0.9 + 0.1 * _rng(spec, "accuracy").random(), 3), 200)
    return RunTables(meta, accuracy, tables)


def by_kind(run: Callable[[RunSpec, OnProgress], RunTables]) -> Compute:
    """A function that makes whole runs, as one that makes an artifact, of evidence and parts of circuits too."""

    def compute(spec: RunSpec, kind: Kind, on_progress: OnProgress, inputs: Inputs | None = None) -> ArtifactTables:
        if isinstance(inputs, EvidenceInputs):
            return fake_evidence(spec, kind, inputs)
        if isinstance(inputs, ExampleRange):
            return _part(run(spec, on_progress), inputs)
        return split(run(spec, on_progress), kind)

    return compute


def _part(run: RunTables, part: ExampleRange) -> ArtifactTables:
    """A part of the circuit of a run: the rows of its examples, and a sum that says how many these are."""
    tables = {"circuit_sums": sums_table({"block-00": np.array([part.stop - part.first], np.float32)})}
    for name in ("examples", "reveals"):
        example = run.tables[name]["example"].to_numpy()
        tables[name] = run.tables[name].filter((example >= part.first) & (example < part.stop))
    return ArtifactTables({}, tables)


fake_compute = by_kind(fake_run)


def register_fake_pair(folder: Path, name: str = "embedded", steps: tuple[int, ...] = (0, 100)) -> Path:
    """Write a pair whose models are only names for a key, and the pairs file for CIRCUITS_PAIRS, which is returned."""
    for model in ("arm", "mdm", *(f"steps/{step:06d}" for step in steps)):
        fake_model(folder / model, model)
    file = folder / "pairs.toml"
    file.write_text(f"""
[{name}]
title = "Fake pair"
arm = "arm"
mdm = "mdm"
mask_token = "<mask>"
shifted = true
steps = {list(steps)}
steps_dir = "steps"
""")
    return file


def fake_model(folder: Path, mark: str, **config: object) -> None:
    """A folder that looks like a small Llama without a single weight; another `mark`, another key."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA | config))
    header = json.dumps({"__metadata__": {"mark": mark}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def _rng(spec: RunSpec, *salt: object) -> np.random.Generator:
    fields = ", ".join(f"{name}={value!r}" for name, value in spec.as_dict().items())
    digest = hashlib.sha256(f"(RunSpec({fields}), {salt!r})".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _sites(example: Example) -> list[int]:
    pairs = zip(example.answer.split(), example.corrupt_answer.split(), strict=True)
    return [t for t, (answer, foil) in enumerate(pairs) if answer != foil]


def _edges(spec: RunSpec, graph: Graph, parts: list[str]) -> pa.Table:
    base = _heavy(np.random.default_rng(len(spec.task)), graph.n_edges)
    own = _heavy(_rng(spec, "edges"), graph.n_edges)
    shared = 0.8 if task_named(spec.task).family == "prefix-dominant" else 0.3
    scores = shared * base + (1 - shared) * own
    if not spec.is_arm:
        scores *= np.linspace(1.5, 0.5, graph.n_edges)
    wobble = 0.3 * np.abs(scores) * _rng(spec, "halves").standard_normal(graph.n_edges)
    share = _rng(spec, "parts").dirichlet(np.ones(len(parts)), graph.n_edges)  # [edge, part]
    columns = {TOTAL: scores, HALVES[0]: scores + wobble, HALVES[1]: scores - wobble}
    columns |= {part: scores * share[:, i] for i, part in enumerate(parts)}
    return pa.concat_tables([_ranked(part, column.astype(np.float32)) for part, column in columns.items()])


def _heavy(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.exp(1.5 * rng.standard_normal(n)) * rng.choice([-1.0, 1.0], n) / 50


def _ranked(part: str, scores: NDArray[np.float32]) -> pa.Table:
    order = np.argsort(-np.abs(scores), kind="stable").astype(np.int32)
    ranks = np.arange(len(order), dtype=np.int32)
    return table("edges", {"part": [part] * len(order), "rank": ranks, "edge": order, "score": scores[order]})


def _examples(spec: RunSpec, drawn: list[Example]) -> pa.Table:
    rng = _rng(spec, "examples")
    correct = [bool(right) for right in rng.random(len(drawn)) < 0.9]
    prompts = [example.prompt.split() for example in drawn]
    prompts[0] = [HOSTILE, *prompts[0][1:]]
    answers = [example.answer.split() for example in drawn]
    foils = [example.corrupt_answer.split() for example in drawn]
    columns = {
        "example": range(len(drawn)),
        "prompt": prompts,
        "answer": answers,
        "corrupt_prompt": [example.corrupt_prompt.split() for example in drawn],
        "corrupt_answer": foils,
        "predicted": [a if c else f for a, f, c in zip(answers, foils, correct, strict=True)],
        "correct": correct,
        "metric_clean": rng.normal(4.5, 1, len(drawn)),
        "metric_corrupt": rng.normal(-4.25, 1, len(drawn)),
    }
    return table("examples", columns)


def _readouts(spec: RunSpec, drawn: list[Example]) -> pa.Table:
    rows: list[dict[str, object]] = []
    for index, example in enumerate(drawn[:LENS_EXAMPLES]):
        prompt, answer, foil = (text.split() for text in (example.prompt, example.answer, example.corrupt_answer))
        for t in _sites(example):
            seen = answer if spec.is_arm else answer[:t] + ["<mask>"] * (len(answer) - t)
            part = (site_part if spec.is_arm else step_part)(t)
            target = len(prompt) + t
            row = {"readout": len(rows), "example": index, "part": part, "position": target - 1, "target": target}
            rows.append({**row, "tokens": prompt + seen, "answer": answer[t], "foil": foil[t]})
    return table_of_rows("readouts", rows)


def _words(rng: np.random.Generator, rows: int) -> list[list[str]]:
    words = [rng.permutation(VOCABULARY)[:LENS_TOKENS].tolist() for _ in range(rows)]
    words[0][0] = HOSTILE
    return words


def _descending(values: NDArray[np.float64]) -> list[list[float]]:
    descending: list[list[float]] = (-np.sort(-values, axis=1)).tolist()
    return descending


def _node_lens(spec: RunSpec, graph: Graph, n_readouts: int) -> pa.Table:
    rng, rows = _rng(spec, "node lens"), n_readouts * graph.n_sources
    columns = {
        "readout": np.repeat(np.arange(n_readouts), graph.n_sources),
        "node": np.tile(np.arange(graph.n_sources), n_readouts),
        "answer_logit": rng.normal(0.2, 1, rows),
        "foil_logit": rng.normal(-0.2, 1, rows),
        "entropy": rng.uniform(0.5, 5, rows),
        "top_probability": rng.uniform(0, 1, rows),
        "promoted": _words(rng, rows),
        "suppressed": _words(rng, rows),
        "promoted_logit": _descending(rng.uniform(0, 3, (rows, LENS_TOKENS))),
        "suppressed_logit": np.sort(rng.uniform(-3, 0, (rows, LENS_TOKENS)), axis=1).tolist(),
    }
    return table("node_lens", columns)


def _residual_lens(spec: RunSpec, graph: Graph, n_readouts: int) -> pa.Table:
    rng, layers = _rng(spec, "residual lens"), graph.n_layers + 1
    rows = n_readouts * layers
    grows = np.tile(np.linspace(0.05, 0.95, layers), n_readouts)
    columns = {
        "readout": np.repeat(np.arange(n_readouts), layers),
        "layer": np.tile(np.arange(layers), n_readouts),
        "answer_probability": grows * rng.uniform(0.9, 1, rows),
        "foil_probability": (1 - grows) * rng.uniform(0, 0.5, rows),
        "entropy": 5 * (1 - grows),
        "answer_rank": rng.integers(0, 5, rows),
        "foil_rank": rng.integers(1, 50, rows),
        "tokens": _words(rng, rows),
        "probabilities": _descending(rng.dirichlet(np.ones(LENS_TOKENS), rows)),
    }
    return table("residual_lens", columns)
