"""What a file of a circuit is made from: the top K edges of a part of a run, or what filters leave of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.circuits.edges import EdgeTable
from engine.circuits.filters import Filters, choose
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.runs import read, stored
from engine.runs.records import Run
from engine.schema.vocabulary import TOTAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_FILTERS = Filters()


@dataclass(frozen=True)
class Other:
    """The circuit of the other model with which edges are shared, or not: a part of a stored run."""

    key: str
    part: str = TOTAL


@dataclass(frozen=True)
class Circuit:
    """Edges of a part, strongest first, and which of the first `k` are the circuit."""

    run: Run
    part: str
    table: EdgeTable  # of every edge, or of the first `k`
    k: int
    filters: Filters
    kept: NDArray[np.bool_]  # [rank below k]
    shared: NDArray[np.bool_] | None = None  # [rank below k]: whether the edge is in the other circuit too
    other: Other | None = None

    @property
    def graph(self) -> Graph:
        return self.run.meta.graph

    @property
    def source(self) -> dict[str, Any]:
        """Where the numbers come from and what of them is here, as texts and numbers, for every file."""
        run = self.run
        other = {} if self.other is None else {"other_run": self.other.key, "other_part": self.other.part}
        edges = int(self.kept.sum())
        return {
            "run": run.key,
            **run.spec.as_dict(),
            "part": self.part,
            "k": self.k,
            "filters": ", ".join(self.filters.words) or "none",
            "edges": edges,
            "left_out": self.k - edges,
            **other,
            "method_version": run.method_version or "unknown",
            "versions": ", ".join(f"{name} {version}" for name, version in run.meta.versions.items()),
            "created": run.created,
            "imported": run.imported or "no",
            "remarks": " ".join(run.meta.remarks) or "none",
        }

    @property
    def nodes(self) -> NDArray[np.bool_]:
        """[node]: whether an edge of the circuit touches it; `logits` always, as in the reference."""
        graph, edge = self.graph, self.table.edge[: self.k][self.kept]
        kept = np.zeros(graph.n_nodes, dtype=bool)
        kept[graph.edge_source[edge]] = True
        kept[graph.destination_node[graph.edge_destination[edge]]] = True
        kept[graph.logits] = True
        return kept


def circuit(
    key: str,
    k: int,
    part: str = TOTAL,
    filters: Filters = NO_FILTERS,
    other: Other | None = None,
    every_edge: bool = True,
) -> Circuit:
    """What `filters` leave of the top `k` edges of a part of a stored run, compared with those of `other`.

    `every_edge` False reads the `k` strongest edges alone.

    Raises:
        UserError: no such run or part, no `k` edges in the graph, or shared edges are asked for without `other`.
    """
    run = stored.get(key)
    graph = run.meta.graph
    if not 1 <= k <= graph.n_edges:
        raise UserError(f"k is {k}. Choose a number of edges from 1 to {graph.n_edges}.")
    table = read.edge_table(key, part, None if every_edge else k)
    shared = None if other is None else np.isin(table.edge[:k], read.edge_table(other.key, other.part, k).edge)
    kept = choose(graph, table.edge[:k], table.score[:k], filters, shared).keep
    return Circuit(run, part, table, k, filters, kept, shared, other)
