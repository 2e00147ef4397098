"""The tables of a run that say what neurons and heads do.

They are computed on the task's clean inputs (engine/inspection/observers.py): an ARM has one an example, an MDM one a
denoising step.
"""

from __future__ import annotations

from engine.schema.columns import (
    MOST_IN_ALL,
    MOST_INPUTS,
    MOST_PATTERN,
    MOST_ROLES,
    MOST_TOKENS,
    PER_INPUT,
    PER_INPUT_OR_NONE,
    SHOWN,
    SHOWN_OR_NONE,
    SLACK,
    Column,
    Table,
    cosine,
    count,
    held_by,
    index,
    positive,
    real,
    share,
    text,
)
from engine.schema.vocabulary import BINS, DETAILED_NEURONS, DETAILED_OF_LAYER, REGIONS

HISTOGRAM = (BINS, BINS)
METRIC, ACTIVATION = "of the metric", "activation"
NODE = "index of the head's node in the graph"

INPUTS = Table(
    "inputs",
    (
        index("input", "n_inputs"),
        index("example", "n"),
        Column("part", "part", "of its first scored token (ARM), of its denoising step (MDM)"),
        text("tokens", items=PER_INPUT),
        text("roles", "what the task calls each token", PER_INPUT),
        count("start", "token", "position of the first answer token", high=MOST_TOKENS),
    ),
    row="One of the few inputs of which every token's detail is kept.",
    order="input",
    most=(MOST_INPUTS,),
    numbered=(("input", "n_inputs"),),
    alike=(("tokens", "roles"),),
)
NEURONS = Table(
    "neurons",
    (
        index("layer", "n_layers"),
        index("neuron", "n_neurons"),
        real("attribution", METRIC, "mean over all examples"),
        real("half_a", METRIC, "mean over the even examples"),
        real("half_b", METRIC, "mean over the odd examples"),
        *held_by(
            "activity",
            real("mean", ACTIVATION, "over all tokens"),
            positive("std", ACTIVATION, "over all tokens"),
            real("low", ACTIVATION, "the least over all tokens"),
            real("high", ACTIVATION, "the largest over all tokens"),
            share("active", "share of tokens", "at which the non-linearity's input is positive"),
            count(
                "counts", "tokens", "by bin of the activation (engine/inspection/bins.py)", high=2**31, items=HISTOGRAM
            ),
        ),
        *held_by(
            "weights",
            text("promoted", "tokens that its output direction promotes most", SHOWN),
            real("promoted_logit", items=SHOWN),
            text("suppressed", "tokens that its output direction suppresses most", SHOWN),
            real("suppressed_logit", items=SHOWN),
            cosine("cos_in", "input weights against the ARM's; missing in the ARM's run", nullable=True),
            cosine(
                "cos_gate",
                "gate weights against the ARM's; missing in the ARM's run and where nothing is gated",
                nullable=True,
            ),
            cosine("cos_out", "output weights against the ARM's; missing in the ARM's run", nullable=True),
        ),
    ),
    row="A neuron of an MLP. Every neuron has a row.",
    order="layer, neuron",
    most=("n_layers", "n_neurons"),
    whole=True,
    numbered=(("layer", "n_layers"), ("neuron", "n_neurons")),
    alike=(("promoted", "promoted_logit"), ("suppressed", "suppressed_logit")),
)
NEURON_DETAIL = Table(
    "neuron_detail",
    (
        index("layer", "n_layers"),
        index("neuron", "n_neurons"),
        index("top_input_example", "n", "the examples on which it is most active, the most active first", SHOWN),
        Column("top_part", "part", "the input of that example", items=SHOWN),
        count("top_position", "token", "the token of that input", items=SHOWN),
        real("top_value", ACTIVATION, "there", SHOWN),
        text("gate_tokens", "embeddings nearest to its gate's (or only) input direction, the nearest first", SHOWN),
        cosine("gate_cosine", items=SHOWN),
        text(
            "up_tokens", "embeddings nearest to its other input direction; empty where nothing is gated", SHOWN_OR_NONE
        ),
        cosine("up_cosine", items=SHOWN_OR_NONE),
    ),
    row=f"A neuron with one of the largest absolute attributions of its layer: max({DETAILED_OF_LAYER}, "
    f"{DETAILED_NEURONS} // layers) of each.",
    order="layer",
    most=("n_layers", "n_neurons"),
    alike=(
        ("top_input_example", "top_part", "top_position", "top_value"),
        ("gate_tokens", "gate_cosine"),
        ("up_tokens", "up_cosine"),
    ),
)
NEURON_TOKEN_VALUES = Table(
    "neuron_tokens",
    (
        index("input", "n_inputs"),
        index("layer", "n_layers"),
        index("neuron", "n_neurons"),
        real("activations", ACTIVATION, "per token", PER_INPUT),
        real("gates", ACTIVATION, "the non-linearity's input, per token", PER_INPUT),
        real("ups", ACTIVATION, "what the gate multiplies, per token; empty where nothing is gated", PER_INPUT_OR_NONE),
    ),
    row="A neuron of neuron_detail on a kept input.",
    order="input, layer",
    most=("n_inputs", "n_layers", "n_neurons"),
    alike=(("activations", "gates"),),
)
ACTIVATION_HISTOGRAMS = Table(
    "activation_histograms",
    (
        index("layer", "n_layers"),
        text("region", "the kind of tokens", one_of=REGIONS),
        count("counts", "activations", "by bin", high=MOST_IN_ALL, items=HISTOGRAM, type="int64"),
        count("n", "activations", low=1, high=MOST_IN_ALL, type="int64"),
        real("mean", ACTIVATION),
        positive("std", ACTIVATION),
        Column("kurtosis", "float32", "missing where nothing varies", "excess", low=-3, nullable=True),
        share("active", "share of activations", "at which the non-linearity's input is positive"),
    ),
    row="The activations of all neurons of a layer at the tokens of a region.",
    order="layer, region",
    most=("n_layers", len(REGIONS)),
    whole=True,
    artifact="activity",
)
RESIDUAL_NORMS = Table(
    "residual_norms",
    (
        index("layer", "n_states", "0: the embedding, l: after l layers"),
        count("offset", "tokens", "position minus that of the first answer token", low=-MOST_TOKENS, high=MOST_TOKENS),
        positive("mean", "norm"),
        positive("std", "norm"),
        count("n", "tokens", low=1),
    ),
    row="The residual stream's norm after a layer, at a distance to the answer.",
    order="layer, offset",
    most=("n_states", 2 * MOST_TOKENS),
    artifact="activity",
)
HEADS = Table(
    "heads",
    (
        index("node", "n_sources", NODE),
        positive("norm_prompt", "norm", "mean norm of what it writes at tokens of the prompt"),
        positive("norm_answer", "norm", "mean norm of what it writes at tokens of the answer"),
        positive("norm_readout", "norm", "mean norm of what it writes where logits are read"),
        *held_by(
            "weights",
            share("previous_token", meaning="score on repeated random tokens"),
            share("duplicate_token", meaning="score on repeated random tokens"),
            share("induction", meaning="score on repeated random tokens"),
            Column(
                "copying",
                "float32",
                "missing where a head writes nothing",
                low=-1 - SLACK,
                high=1 + SLACK,
                nullable=True,
            ),
        ),
    ),
    row="An attention head.",
    order="node",
    most=("n_layers", "n_heads"),
    whole=True,
    artifact="activity",
)
ATTENTION_ROLES = Table(
    "attention_roles",
    (
        index("node", "n_sources", NODE),
        text("query", "role of the tokens that attend"),
        text("key", "role of the tokens that are attended to"),
        share("weight", meaning="mean attention of a query token to all key tokens"),
        count("queries", "tokens", "that were averaged", low=1),
    ),
    row="A head's mean attention from tokens of one role to those of another.",
    order="node, query, key",
    most=("n_layers", "n_heads", MOST_ROLES),
    artifact="activity",
)
ATTENTION_PATTERNS = Table(
    "attention_patterns",
    (
        index("input", "n_inputs"),
        index("node", "n_sources", NODE),
        count("pattern", "1/255", "rounded attention, query x key", high=255, items=(1, MOST_PATTERN), type="uint8"),
    ),
    row="A head's attention on a kept input, of as many inputs as fit.",
    order="input, node",
    most=("n_inputs", "n_layers", "n_heads"),
    artifact="activity",
)
COMPONENT_TABLES = (
    INPUTS,
    NEURONS,
    NEURON_DETAIL,
    NEURON_TOKEN_VALUES,
    ACTIVATION_HISTOGRAMS,
    RESIDUAL_NORMS,
    HEADS,
    ATTENTION_ROLES,
    ATTENTION_PATTERNS,
)
