"""The contraction, against one dot product per edge and token."""

from __future__ import annotations

import pytest
import torch

from engine.attribution.contraction import buffer_on, contract
from engine.attribution.footprint import BUFFER, token_bytes
from engine.attribution.path_gradients import ActivationDifference, Path
from engine.circuits.graph import Graph
from engine.models.fast_model import Block, blocks_of
from engine.models.norms import Norm
from tests import tiny

ROWS, POSITIONS, D_MODEL, POINTS = 3, 4, 32, 2
GROUP = torch.tensor([1, 0, 1])


def random_passes(graph: Graph, blocks: list[Block], path: Path) -> ActivationDifference:
    """Random differences of sources, and random gradients in `path`, of the shapes that passes leave."""
    rng = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    difference = ActivationDifference(blocks, rand(ROWS, POSITIONS, D_MODEL))
    for layer, block in enumerate(blocks):
        difference.heads[layer] = rand(ROWS, POSITIONS, graph.n_heads * block.d_head)
        difference.mlps[layer] = rand(ROWS, POSITIONS, D_MODEL)
        path.heads[layer] = rand(3, ROWS, graph.n_heads, POSITIONS, block.d_head)
        path.residuals[layer] += [rand(ROWS, POSITIONS, D_MODEL) for _ in range(POINTS)]
        path.norm_terms[layer] += [rand(3, ROWS, graph.n_heads, POSITIONS) for _ in range(POINTS)]
        path.mlps[layer] = rand(ROWS, POSITIONS, D_MODEL)
    path.logits[0] = rand(ROWS, POSITIONS, D_MODEL)
    return difference


def written(graph: Graph, blocks: list[Block], difference: ActivationDifference, source: int) -> torch.Tensor:
    """[row, pos, d_model]: what one source wrote."""
    if source == 0:
        return difference.embedding
    layer, index = divmod(source - 1, graph.n_heads + 1)
    if index == graph.n_heads:
        return difference.mlps[layer]
    z = difference.heads[layer].unflatten(-1, (graph.n_heads, -1))[:, :, index]
    return z @ blocks[layer].output_weights()[index].float()


def gradient(graph: Graph, blocks: list[Block], path: Path, destination: int) -> torch.Tensor:
    """[row, pos, d_model]: METHOD's G of one destination."""
    if destination == graph.n_destinations - 1:
        return path.logits[0]
    layer, index = divmod(destination, 3 * graph.n_heads + 1)
    if index == 3 * graph.n_heads:
        return path.mlps[layer]
    part, head = divmod(index, graph.n_heads)
    weights, norm = blocks[layer].weights()[part], Norm.of(blocks[layer].ln1)
    w = weights[head * len(weights) // graph.n_heads].float()  # [d_head, d_model]; heads share keys and values
    through = norm.centre(norm.weight * (path.heads[layer][part, :, head] @ w))
    terms = zip(path.norm_terms[layer], path.residuals[layer], strict=True)
    return through - sum(c[part, :, head][..., None] * x for c, x in terms)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_edge_is_a_sum_of_dot_products(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model(architecture, causal=True)
    graph, blocks = model.graph, blocks_of(model.plain)
    path = Path(model.plain, blocks, torch.ones(2, ROWS))
    difference = random_passes(graph, blocks, path)
    expected = torch.zeros(2, graph.n_sources, graph.n_destinations)
    for source, destination in zip(graph.edge_source, graph.edge_destination, strict=True):
        products = written(graph, blocks, difference, source) * gradient(graph, blocks, path, destination)
        for row, group in enumerate(GROUP.tolist()):
            expected[group, source, destination] += products[row].sum()
    scale = float(expected.abs().max())
    for tokens in (1, 3, 9, 100):  # in pieces of a row, rows one by one, two and one, all together
        monkeypatch.setitem(BUFFER, "cpu", tokens * token_bytes(graph, D_MODEL, 4))
        scores = contract(graph, blocks, difference, path, GROUP, 2)
        assert float((scores - expected).abs().max()) < 1e-5 * scale
        assert not scores[:, ~torch.from_numpy(graph.legal)].any()


def test_the_buffer_on_a_processor_is_fixed() -> None:
    assert buffer_on(torch.device("cpu")) == BUFFER["cpu"]
