"""The table of a part of a circuit: sums over some of its examples, which are kept until the circuit is (METHOD, "Many
examples").

Beside it a part holds its rows of `examples` and `reveals`, of which the circuit's are made.
"""

from __future__ import annotations

from engine.schema.columns import Table, real, text

MOST_VALUES = 2**31 - 1  # of one name

CIRCUIT_SUMS = Table(
    "circuit_sums",
    (
        text(
            "name",
            "site-TT or step-SS: edge scores of this part of the answer; block-BB: edge scores of a block of examples; "
            "neurons-even, neurons-odd: scores of neurons, of the even and of the odd examples",
        ),
        real("sums", "of the metric", "over the examples, by edge, or by layer and neuron", items=(1, MOST_VALUES)),
    ),
    row="Sums over some examples of a circuit that is not finished.",
    order="name",
    most=("n_parts",),
    artifact="circuit_part",
)
PART_TABLES: dict[str, Table] = {CIRCUIT_SUMS.name: CIRCUIT_SUMS}
