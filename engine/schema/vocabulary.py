"""Names and sizes that the tables of a run share with what computes, checks and shows them, each defined once."""

from __future__ import annotations

# Parts, for which edge scores are kept. Beside these, one for each answer position (ARM) or denoising step (MDM).
TOTAL = "total"  # all examples
HALVES = ("half-a", "half-b")  # the even and the odd examples, each the mean over its own
COMMON_PARTS = (TOTAL, *HALVES)  # of every run
SITE, STEP = "site-", "step-"  # what the name of an answer position's part and of a denoising step's begins with

REGIONS = ("prompt", "answer", "readout")  # kinds of tokens; readout: where the logits of a scored token are read

SAMPLERS = (  # ways of choosing what an MDM reveals next, as tables and addresses name them
    "confidence",
    "left-to-right",
    "random",
    "dream-maskgit",
    "dream-margin",
    "dream-entropy",
    "dream-origin",
    "diffullama",
)

BINS = 41  # of every activation histogram: 20 on either side of the one around zero (engine/inspection/bins.py)
BLOCKS = 32  # at most; example i is in block i % BLOCKS. Even, so that blocks split into even and odd examples
BLOCK_EDGES = 4096  # strongest edges of the total, whose scores are kept by block of examples

LENS_TOKENS = 10  # that a node promotes or suppresses most, in a lens
LAYER_TOKENS = 5  # most probable after a layer, in a lens
NEURON_TOKENS = 5  # that a neuron promotes or suppresses most, or that are nearest to what it reads
NEURON_EXAMPLES = 5  # on which a neuron is most active
DETAILED_NEURONS = 4096  # of a model, shared equally by its layers; their activations are kept token by token ...
DETAILED_OF_LAYER = 64  # ... and at least so many of each layer
COMPONENT_EXAMPLES = 16  # over which the lenses of all components are averaged; they are the most expensive ones
SHOWN_EXAMPLES = 6  # of which lenses, trajectories and every token's activations are kept


def site_part(position: int) -> str:
    """The part of an ARM's answer position, as in "site-03"."""
    return f"{SITE}{position:02d}"


def step_part(step: int) -> str:
    """The part of an MDM's denoising step, as in "step-03"."""
    return f"{STEP}{step:02d}"
