"""Every choice a reader makes, by the key under which it is in the session and in the address, once.

Widgets carry these keys and are synced with the address (synced.py), so that copying it reproduces the view. Code that
makes a choice for the reader (a click on a node) writes to st.session_state under the key; the address follows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import streamlit as st

from engine.models.pair import CONTROL
from engine.runs.spec import RunSpec
from engine.schema import vocabulary
from engine.schema.evidence_tables import TAUS
from pages.shared import imported

PAIR, TASK, METHOD = "pair", "task", "method"
N, SEED, POINTS, ORDER, METRIC, DTYPE = "n", "seed", "points", "order", "metric", "dtype"
DENOISING_STEPS, TEMPLATE = "denoising_steps", "template"
TAU = "tau"  # the faithfulness that is asked of the smallest circuit
STEP = "step"  # what stands for the MDM: a checkpoint of post-training, CONTROL, or FINAL
K = "k"
KINDS, SIGN, SHOW, PRUNE = "kinds", "sign", "show", "prune"
ARM_PART, MDM_PART = "site", "denoising"
NODE, READOUT = "node", "readout"
NODES, GRAPHS = "nodes", "graphs"  # nodes pinned beside the one selected; how both circuits are drawn
INPUT = "input"  # a kept input: where attention patterns and neurons are shown token by token
TAB = "tab"  # what the inspector shows of the node
INPUT_STEP = "input_step"  # the denoising step at which an MDM saw it
REGION, EARLY, LAYER, BIN = "region", "early", "layer", "bin"  # of activations; LAYER of neurons too
VIEW, HEIGHTS, MEASURE = "view", "heights", "measure"  # how activations are drawn
NEURON, PINS, SEARCH, SORT = "neuron", "pins", "search", "sort"
QUANTITY = "quantity"  # of a neuron at every token: its activation, gate or up
LINES = "lines"  # of evidence: what the lines over K are
REPLACED, ESTIMATOR = "replaced", "estimator"  # of knockouts: by what; of the audit: whose estimates
SWEEP, SWEEP_K, SWEEP_SHOWN = "sweep", "sweep_k", "sweep_shown"  # a sweep's heat map: of which numbers
SWEEP_COLUMNS, SWEEP_MODEL = "sweep_columns", "sweep_model"  # what its columns are; which model beside the ARM
EXAMPLE, SAMPLER, AT, POSITION = "example", "sampler", "at", "position"  # of denoising; AT is a step

FINAL = "final"
TOTAL = vocabulary.TOTAL
AUTO = "auto"  # a precision: that in which the pair is stored, else its own
DEFAULT_K = 200
TAU_OPTIONS = tuple(map(str, TAUS))
DEFAULT_TAU = "0.85"
REGIONS = vocabulary.REGIONS
GRAPH_VIEWS = ("side", "one", "layers")  # side by side, as one graph, by layer
VIEWS = MIRRORED, GROUPED = "mirrored", "grouped"
HEIGHTS_SHOWN = COUNTS, SHARES = "counts", "shares"
MEASURES = ("Residual: entropy", "Residual: top-1", "Components: entropy", "Components: top-1")
NEURON_ORDERS = ("either", "ARM", "MDM", "difference")
QUANTITIES = ("activation", "gate", "up")
TABS = LENS, ATTENTION, NEURONS, EDGES = "Lens", "Attention", "Neurons", "Edges"
LINES_SHOWN = ("f", "right")
SWEEP_MEASURES = ("overlap", "faithfulness", "accuracy")
SWEEP_BY = BY_SEED, BY_CHECKPOINT = "seeds", "checkpoints"
PER_DECADE = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)

# What goes along from page to page.
SHARED = (
    PAIR, TASK, METHOD, N, SEED, POINTS, ORDER, METRIC, DTYPE, DENOISING_STEPS, TEMPLATE, STEP, K, TAU, NODE, LAYER,
    NEURON, PINS,
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What is compared and how: everything but the model. Its defaults are those of a run.

    `method` can be a circuit from elsewhere (pages/shared/imported.py).
    """

    pair: str
    task: str
    method: str = RunSpec.method
    n: int = RunSpec.n
    seed: int = RunSpec.seed
    points: int = RunSpec.points
    metric: str = RunSpec.metric
    order: str = RunSpec.order
    dtype: str = RunSpec.dtype
    denoising_steps: int = RunSpec.denoising_steps
    template: int = RunSpec.template

    @classmethod
    def of(cls, spec: RunSpec) -> Question:
        """What a run is an answer to. Of two runs that are compared give the MDM's: an ARM's has no denoising steps."""
        same = {field.name: getattr(spec, field.name) for field in fields(cls)}
        return cls(**{**same, METHOD: imported.method_of(spec)})

    @property
    def address(self) -> dict[str, str]:
        """What has to be in an address for this question; what a run's defaults say is left out."""
        defaults = Question(self.pair, self.task)
        changed = {name: value for name, value in asdict(self).items() if value != getattr(defaults, name)}
        return {PAIR: self.pair, TASK: self.task} | {name: str(value) for name, value in changed.items()}

    def spec(self, model: str) -> RunSpec:
        """The run of a model: a circuit from elsewhere where the method means one of that model."""
        if not self.method.startswith(imported.PREFIX):
            return RunSpec(model=model, **asdict(self))
        run = imported.run_for(self.method, self.pair, self.task, model)
        return run.spec if run else RunSpec(model=model, **{**asdict(self), METHOD: RunSpec.method})


def model_at(step: str) -> str:
    """The model of a spec that a value of STEP means."""
    return {FINAL: "mdm", CONTROL: CONTROL}.get(step, f"step:{step}")


def step_of(model: str) -> str:
    """The value of STEP that means an MDM, a checkpoint or the control; the inverse of `model_at`."""
    return FINAL if model == "mdm" else model.removeprefix("step:")


def k_options(n_edges: int) -> list[int]:
    """Stops for K from 10 to all edges, evenly on a logarithmic scale, with the round numbers that people quote."""
    steps = [step * 10**power for power in range(len(str(n_edges))) for step in PER_DECADE]
    return [*(k for k in steps if k < n_edges), n_edges]


def default_k(n_edges: int) -> int:
    return min(DEFAULT_K, n_edges)


def chosen_node() -> str | None:
    name = st.session_state.get(NODE)
    return name if isinstance(name, str) else None


def kind_name(kind: str) -> str:
    """What a reader, and an address, call a kind of edge (engine/circuits/filters.py, KINDS)."""
    return {"mlp": "MLP"}.get(kind, kind)
