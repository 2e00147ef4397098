"""The tables of a run that follow the answer: by layer, by position, by denoising step."""

from __future__ import annotations

from dataclasses import replace

from engine.schema.columns import MOST_ANSWER, PER_ANSWER, Column, Table, count, index, positive, share, text
from engine.schema.vocabulary import COMPONENT_EXAMPLES, SAMPLERS

COMPONENTS = f"the layer's heads and MLP; missing beyond the first {COMPONENT_EXAMPLES} examples"

LENS_LAYERS = Table(
    "lens_layers",
    (
        index("example", "n"),
        index("layer", "n_layers"),
        positive("residual_entropy", "nats", "of the residual stream after the layer, mean over scored tokens"),
        share("residual_top", meaning="the largest, of the residual stream after the layer, mean over scored tokens"),
        replace(positive("node_entropy", "nats", f"mean over scored tokens and {COMPONENTS}"), nullable=True),
        replace(share("node_top", meaning=f"the largest, mean over scored tokens and {COMPONENTS}"), nullable=True),
    ),
    row="How certain a layer's residual stream and components are on an example, by the logit lens.",
    order="example, layer",
    most=("n", "n_layers"),
    whole=True,
    numbered=(("example", "n"), ("layer", "n_layers")),
    artifact="lens",
)
POSITION_LENS = Table(
    "position_lens",
    (
        index("example", "n"),
        count("step", "step", "denoising step; 0 in an ARM's run", high=MOST_ANSWER),
        count("target", "token", "which token of prompt and answer is predicted"),
        index("layer", "n_states", "0: the embedding, l: after l layers"),
        text("token", "the most probable"),
        share("probability", meaning="of that token"),
        share("answer_probability", meaning="of the right token"),
        count("answer_rank", "tokens", "of the right token, 0: the most probable"),
    ),
    row="The logit lens after a layer at an answer position of the first examples: every masked position at every step "
    "(MDM), every position (ARM).",
    order="example, step, target, layer",
    most=("n", MOST_ANSWER, "n_states"),
    artifact="lens",
)
REVEALS = Table(
    "reveals",
    (
        index("example", "n"),
        count("step", "step", high=MOST_ANSWER),
        count("index", "token", "position in the answer", high=MOST_ANSWER),
    ),
    row="An answer token and the step at which the MDM of this run reveals it.",
    order="example, step, index",
    most=("n", MOST_ANSWER),
    mdm_only=True,
)
TRAJECTORIES = Table(
    "trajectories",
    (
        text("sampler", "how the next tokens to reveal are chosen", one_of=SAMPLERS),
        index("example", "n"),
        count("step", "step", high=MOST_ANSWER),
        text("tokens", "the answer at this step", PER_ANSWER),
        share("confidences", items=PER_ANSWER),
        Column("revealed", "bool", "at this step", items=PER_ANSWER),
        Column("visible", "bool", "before this step", items=PER_ANSWER),
        Column("correct", "bool", "whether the finished answer solves the task"),
    ),
    row="A denoising step of a sampler on one of the first examples; lists have an entry per answer position.",
    order="sampler, example, step",
    most=(len(SAMPLERS), "n", MOST_ANSWER),
    alike=(("tokens", "confidences", "revealed", "visible"),),
    mdm_only=True,
    artifact="lens",
)
ACCURACY_STEPS = Table(
    "accuracy_steps",
    (
        count("steps", "steps", low=1, high=MOST_ANSWER),
        count("correct", "problems", "solved"),
        count("total", "problems", low=1),
    ),
    row="Held-out problems solved when the answer is denoised in so many steps.",
    order="steps",
    most=(MOST_ANSWER,),
    mdm_only=True,
    artifact="ability",
)
ANSWER_TABLES = (LENS_LAYERS, POSITION_LENS, REVEALS, TRAJECTORIES, ACCURACY_STEPS)
