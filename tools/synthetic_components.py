"""What the components of a fake run do: random tables with the columns, types and lengths of a real one's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.circuits.graph import Graph
from engine.inspection.bins import BINS
from engine.models.example import Example
from engine.runs.spec import RunSpec
from engine.schema.arrow import table, table_of_rows
from engine.schema.tables import TABLES
from engine.schema.vocabulary import BLOCKS, COMPONENT_EXAMPLES, REGIONS, SAMPLERS
from engine.tasks.registry import task_named

N_NEURONS = 24
HOSTILE = "<b>x</b>"  # a token string that a page must show as text
WORDS = np.array([HOSTILE, "Mary", "John", "the", "store", "to", "24", "17", "=", "*", "`x`", " ", "\n", "é", "_"])
EXAMPLES, INPUTS_OF_STEPS = 2, 3
FLOAT, INT, STRING = pa.float32(), pa.int32(), pa.string()
FLOATS, INTS, STRINGS, BOOLS = pa.list_(FLOAT), pa.list_(INT), pa.list_(STRING), pa.list_(pa.bool_())


def component_tables(
    spec: RunSpec, graph: Graph, drawn: list[Example], edges: pa.Table, parts: list[str]
) -> dict[str, pa.Table]:
    """Every table that says what components do; the examples' sizes are those of `drawn`."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(repr(spec).encode()).digest()[:8], "big"))
    inputs = _inputs(spec, drawn, parts)
    return {
        "edge_blocks": _edge_blocks(rng, spec, edges),
        "inputs": inputs,
        "neurons": _neurons(rng, spec, graph),
        "neuron_detail": _neuron_detail(rng, graph, len(drawn), parts[0]),
        "neuron_tokens": _neuron_tokens(rng, graph, inputs),
        "activation_histograms": _histograms(rng, graph),
        "residual_norms": _residual_norms(rng, graph, drawn),
        "heads": _heads(rng, graph),
        "attention_roles": _attention_roles(rng, graph, inputs),
        "attention_patterns": _attention_patterns(rng, spec, graph, inputs),
        "lens_layers": _lens_layers(rng, graph, len(drawn)),
        **_denoising(rng, spec, graph, drawn),
    }


def _steps(spec: RunSpec, example: Example) -> int:
    return 1 if task_named(spec.task).parallel else len(example.answer.split())


def _masked(example: Example, step: int) -> list[str]:
    """Prompt and answer as an MDM sees them that reveals from left to right."""
    answer = example.answer.split()
    return example.prompt.split() + answer[:step] + ["<mask>"] * (len(answer) - step)


def _inputs(spec: RunSpec, drawn: list[Example], parts: list[str]) -> pa.Table:
    rows: list[dict[str, object]] = []
    for index, example in enumerate(drawn[:EXAMPLES]):
        prompt, answer = example.prompt.split(), example.answer.split()
        last = _steps(spec, example) - 1
        seen = {parts[0]: prompt + answer}
        if not spec.is_arm:
            steps = {f"step-{step:02d}": step for step in sorted({0, last // 2, last})}
            seen = {part if part in parts else parts[0]: _masked(example, step) for part, step in steps.items()}
        roles = ["other"] * (len(prompt) - 1) + ["end"] + ["answer"] * len(answer)
        roles[2] = "subject"
        for part, tokens in seen.items():
            row = {"input": len(rows), "example": index, "part": part, "tokens": [HOSTILE, *tokens[1:]]}
            rows.append({**row, "roles": roles, "start": len(prompt)})
    return table_of_rows("inputs", rows)


def _edge_blocks(rng: np.random.Generator, spec: RunSpec, edges: pa.Table) -> pa.Table:
    total = edges.filter(pa.compute.equal(edges["part"], "total")).slice(0, 4096)
    scores = total["score"].to_numpy()
    blocks = min(BLOCKS, spec.n)
    shares = rng.normal(1, 0.5, (len(scores), blocks))
    shares *= scores[:, None] / shares.sum(1, keepdims=True)
    return table("edge_blocks", {"edge": total["edge"], "scores": pa.array(shares.tolist(), FLOATS)})


def _words(rng: np.random.Generator, rows: int, most: int = 5) -> pa.Array:
    return pa.array([rng.permutation(WORDS)[:most].tolist() for _ in range(rows)], STRINGS)


def _descending(rng: np.random.Generator, rows: int, most: int = 5, sign: int = 1, high: float = 3) -> pa.Array:
    return pa.array((sign * -np.sort(-rng.uniform(0, high, (rows, most)), axis=1)).tolist(), FLOATS)


def _floats(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, FLOAT)


def _each_neuron(graph: Graph) -> dict[str, pa.Array]:
    layers, neurons = np.divmod(np.arange(graph.n_layers * N_NEURONS), N_NEURONS)
    return {"layer": pa.array(layers, INT), "neuron": pa.array(neurons, INT)}


def _neurons(rng: np.random.Generator, spec: RunSpec, graph: Graph) -> pa.Table:
    rows = graph.n_layers * N_NEURONS
    both = np.random.default_rng(len(spec.task)).standard_t(2, rows) / 20  # what the two models have in common
    attribution = both + rng.normal(0, 0.01, rows)
    wobble = rng.normal(0, 0.005, rows)
    cosines = [pa.nulls(rows, FLOAT) if spec.is_arm else _floats(rng.uniform(0.2, 1, rows)) for _ in range(3)]
    columns = {
        **_each_neuron(graph),
        "attribution": _floats(attribution),
        "half_a": _floats(attribution + wobble),
        "half_b": _floats(attribution - wobble),
        "mean": _floats(rng.normal(0, 0.1, rows)),
        "std": _floats(rng.uniform(0.1, 1, rows)),
        "low": _floats(-rng.uniform(0.5, 3, rows)),
        "high": _floats(rng.uniform(0.5, 9, rows)),
        "active": _floats(rng.uniform(0, 1, rows)),
        "counts": pa.array(rng.poisson(30 * np.exp(-(np.linspace(-3, 3, BINS) ** 2)), (rows, BINS)).tolist(), INTS),
        "promoted": _words(rng, rows),
        "promoted_logit": _descending(rng, rows),
        "suppressed": _words(rng, rows),
        "suppressed_logit": _descending(rng, rows, sign=-1),
    }
    return table("neurons", {**columns, "cos_in": cosines[0], "cos_gate": cosines[1], "cos_out": cosines[2]})


def _neuron_detail(rng: np.random.Generator, graph: Graph, n: int, part: str) -> pa.Table:
    rows, most = graph.n_layers * N_NEURONS, min(5, n)
    columns = {
        **_each_neuron(graph),
        "top_input_example": pa.array([rng.permutation(n)[:most].tolist() for _ in range(rows)], INTS),
        "top_part": pa.array([[part] * most] * rows, STRINGS),
        "top_position": pa.array(rng.integers(0, 8, (rows, most)).tolist(), INTS),
        "top_value": _descending(rng, rows, most),
        "gate_tokens": _words(rng, rows),
        "gate_cosine": _descending(rng, rows, high=1),
        "up_tokens": _words(rng, rows),
        "up_cosine": _descending(rng, rows, high=1),
    }
    return table("neuron_detail", columns)


def _neuron_tokens(rng: np.random.Generator, graph: Graph, inputs: pa.Table) -> pa.Table:
    tables = []
    for number, tokens in zip(inputs["input"].to_pylist(), inputs["tokens"].to_pylist(), strict=True):
        rows = graph.n_layers * N_NEURONS
        gates, ups = rng.normal(0, 1, (2, rows, len(tokens)))
        values = {"activations": gates / (1 + np.exp(-gates)) * ups, "gates": gates, "ups": ups}
        lists = {name: pa.array(value.tolist(), FLOATS) for name, value in values.items()}
        tables.append(table("neuron_tokens", {"input": pa.array([number] * rows, INT), **_each_neuron(graph), **lists}))
    return pa.concat_tables(tables)


def _histograms(rng: np.random.Generator, graph: Graph) -> pa.Table:
    rows = []
    for layer in range(graph.n_layers):
        for region in REGIONS:
            counts = rng.poisson(1000 * np.exp(-(np.linspace(-3, 3, BINS) ** 2)))
            row = {"layer": layer, "region": region, "counts": counts.tolist(), "n": int(counts.sum())}
            numbers = dict(zip(("mean", "std", "kurtosis", "active"), rng.uniform(0, 1, 4).tolist(), strict=True))
            rows.append({**row, **numbers})
    return table_of_rows("activation_histograms", rows)


def _residual_norms(rng: np.random.Generator, graph: Graph, drawn: list[Example]) -> pa.Table:
    before = max(len(example.prompt.split()) for example in drawn)
    offsets = np.arange(-before, len(drawn[0].answer.split()))
    layers, places = np.meshgrid(np.arange(graph.n_layers + 1), offsets, indexing="ij")
    columns = {"layer": pa.array(layers.ravel(), INT), "offset": pa.array(places.ravel(), INT)}
    columns |= {"mean": _floats(layers.ravel() + rng.uniform(1, 2, layers.size))}
    columns |= {"std": _floats(rng.uniform(0.1, 0.3, layers.size)), "n": pa.array([len(drawn)] * layers.size, INT)}
    return table("residual_norms", columns)


def _heads(rng: np.random.Generator, graph: Graph) -> pa.Table:
    nodes = [graph.head(layer, head) for layer in range(graph.n_layers) for head in range(graph.n_heads)]
    names = ("norm_prompt", "norm_answer", "norm_readout", "previous_token", "duplicate_token", "induction")
    numbers = {name: _floats(rng.uniform(0, 1, len(nodes))) for name in names}
    return table("heads", {"node": pa.array(nodes, INT), **numbers, "copying": _floats(rng.uniform(-1, 1, len(nodes)))})


def _attention_roles(rng: np.random.Generator, graph: Graph, inputs: pa.Table) -> pa.Table:
    roles = list(dict.fromkeys(role for row in inputs["roles"].to_pylist() for role in row))
    rows = []
    for layer in range(graph.n_layers):
        for head in range(graph.n_heads):
            for query in roles:
                weights = rng.dirichlet(np.ones(len(roles)))
                for key, weight in zip(roles, weights.tolist(), strict=True):
                    place = {"node": graph.head(layer, head), "query": query, "key": key}
                    rows.append({**place, "weight": weight, "queries": 10})
    return table_of_rows("attention_roles", rows)


def _attention_patterns(rng: np.random.Generator, spec: RunSpec, graph: Graph, inputs: pa.Table) -> pa.Table:
    rows: list[dict[str, object]] = []
    for number, tokens in zip(inputs["input"].to_pylist(), inputs["tokens"].to_pylist(), strict=True):
        for layer in range(graph.n_layers):
            for head in range(graph.n_heads):
                raw = rng.gamma(0.3, size=(len(tokens), len(tokens))) + 1e-6
                pattern = np.tril(raw) if spec.is_arm else raw
                pattern /= pattern.sum(1, keepdims=True)
                flat = np.round(255 * pattern).astype(np.uint8).ravel()
                rows.append({"input": number, "node": graph.head(layer, head), "pattern": flat.tolist()})
    return table_of_rows("attention_patterns", rows)


def _lens_layers(rng: np.random.Generator, graph: Graph, n: int) -> pa.Table:
    examples, layers = np.divmod(np.arange(n * graph.n_layers), graph.n_layers)
    columns = {"example": pa.array(examples, INT), "layer": pa.array(layers, INT)}
    for name, most in (("residual_entropy", 5), ("residual_top", 1), ("node_entropy", 5), ("node_top", 1)):
        values = rng.uniform(0, most, len(layers))
        values[(examples >= COMPONENT_EXAMPLES) & name.startswith("node")] = np.nan
        columns[name] = pa.array(values.astype(np.float32), from_pandas=True)
    return table("lens_layers", columns)


def _denoising(rng: np.random.Generator, spec: RunSpec, graph: Graph, drawn: list[Example]) -> dict[str, pa.Table]:
    lens: list[dict[str, object]] = []
    reveals: list[dict[str, int]] = []
    steps_taken: list[dict[str, object]] = []
    for index, example in enumerate(drawn):
        answer, start, steps = example.answer.split(), len(example.prompt.split()), _steps(spec, example)
        reveals += [{"example": index, "step": t if steps > 1 else 0, "index": t} for t in range(len(answer))]
        if index >= EXAMPLES:
            continue
        for step in range(1 if spec.is_arm else steps):
            for t in range(step, len(answer)):
                place = {"example": index, "step": step, "target": start + t}
                lens += [{**place, "layer": layer, **_reading(rng, layer)} for layer in range(graph.n_layers + 1)]
        for sampler in SAMPLERS:
            steps_taken += _trajectory(rng, sampler, index, answer, len(answer))
    length = len(drawn[0].answer.split())
    solved = [
        {"steps": s, "correct": int(200 * s / length), "total": 200} for s in sorted({1, 2, 4, length}) if s <= length
    ]
    rows: dict[str, Sequence[Mapping[str, object]]] = {
        "position_lens": lens,
        "reveals": reveals,
        "trajectories": steps_taken,
        "accuracy_steps": solved,
    }
    return {
        name: table_of_rows(name, [] if spec.is_arm and TABLES[name].mdm_only else list(rows[name])) for name in rows
    }


def _reading(rng: np.random.Generator, layer: int) -> dict[str, object]:
    probability = float(rng.uniform(0.1, 1))
    right = {"answer_probability": probability * float(rng.uniform(0, 1)), "answer_rank": int(rng.integers(0, 9))}
    return {"token": str(rng.choice(WORDS)), "probability": probability, **right}


def _trajectory(
    rng: np.random.Generator, sampler: str, example: int, answer: list[str], steps: int
) -> list[dict[str, Any]]:
    """A trajectory that reveals one position a step, from left to right or in a random order."""
    order = list(range(len(answer))) if sampler == "left-to-right" else rng.permutation(len(answer)).tolist()
    return [
        {
            "sampler": sampler,
            "example": example,
            "step": step,
            "tokens": [HOSTILE, *answer[1:]] if step == 0 else answer,
            "confidences": rng.uniform(0.2, 1, len(answer)).tolist(),
            "revealed": [t == order[step] for t in range(len(answer))],
            "visible": [t in order[:step] for t in range(len(answer))],
            "correct": sampler != "random",
        }
        for step in range(steps)
    ]
