"""The tables of inspection by the artifact that holds them (engine/schema/artifacts.py), each made alone.

Every function runs the survey (engine/inspection/observers.py) once, with the observers of its artifact only; those of
the weights run no task's inputs at all. `on_inputs` is called with how many inputs have been run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from engine.attribution.edge_scores import Attribution
from engine.inspection.activations import Histograms, ResidualNorms
from engine.inspection.head_scores import head_scores_table
from engine.inspection.heads import Heads, Roles
from engine.inspection.lens_by_layer import LensLayers
from engine.inspection.neuron_cosines import Cosines
from engine.inspection.neuron_detail import Strongest, Traces, detail_table, neuron_attribution_table, strongest_neurons
from engine.inspection.neuron_weights import neuron_weights_table
from engine.inspection.neurons import Activity
from engine.inspection.observers import Input, detailed_inputs, input_table, survey
from engine.models.model import Model

Tables = dict[str, pa.Table]
OnInputs = Callable[[int], None]


def circuit_tables(
    model: Model,
    attribution: Attribution,
    n: int,
    inputs: Sequence[Input],
    roles: Sequence[Roles],
    on_inputs: OnInputs = lambda done: None,
) -> Tables:
    """What depends on which neurons of `n` examples are strong; `roles[i]` are those of all tokens of example i."""
    neurons, kept = strongest_neurons(attribution), detailed_inputs(inputs)
    strongest, traces = Strongest(model, inputs, neurons), Traces(model, kept, neurons)
    survey(model, inputs, [strongest, traces], on_inputs)
    chosen = [inputs[number] for number in kept]
    return {
        "inputs": input_table(model, chosen, [roles[item.example] for item in chosen]),
        "neurons": neuron_attribution_table(attribution, n),
        "neuron_detail": detail_table(model, neurons, strongest),
        "neuron_tokens": traces.table(),
    }


def activity_tables(
    model: Model, inputs: Sequence[Input], roles: Sequence[Roles], on_inputs: OnInputs = lambda done: None
) -> Tables:
    """What neurons, heads and the residual stream do on the clean inputs."""
    activity, histograms, norms = Activity(model), Histograms(model), ResidualNorms(model, inputs)
    heads = Heads(model, roles, inputs, detailed_inputs(inputs))
    survey(model, inputs, [activity, histograms, norms, heads], on_inputs)
    return {
        "neurons": activity.table(),
        "activation_histograms": histograms.table(),
        "residual_norms": norms.table(),
        "heads": heads.norm_table(),
        "attention_roles": heads.role_table(),
        "attention_patterns": heads.pattern_table(),
    }


def lens_tables(
    model: Model, inputs: Sequence[Input], examples: int, on_inputs: OnInputs = lambda done: None
) -> Tables:
    """How concentrated lenses are by layer, at the sites of all `examples` examples."""
    layers = LensLayers(model, examples)
    survey(model, inputs, [layers], on_inputs)
    return {"lens_layers": layers.table()}


def weight_tables(model: Model, cosines: Cosines | None) -> Tables:
    """What follows from the weights alone; `cosines` against the ARM's, None for the ARM itself."""
    return {"neurons": neuron_weights_table(model, cosines), "heads": head_scores_table(model)}
