"""Source differences times gradients at destinations: the last step of an attribution, as few large matrix products.

What sources wrote is expanded layer by layer, as are the gradients G that destinations read; every few layers the
destinations expanded since are multiplied with all sources before them in one product per row. Edges that do not exist
are computed with the others and cleared in the end. Both sides are in fp32 on the CPU, in the model's own precision on
a GPU; sums are in fp32 everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from engine.attribution.footprint import BUFFER, LAYERS_AT_ONCE, token_bytes
from engine.attribution.path_gradients import ActivationDifference, Path
from engine.circuits.graph import Graph
from engine.models.batching import free_bytes
from engine.models.fast_model import Block
from engine.models.norms import Norm

Chunk = tuple[slice, slice]  # rows, positions


def contract(
    graph: Graph,
    blocks: Sequence[Block],
    difference: ActivationDifference,
    path: Path,
    group: Tensor,
    n_groups: int,
) -> Tensor:
    """Edge scores [group, source, destination] in fp32 and the metric's unit, summed over the rows of a group.

    METHOD, "Edge scores". `group` [row] is the group of each row. Works in chunks of tokens whose expanded sides fit
    the buffer.
    """
    embedding = difference.embedding
    rows, positions, d_model = embedding.shape
    dtype = embedding.dtype if embedding.is_cuda else torch.float32
    scores = torch.zeros(n_groups, graph.n_sources, graph.n_destinations, device=embedding.device)
    tokens = buffer_on(embedding.device) // token_bytes(graph, d_model, dtype.itemsize)
    for chunk in _chunks(rows, positions, tokens):
        shape = embedding[chunk].shape
        delta = torch.empty(graph.n_sources, *shape, dtype=dtype, device=embedding.device)
        delta[0] = embedding[chunk]
        for start in range(0, graph.n_layers, LAYERS_AT_ONCE):
            layers = range(start, min(start + LAYERS_AT_ONCE, graph.n_layers))
            at = slice(graph.attention_destinations(start).start, graph.mlp_destination(layers[-1]) + 1)
            last = layers[-1] == graph.n_layers - 1
            g = torch.empty(at.stop - at.start + last, *shape, dtype=dtype, device=embedding.device)
            for layer in layers:
                _write_sources(graph, blocks[layer], difference, layer, chunk, delta)
                first = graph.attention_destinations(layer).start - at.start
                _write_destinations(blocks[layer], path, layer, chunk, g[first : first + 3 * graph.n_heads + 1])
            if last:
                g[-1] = path.logits[0][chunk]
            known = graph.mlp(layers[-1]) + 1
            part_scores = scores[:, :known, at.start : at.stop + last]
            part_scores.index_add_(0, group[chunk[0]].to(part_scores.device), _products(delta[:known], g))
    return scores.mul_(torch.from_numpy(graph.legal).to(scores.device))


def buffer_on(device: torch.device) -> int:
    """Bytes: as much as is useful, and no more than half of what a GPU has left."""
    return min(BUFFER["cuda"], free_bytes(device) // 2) if device.type == "cuda" else BUFFER["cpu"]


def _chunks(rows: int, positions: int, tokens: int) -> Iterator[Chunk]:
    """Whole rows, as many as `tokens` hold; where they hold less than one, a row in pieces."""
    height, width = max(1, tokens // positions), max(1, min(positions, tokens))
    for row in range(0, rows, height):
        for position in range(0, positions, width):
            yield slice(row, row + height), slice(position, position + width)


def _write_sources(
    graph: Graph, block: Block, difference: ActivationDifference, layer: int, chunk: Chunk, delta: Tensor
) -> None:
    """What the heads and the MLP of a layer wrote, into delta [source, row, pos, d_model]."""
    first, last = graph.head(layer, 0), graph.mlp(layer)
    z = difference.heads[layer][chunk].flatten(0, 1).unflatten(1, (graph.n_heads, -1))  # [token, head, d_head]
    _multiply(z.transpose(0, 1).to(delta.dtype), block.output_weights(), delta[first:last].flatten(1, 2))
    delta[last] = difference.mlps[layer][chunk]


def _write_destinations(block: Block, path: Path, layer: int, chunk: Chunk, out: Tensor) -> None:
    """G of every q, k and v of a layer, w * W^T sum_k(g_k / r_k) - sum_k c_k x_k, and of its MLP.

    `out` [3 * head + 1, row, pos, d_model].
    """
    norm, heads, tokens = Norm.of(block.ln1), out[:-1], out.shape[1] * out.shape[2]
    sums = path.heads[layer][:, chunk[0], :, chunk[1]]  # [3, row, head, pos, d_head]
    for part, weights, out_part in zip(sums, block.weights(), heads.chunk(3), strict=True):
        read = norm.centre(weights.float() * norm.weight).to(out.dtype)  # [head of its own, d_head, d_model]
        grouped = part.transpose(0, 1).reshape(
            len(weights), -1, part.shape[-1]
        )  # [head of its own, group * token, d_head]
        _multiply(grouped.to(out.dtype), read, out_part.view(len(weights), -1, out_part.shape[-1]))
    out[-1] = path.mlps[layer][chunk]
    if not path.residuals[layer]:  # norms with their scales held
        return
    x = torch.stack([_tokens(point[chunk]) for point in path.residuals[layer]], 1).to(out)  # [token, point, d_model]
    c = torch.stack([point[:, chunk[0], :, chunk[1]] for point in path.norm_terms[layer]])  # [point, 3, row, head, pos]
    c = c.permute(2, 4, 1, 3, 0).reshape(tokens, len(heads), -1).to(out)  # [token, 3 * head, point]
    heads.flatten(1, 2).transpose(0, 1).baddbmm_(c, x, alpha=-1)


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out = a @ b, of batches of matrices; `b` may be of another precision, and either on another device."""
    product = a.to(out.device), b.to(out)
    torch.bmm(*product, out=out)


def _products(delta: Tensor, g: Tensor) -> Tensor:
    """[row, source, destination] in fp32, from [source, row, pos, d_model] and [destination, row, pos, d_model]."""
    sides = delta.flatten(2).transpose(0, 1), g.flatten(2).permute(1, 2, 0)
    return torch.bmm(*sides) if delta.dtype == torch.float32 else torch.bmm(*sides, out_dtype=torch.float32)


def _tokens(x: Tensor) -> Tensor:
    """Row and position as one token axis."""
    return x.flatten(0, 1)
