"""Compute the circuit of a run, at once, or of many examples in parts (METHOD, "Many examples").

circuit            score edges, per part and per block of examples, and neurons; record the strongest neurons token
                   by token
circuit_part       score edges and neurons on some of the examples: sums, and the rows of these examples
circuit_of_sums    the circuit from the sums of all parts; the strongest neurons are known only now
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attribution.edge_scores import Attribution, attribute
from engine.circuits.comparison import order_of
from engine.circuits.graph import Graph
from engine.inspection.artifact_tables import circuit_tables
from engine.inspection.trajectories import reveal_table
from engine.models.model import Model
from engine.runs.parts import arrays, sums_table
from engine.runs.records import ArtifactTables, CircuitSums, Progress, RunMeta
from engine.runs.remarks import refuse_unranked, remarks
from engine.runs.study import Study
from engine.runs.tables import edge_table, example_table
from engine.schema.arrow import table
from engine.schema.list_columns import lists
from engine.schema.vocabulary import BLOCK_EDGES, HALVES, SITE, STEP, TOTAL
from engine.tasks.accuracy import answers_of

BLOCK, NEURONS = "block-", ("neurons-even", "neurons-odd")  # names of sums, beside the parts of answers

Report = Callable[[Progress], None]


def circuit(study: Study, on_progress: Report) -> ArtifactTables:
    """The circuit of all examples at once."""
    attribution = _scored(study, on_progress)
    refuse_unranked(study.spec, study.model, study.rows, attribution.total / study.n)
    on_progress(Progress("the strongest neurons", 0, 0))
    return _made(study, attribution, _examples(study, attribution))


def circuit_part(study: Study, on_progress: Report) -> ArtifactTables:
    """What the examples of a study, which are some of a run's, add to its circuit."""
    attribution = _scored(study, on_progress)
    tables = {
        "circuit_sums": sums_table(_named_sums(study.model.graph, attribution)),
        "examples": _examples(study, attribution),
        "reveals": reveal_table(study.orders, study.first),
    }
    return ArtifactTables({}, tables)


def circuit_of_sums(study: Study, sums: CircuitSums, on_progress: Report) -> ArtifactTables:
    """The circuit of all examples from the sums of its parts."""
    attribution = _attribution(study.model, sums)
    refuse_unranked(study.spec, study.model, study.rows, attribution.total / study.n)
    on_progress(Progress("the strongest neurons", 0, 0))
    return _made(study, attribution, sums.examples)


def _scored(study: Study, on_progress: Report) -> Attribution:
    spec, rows = study.spec, study.rows
    on_progress(Progress("edge scores", 0, len(rows)))
    return attribute(
        study.model,
        rows,
        range(study.first, study.first + study.n),
        spec.method,
        spec.points,
        spec.metric,
        on_rows=lambda done: on_progress(Progress("edge scores", done, len(rows))),
    )


def _examples(study: Study, attribution: Attribution) -> pa.Table:
    answers = answers_of(study.model, study.task, study.encoded, study.spec.denoising_steps)
    return example_table(study.model, study.drawn, study.encoded, study.task, answers, attribution, study.first)


def _made(study: Study, attribution: Attribution, examples: pa.Table) -> ArtifactTables:
    """The circuit of all examples of a study; `examples`: its table of that name."""
    model, rows = study.model, study.rows
    parts = _part_scores(attribution, study.n)
    tables = {
        "edges": edge_table(model.graph, parts),
        "examples": examples,
        "edge_blocks": _edge_blocks(study, attribution),
        "reveals": reveal_table(study.orders),
        **circuit_tables(model, attribution, study.n, study.inputs, study.roles),
    }
    meta = RunMeta(
        n_layers=model.graph.n_layers,
        n_heads=model.graph.n_heads,
        n_sites=sum(len(row.sites) for row in rows),
        parts=tuple(name for name in parts if name.startswith((SITE, STEP))),
        metric_clean=float(attribution.metric_clean.mean()),
        metric_corrupt=float(attribution.metric_corrupt.mean()),
        device=str(model.device),
        architecture=model.architecture,
        versions={name: version(name) for name in ("torch", "transformers", "transformer-lens")},
        n_neurons=attribution.neurons.shape[-1],
        remarks=remarks(attribution, parts, rows),
    )
    return ArtifactTables(asdict(meta), tables)


def _part_scores(attribution: Attribution, n: int) -> dict[str, Tensor]:
    """Mean scores [source, destination] by part: the total, both halves, then every site or step."""
    even, odd = attribution.halves
    return {
        TOTAL: attribution.total / n,
        HALVES[0]: even / ((n + 1) // 2),
        HALVES[1]: odd / max(1, n // 2),  # zeros where there is one example only
        **{part: scores / n for part, scores in sorted(attribution.scores.items())},
    }


def _edge_blocks(study: Study, attribution: Attribution) -> pa.Table:
    """What every block of examples adds to the scores of the strongest edges."""
    graph = study.model.graph
    blocks = (attribution.blocks / study.n).cpu().numpy()[:, graph.edge_source, graph.edge_destination]  # [block, edge]
    total = (attribution.total / study.n).cpu().numpy()[graph.edge_source, graph.edge_destination]
    strongest = order_of(total)[:BLOCK_EDGES]
    return table("edge_blocks", {"edge": strongest.astype(np.int32), "scores": lists(blocks[:, strongest].T)})


def _named_sums(graph: Graph, attribution: Attribution) -> dict[str, NDArray[np.float32]]:
    """Scores that are summed over examples, [edge] or [layer * neuron] each, by name."""
    by_edge = {**attribution.scores, **{f"{BLOCK}{i:02d}": block for i, block in enumerate(attribution.blocks)}}
    sums = {name: scores.cpu().numpy()[graph.edge_source, graph.edge_destination] for name, scores in by_edge.items()}
    neurons = zip(NEURONS, attribution.neurons.cpu().numpy(), strict=True)
    return sums | {name: scores.ravel() for name, scores in neurons}


def _attribution(model: Model, sums: CircuitSums) -> Attribution:
    """What `attribute` returns, from its sums over the edges that exist: all others have no score."""
    graph, by_name = model.graph, arrays(sums.sums)

    def matrices(names: list[str]) -> Tensor:  # [name, source, destination]
        placed = np.zeros((len(names), graph.n_sources, graph.n_destinations), np.float32)
        for matrix, name in zip(placed, names, strict=True):
            matrix[graph.edge_source, graph.edge_destination] = by_name[name]
        return torch.from_numpy(placed)

    parts = [name for name in by_name if name.startswith((SITE, STEP))]
    neurons = torch.stack([torch.tensor(by_name[name]) for name in NEURONS])
    metrics = (torch.tensor(sums.examples[name].to_numpy()) for name in ("metric_clean", "metric_corrupt"))
    return Attribution(
        dict(zip(parts, matrices(parts), strict=True)),
        matrices([name for name in by_name if name.startswith(BLOCK)]),
        neurons.view(2, graph.n_layers, -1).to(model.device),
        *metrics,
    )
