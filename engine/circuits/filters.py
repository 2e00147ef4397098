"""Which edges of a circuit are drawn, or written to a file: a choice among its top K that changes no number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.circuits.edges import Floats, Ints
from engine.circuits.graph import QKV, Graph
from engine.circuits.pruning import prune
from engine.errors import UserError

KINDS = (*QKV, "mlp", "logits")  # what an edge is read by, in the order of Graph.destination_kind
SIGNS = ("both", "positive", "negative")
CLASSES = ("all", "shared", "only")  # among the K strongest of both models, or of one


@dataclass(frozen=True)
class Filters:
    """Which edges of a circuit are kept. Pruning uses the whole circuit; the others choose among what it leaves."""

    kinds: tuple[str, ...] = KINDS
    sign: str = "both"
    show: str = "all"
    pruned: bool = False

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise UserError(f"kind is {kind!r}. Choose some of: {', '.join(KINDS)}.")
        for field, value, allowed in (("sign", self.sign, SIGNS), ("show", self.show, CLASSES)):
            if value not in allowed:
                raise UserError(f"{field} is {value!r}. Choose one of: {', '.join(allowed)}.")

    @property
    def every_kind(self) -> bool:
        return set(self.kinds) == set(KINDS)

    @property
    def active(self) -> bool:
        return bool(self.words)

    @property
    def words(self) -> tuple[str, ...]:
        """What is chosen, a filter each, as in ("read as q, v", "positive", "pruned"); empty where nothing is."""
        kinds = [kind for kind in KINDS if kind in self.kinds]
        choices = [
            "" if self.every_kind else f"read as {', '.join(kinds) or 'nothing'}",
            "" if self.sign == "both" else self.sign,
            {"all": "", "shared": "shared", "only": "not shared"}[self.show],
            "pruned" if self.pruned else "",
        ]
        return tuple(filter(None, choices))

    @property
    def stem(self) -> str:
        """The same within a file's name, as in "q-v-positive-only-pruned"; empty where nothing is chosen."""
        kinds = [] if self.every_kind else [kind for kind in KINDS if kind in self.kinds] or ["nothing"]
        choices = [self.sign if self.sign != "both" else "", self.show if self.show != "all" else ""]
        return "-".join(filter(None, [*kinds, *choices, "pruned" if self.pruned else ""]))


@dataclass(frozen=True)
class Chosen:
    """What filters leave of a circuit."""

    keep: NDArray[np.bool_]  # [edge of the circuit]
    pruned: int  # edges that pruning leaves out; the other filters leave out the rest

    def __len__(self) -> int:
        return int(self.keep.sum())


def choose(
    graph: Graph, edges: Ints, scores: Floats, filters: Filters, shared: NDArray[np.bool_] | None = None
) -> Chosen:
    """Filter a circuit of `edges` [edge] with `scores` [edge]; `shared` [edge]: whether the other model's has it too.

    Raises:
        UserError: shared edges are asked for where there is no other circuit.
    """
    keep = prune(graph, edges) if filters.pruned else np.ones(len(edges), dtype=np.bool_)
    pruned = len(edges) - int(keep.sum())
    if not filters.every_kind:
        wanted = np.isin(np.arange(len(KINDS)), [KINDS.index(kind) for kind in filters.kinds])
        keep = keep & wanted[graph.destination_kind[graph.edge_destination[edges]]]
    if filters.sign != "both":
        keep = keep & (scores > 0 if filters.sign == "positive" else scores < 0)
    if filters.show != "all":
        if shared is None:
            raise UserError(f"Edges that are {filters.words[-1]} are asked for, but there is no circuit to compare.")
        keep = keep & (shared == (filters.show == "shared"))
    return Chosen(keep, pruned)
