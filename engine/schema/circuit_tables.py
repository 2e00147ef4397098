"""The tables of a run that say what was asked and what scores and lenses made of it."""

from __future__ import annotations

from engine.schema.columns import PER_ANSWER, PER_INPUT, SHOWN, Column, Table, count, index, positive, real, share, text
from engine.schema.vocabulary import BLOCKS, COMMON_PARTS

METRIC = "of the metric"

EDGES = Table(
    "edges",
    (
        Column(
            "part",
            "part",
            "total; half-a, half-b: the even and the odd examples, each the mean over its own; site-TT (ARM, answer "
            "position) or step-SS (MDM, denoising step), two digits, which sum to the total",
            one_of=COMMON_PARTS,
        ),
        index("rank", "n_edges", "by absolute score, 0: the largest"),
        index("edge", "n_edges", "index of the edge in the graph (engine/circuits/graph.py)"),
        real("score", METRIC, "mean over examples"),
    ),
    row="An edge in a part. Every part holds every edge.",
    order="part, rank",
    most=("n_parts", "n_edges"),
    whole=True,
)
EXAMPLES = Table(
    "examples",
    (
        index("example", "n"),
        text("prompt", "tokens", PER_INPUT),
        text("answer", "tokens", PER_ANSWER),
        text("corrupt_prompt", "tokens of the corrupted example", PER_INPUT),
        text("corrupt_answer", "tokens of the corrupted example", PER_ANSWER),
        text("predicted", "tokens of the model's own answer to the clean prompt", PER_ANSWER),
        Column("correct", "bool", "whether that answer solves the task"),
        real("metric_clean", METRIC, "mean over the example's scored tokens, clean input"),
        real("metric_corrupt", METRIC, "mean over the example's scored tokens, corrupted input"),
    ),
    row="An example of the task.",
    order="example",
    most=("n",),
    whole=True,
    numbered=(("example", "n"),),
    alike=(("prompt", "corrupt_prompt"), ("answer", "corrupt_answer", "predicted")),
)
READOUTS = Table(
    "readouts",
    (
        index("readout", "n_readouts"),
        index("example", "n"),
        Column("part", "part"),
        count("position", "token", "where the logits are read"),
        count("target", "token", "which token of prompt and answer is predicted"),
        text("tokens", "what the model sees", PER_INPUT),
        text("answer", "the right token"),
        text("foil", "the corrupted example's token"),
    ),
    row="A place at which logits are read and decomposed, of the first examples.",
    order="readout",
    most=("n_sites",),
    numbered=(("readout", "n_readouts"),),
    artifact="lens",
)
NODE_LENS = Table(
    "node_lens",
    (
        index("readout", "n_readouts"),
        index("node", "n_sources", "index of the node in the graph; `logits` is not among them"),
        real("answer_logit", "logits", "the node's own contribution"),
        real("foil_logit", "logits", "the node's own contribution"),
        positive("entropy", "nats", "of the softmax of the node's own contribution"),
        share("top_probability", meaning="the largest of that softmax"),
        text("promoted", "tokens with the largest logits, the largest first", SHOWN),
        text("suppressed", "tokens with the smallest logits, the smallest first", SHOWN),
        real("promoted_logit", "logits", items=SHOWN),
        real("suppressed_logit", "logits", items=SHOWN),
    ),
    row="What a node writes towards the logits at a readout.",
    order="readout, node",
    most=("n_readouts", "n_sources"),
    whole=True,
    numbered=(("readout", "n_readouts"), ("node", "n_sources")),
    alike=(("promoted", "promoted_logit"), ("suppressed", "suppressed_logit")),
    artifact="lens",
)
RESIDUAL_LENS = Table(
    "residual_lens",
    (
        index("readout", "n_readouts"),
        index("layer", "n_states", "0: the embedding, l: after l layers"),
        share("answer_probability"),
        share("foil_probability"),
        positive("entropy", "nats"),
        count("answer_rank", "tokens", "0: the most probable token"),
        count("foil_rank", "tokens", "0: the most probable token"),
        text("tokens", "the most probable, the most probable first", SHOWN),
        share("probabilities", items=SHOWN),
    ),
    row="The logit lens on the residual stream after a layer, at a readout.",
    order="readout, layer",
    most=("n_readouts", "n_states"),
    whole=True,
    numbered=(("readout", "n_readouts"), ("layer", "n_states")),
    alike=(("tokens", "probabilities"),),
    artifact="lens",
)
EDGE_BLOCKS = Table(
    "edge_blocks",
    (
        index("edge", "n_edges"),
        real(
            "scores",
            METRIC,
            f"what each block of examples adds to the score; they sum to it. Block b has the examples with "
            f"example % {BLOCKS} == b, and there are min({BLOCKS}, n) blocks",
            (1, 1000),
        ),
    ),
    row="One of the strongest edges of the total, by block of examples, for intervals.",
    order="absolute score, the largest first",
    most=("n_edges",),
)
CIRCUIT_TABLES = (EDGES, EXAMPLES, READOUTS, NODE_LENS, RESIDUAL_LENS, EDGE_BLOCKS)
