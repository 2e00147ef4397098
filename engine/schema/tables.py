"""Every column of a run's tables, described once: its type, its unit, and what its values can be.

Bounds are those of sound numbers, not of usual ones: whatever lies within them the pages can show. A bound can be a
size of the run by its name (`engine/exchange/table_checks.py`, Sizes), which a value is then below. What the columns
mean stands in engine/runs/records.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.inspection.bins import BINS

Size = int | str  # a number, or a size of the run by its name

LARGEST = 1e12  # of numbers without a bound of their own: sums and squares of them are still numbers
SLACK = 1e-3  # by which a share, a probability or a cosine may pass its bound: they are rounded sums
MOST_COUNT = 10_000_000  # of tokens, ranks
MOST_IN_ALL = 1_000_000_000_000  # activations of a layer
MOST_TOKENS = 100_000  # of an input
MOST_ANSWER = 1000  # tokens of an answer, and so denoising steps
MOST_SHOWN = 100  # tokens that a lens shows
MOST_ROLES = 1000
MOST_INPUTS = 100  # of which every token's detail is kept
MOST_PATTERN = 2**26  # numbers of an attention pattern
LONGEST_TEXT = 1000  # characters of a token or a name

HALVES = ("total", "half-a", "half-b")
REGIONS = ("prompt", "answer", "readout")
SAMPLERS = (  # those of engine/models/samplers.py, which needs torch
    "confidence", "left-to-right", "random", "dream-maskgit", "dream-margin", "dream-entropy", "dream-origin",
    "diffullama",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `type`: of a value, or of an entry where the column holds lists: bool, int, float, text, or part (a text: the name
    of a site or step of the run).
    `low`, `high`: the least and the largest value; a size that is named is beyond the largest.
    `items`: the least and the most entries of a list; None: the column holds single values.
    `nullable`: a value may be missing.
    `one_of`: the only texts there are; of a part: others than sites and steps.
    """

    name: str
    type: str
    unit: str = ""
    low: float = -LARGEST
    high: float | str = LARGEST
    items: tuple[int, int] | None = None
    nullable: bool = False
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of a run.

    `most`: how many rows it has at most, a product of sizes; `whole`: it has exactly so many.
    `numbered`: columns that number the rows, each from 0 to below its size, the last fastest.
    `alike`: list columns whose lists are equally long in each row.
    `mdm_only`: an ARM's is empty. No other table is.
    """

    name: str
    columns: tuple[Column, ...]
    most: tuple[Size, ...]
    whole: bool = False
    numbered: tuple[tuple[str, str], ...] = ()
    alike: tuple[tuple[str, ...], ...] = ()
    mdm_only: bool = False


def _index(name: str, below: str) -> Column:
    return Column(name, "int", low=0, high=below)


def _count(
    name: str, unit: str, low: int = 0, high: float = MOST_COUNT, items: tuple[int, int] | None = None
) -> Column:
    return Column(name, "int", unit, low, high, items)


def _real(name: str, unit: str = "", items: tuple[int, int] | None = None) -> Column:
    return Column(name, "float", unit, items=items)


def _positive(name: str, unit: str, items: tuple[int, int] | None = None) -> Column:
    """Not below zero but by rounding."""
    return Column(name, "float", unit, low=-SLACK, items=items)


def _share(name: str, unit: str = "probability", items: tuple[int, int] | None = None) -> Column:
    return Column(name, "float", unit, -SLACK, 1 + SLACK, items)


def _cosine(name: str, items: tuple[int, int] | None = None, nullable: bool = False) -> Column:
    return Column(name, "float", "cosine", -1 - SLACK, 1 + SLACK, items, nullable)


def _text(name: str, items: tuple[int, int] | None = None, one_of: tuple[str, ...] = ()) -> Column:
    return Column(name, "text", items=items, one_of=one_of)


PROMPT, ANSWER, SHOWN = (1, MOST_TOKENS), (1, MOST_ANSWER), (1, MOST_SHOWN)
SHOWN_OR_NONE, PER_TOKEN_OR_NONE = (0, MOST_SHOWN), (0, MOST_TOKENS)
HISTOGRAM = (BINS, BINS)

DESCRIBED = (
    Table(
        "edges",
        (
            Column("part", "part", one_of=HALVES),
            _index("rank", "n_edges"),
            _index("edge", "n_edges"),
            _real("score", "of the metric"),
        ),
        most=("n_parts", "n_edges"),
        whole=True,
    ),
    Table(
        "examples",
        (
            _index("example", "n"),
            _text("prompt", PROMPT),
            _text("answer", ANSWER),
            _text("corrupt_prompt", PROMPT),
            _text("corrupt_answer", ANSWER),
            _text("predicted", ANSWER),
            Column("correct", "bool"),
            _real("metric_clean", "of the metric"),
            _real("metric_corrupt", "of the metric"),
        ),
        most=("n",),
        whole=True,
        numbered=(("example", "n"),),
        alike=(("prompt", "corrupt_prompt"), ("answer", "corrupt_answer", "predicted")),
    ),
    Table(
        "readouts",
        (
            _index("readout", "n_readouts"),
            _index("example", "n"),
            Column("part", "part"),
            _count("position", "token"),
            _count("target", "token"),
            _text("tokens", PROMPT),
            _text("answer"),
            _text("foil"),
        ),
        most=("n_sites",),
        numbered=(("readout", "n_readouts"),),
    ),
    Table(
        "node_lens",
        (
            _index("readout", "n_readouts"),
            _index("node", "n_sources"),
            _real("answer_logit", "logits"),
            _real("foil_logit", "logits"),
            _positive("entropy", "nats"),
            _share("top_probability"),
            _text("promoted", SHOWN),
            _text("suppressed", SHOWN),
            _real("promoted_logit", "logits", SHOWN),
            _real("suppressed_logit", "logits", SHOWN),
        ),
        most=("n_readouts", "n_sources"),
        whole=True,
        numbered=(("readout", "n_readouts"), ("node", "n_sources")),
        alike=(("promoted", "promoted_logit"), ("suppressed", "suppressed_logit")),
    ),
    Table(
        "residual_lens",
        (
            _index("readout", "n_readouts"),
            _index("layer", "n_states"),
            _share("answer_probability"),
            _share("foil_probability"),
            _positive("entropy", "nats"),
            _count("answer_rank", "tokens"),
            _count("foil_rank", "tokens"),
            _text("tokens", SHOWN),
            _share("probabilities", items=SHOWN),
        ),
        most=("n_readouts", "n_states"),
        whole=True,
        numbered=(("readout", "n_readouts"), ("layer", "n_states")),
        alike=(("tokens", "probabilities"),),
    ),
    Table(
        "edge_blocks",
        (_index("edge", "n_edges"), _real("scores", "of the metric", (1, 1000))),
        most=("n_edges",),
    ),
    Table(
        "inputs",
        (
            _index("input", "n_inputs"),
            _index("example", "n"),
            Column("part", "part"),
            _text("tokens", PROMPT),
            _text("roles", PROMPT),
            _count("start", "token", high=MOST_TOKENS),
        ),
        most=(MOST_INPUTS,),
        numbered=(("input", "n_inputs"),),
        alike=(("tokens", "roles"),),
    ),
    Table(
        "neurons",
        (
            _index("layer", "n_layers"),
            _index("neuron", "n_neurons"),
            _real("attribution", "of the metric"),
            _real("half_a", "of the metric"),
            _real("half_b", "of the metric"),
            _real("mean", "activation"),
            _positive("std", "activation"),
            _real("low", "activation"),
            _real("high", "activation"),
            _share("active", "share of tokens"),
            _count("counts", "tokens", high=2**31, items=HISTOGRAM),
            _text("promoted", SHOWN),
            _real("promoted_logit", items=SHOWN),
            _text("suppressed", SHOWN),
            _real("suppressed_logit", items=SHOWN),
            _cosine("cos_in", nullable=True),
            _cosine("cos_gate", nullable=True),
            _cosine("cos_out", nullable=True),
        ),
        most=("n_layers", "n_neurons"),
        whole=True,
        numbered=(("layer", "n_layers"), ("neuron", "n_neurons")),
        alike=(("promoted", "promoted_logit"), ("suppressed", "suppressed_logit")),
    ),
    Table(
        "neuron_detail",
        (
            _index("layer", "n_layers"),
            _index("neuron", "n_neurons"),
            Column("top_input_example", "int", low=0, high="n", items=SHOWN),
            Column("top_part", "part", items=SHOWN),
            _count("top_position", "token", items=SHOWN),
            _real("top_value", "activation", SHOWN),
            _text("gate_tokens", SHOWN),
            _cosine("gate_cosine", SHOWN),
            _text("up_tokens", SHOWN_OR_NONE),
            _cosine("up_cosine", SHOWN_OR_NONE),
        ),
        most=("n_layers", "n_neurons"),
        alike=(
            ("top_input_example", "top_part", "top_position", "top_value"),
            ("gate_tokens", "gate_cosine"),
            ("up_tokens", "up_cosine"),
        ),
    ),
    Table(
        "neuron_tokens",
        (
            _index("input", "n_inputs"),
            _index("layer", "n_layers"),
            _index("neuron", "n_neurons"),
            _real("activations", "activation", PROMPT),
            _real("gates", "activation", PROMPT),
            _real("ups", "activation", PER_TOKEN_OR_NONE),
        ),
        most=("n_inputs", "n_layers", "n_neurons"),
        alike=(("activations", "gates"),),
    ),
    Table(
        "activation_histograms",
        (
            _index("layer", "n_layers"),
            _text("region", one_of=REGIONS),
            _count("counts", "activations", high=MOST_IN_ALL, items=HISTOGRAM),
            _count("n", "activations", low=1, high=MOST_IN_ALL),
            _real("mean", "activation"),
            _positive("std", "activation"),
            Column("kurtosis", "float", "excess", low=-3, nullable=True),  # where nothing varies
            _share("active", "share of activations"),
        ),
        most=("n_layers", len(REGIONS)),
        whole=True,
    ),
    Table(
        "residual_norms",
        (
            _index("layer", "n_states"),
            _count("offset", "tokens", low=-MOST_TOKENS, high=MOST_TOKENS),
            _positive("mean", "norm"),
            _positive("std", "norm"),
            _count("n", "tokens", low=1),
        ),
        most=("n_states", 2 * MOST_TOKENS),
    ),
    Table(
        "heads",
        (
            _index("node", "n_sources"),
            _positive("norm_prompt", "norm"),
            _positive("norm_answer", "norm"),
            _positive("norm_readout", "norm"),
            _share("previous_token"),
            _share("duplicate_token"),
            _share("induction"),
            Column("copying", "float", "", -1 - SLACK, 1 + SLACK, nullable=True),  # where a head writes nothing
        ),
        most=("n_layers", "n_heads"),
        whole=True,
    ),
    Table(
        "attention_roles",
        (
            _index("node", "n_sources"),
            _text("query"),
            _text("key"),
            _share("weight"),
            _count("queries", "tokens", low=1),
        ),
        most=("n_layers", "n_heads", MOST_ROLES),
    ),
    Table(
        "attention_patterns",
        (
            _index("input", "n_inputs"),
            _index("node", "n_sources"),
            _count("pattern", "1/255", high=255, items=(1, MOST_PATTERN)),
        ),
        most=("n_inputs", "n_layers", "n_heads"),
    ),
    Table(
        "lens_layers",
        (
            _index("example", "n"),
            _index("layer", "n_layers"),
            _positive("residual_entropy", "nats"),
            _share("residual_top"),
            _positive("node_entropy", "nats"),
            _share("node_top"),
        ),
        most=("n", "n_layers"),
        whole=True,
        numbered=(("example", "n"), ("layer", "n_layers")),
    ),
    Table(
        "position_lens",
        (
            _index("example", "n"),
            _count("step", "step", high=MOST_ANSWER),
            _count("target", "token"),
            _index("layer", "n_states"),
            _text("token"),
            _share("probability"),
            _share("answer_probability"),
            _count("answer_rank", "tokens"),
        ),
        most=("n", MOST_ANSWER, "n_states"),
    ),
    Table(
        "reveals",
        (
            _index("example", "n"),
            _count("step", "step", high=MOST_ANSWER),
            _count("index", "token", high=MOST_ANSWER),
        ),
        most=("n", MOST_ANSWER),
        mdm_only=True,
    ),
    Table(
        "trajectories",
        (
            _text("sampler", one_of=SAMPLERS),
            _index("example", "n"),
            _count("step", "step", high=MOST_ANSWER),
            _text("tokens", ANSWER),
            _share("confidences", items=ANSWER),
            Column("revealed", "bool", items=ANSWER),
            Column("visible", "bool", items=ANSWER),
            Column("correct", "bool"),
        ),
        most=(len(SAMPLERS), "n", MOST_ANSWER),
        alike=(("tokens", "confidences", "revealed", "visible"),),
        mdm_only=True,
    ),
    Table(
        "accuracy_steps",
        (
            _count("steps", "steps", low=1, high=MOST_ANSWER),
            _count("correct", "problems"),
            _count("total", "problems", low=1),
        ),
        most=(MOST_ANSWER,),
        mdm_only=True,
    ),
)
TABLES = {table.name: table for table in DESCRIBED}
NULLABLE = {(table.name, column.name) for table in DESCRIBED for column in table.columns if column.nullable}
