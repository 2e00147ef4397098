"""Edge scores: EAP and EAP-IG (Hanna et al. 2024, arXiv 2403.17806) and RelP, as METHOD defines them.

Scores are linear in the gradient, so the gradients at all integration points are summed before they are multiplied
with the source differences. A causal model runs the tokens up to the last one that is read. Per batch of rows:

1. Run the clean and the corrupted inputs; keep the differences of what heads (z), MLPs and neurons wrote.
2. At every integration point run the clean input with interpolated embeddings and differentiate the metric. Kept are
   the gradients of every query head's own q, k and v, summed in head space, with one scalar per token, head and point
   for the norm's own derivative (engine/attribution/path_gradients.py). Neurons are multiplied with their differences
   at once. Logits are computed where they are read only; the path's start is the corrupted run, so that they share
   their forward pass. RelP has one point, the clean input, and a pass whose way back is linearised
   (engine/attribution/linearised_pass.py).
3. Expand to G [destination, row, pos, d_model], the gradient at the pre-norm residual as that destination alone reads
   it, and contract with the source differences (engine/attribution/contraction.py).

`tests/oracle.py` computes the same scores the plain way, one destination at a time;
`tests/engine/attribution/test_edge_scores.py` compares the two, with finite differences as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils.hooks import RemovableHandle

from engine.attribution.contraction import contract
from engine.attribution.footprint import row_named
from engine.attribution.linearised_pass import linearising_hooks
from engine.attribution.metrics import at_sites, row_metrics
from engine.attribution.path_gradients import ActivationDifference, Path
from engine.attribution.sites import AttributionInput, up_to_reads
from engine.attribution.soundness import refuse_unsound
from engine.models.batching import Capacity, in_batches, padded, token_capacity
from engine.models.fast_model import Sink, blocks_of, embed, hidden, hooked, output_logits
from engine.models.model import Model
from engine.schema.vocabulary import BLOCKS


@dataclass(frozen=True)
class Attribution:
    """Scores as sums over examples: divide for METHOD's mean. Parts sum to the total, and so do blocks."""

    scores: dict[str, Tensor]  # by part, [source, destination]
    blocks: Tensor  # [min(BLOCKS, examples), source, destination]: every part of the examples of a block
    neurons: Tensor  # [2, layer, neuron]: of even and of odd examples
    metric_clean: Tensor  # [example]
    metric_corrupt: Tensor  # [example]

    @property
    def total(self) -> Tensor:
        """[source, destination]"""
        return torch.stack(list(self.scores.values())).sum(0)

    @property
    def halves(self) -> Tensor:
        """[2, source, destination]: of even and of odd examples; zeros where there are none."""
        return torch.stack([self.blocks[half::2].sum(0) for half in (0, 1)])


def integration_points(method: str, m: int) -> list[float]:
    """The alphas at which gradients are averaged (METHOD, "Edge scores"): 1 is the clean input, 0 the corrupted one."""
    if method == "eap-ig":
        return [k / m for k in range(m)]
    if method == "eap-ig-midpoint":
        return [(k + 0.5) / m for k in range(m)]
    return {"eap": [1.0], "relp": [1.0], "clean-corrupted": [0.0, 1.0]}[method]


def attribute(
    model: Model,
    rows: Sequence[AttributionInput],
    examples: int | range,
    method: str = "eap-ig",
    points: int = 5,
    metric: str = "logit_diff",
    on_rows: Callable[[int], None] = lambda done: None,
    capacity: Capacity | None = None,
) -> Attribution:
    """Score every edge, separately per part and per block of examples, and every neuron.

    `examples`: how many there are; of a part of a run, which: the number of an example in the run says to which block
    and half it belongs. Rows number them from 0 on. `capacity` tokens run together; left out, as many as suit the
    device.

    Raises:
        UserError: an architecture that is not known, or a single row that does not fit in memory.
        Unsound: logits, metrics or scores that are no numbers.
    """
    alphas, numbers = integration_points(method, points), examples if isinstance(examples, range) else range(examples)
    graph, device = model.graph, model.device
    shape = (graph.n_sources, graph.n_destinations)
    scores: dict[str, Tensor] = defaultdict(lambda: torch.zeros(shape, device=device))
    blocks = torch.zeros(min(BLOCKS, numbers.stop), *shape, device=device)
    neurons = torch.zeros(2, graph.n_layers, blocks_of(model.plain)[0].n_neurons, device=device)
    clean_metric, corrupt_metric = torch.zeros(len(numbers)), torch.zeros(len(numbers))
    done, capacity = 0, capacity or token_capacity(model.plain)

    def work(batch: Sequence[AttributionInput]) -> _BatchResult:
        return _attribute_batch(model, batch, alphas, metric, len(blocks), numbers.start, linearised=method == "relp")

    def name(row: AttributionInput) -> str:
        return row_named(numbers.start + row.example, len(row.clean), str(model.tokenizer.decode(list(row.clean))))

    for part, members in _by_part([up_to_reads(row) for row in rows] if model.causal else rows):
        for batch, result in in_batches(members, lambda row: len(row.clean), capacity, work, name):
            at = torch.tensor([row.example for row in batch])
            scores[part] += result.scores.sum(0)
            blocks.add_(result.scores)
            neurons.add_(result.neurons)
            clean_metric.index_add_(0, at, result.metric_clean.float().cpu())
            corrupt_metric.index_add_(0, at, result.metric_corrupt.float().cpu())
            done += len(batch)
            on_rows(done)
    return Attribution(dict(scores), blocks, neurons, clean_metric, corrupt_metric)


@dataclass(frozen=True)
class _BatchResult:
    scores: Tensor  # [block, source, destination]
    neurons: Tensor  # [2, layer, neuron]: of even and of odd examples
    metric_clean: Tensor  # [row]
    metric_corrupt: Tensor  # [row]


def _by_part(rows: Sequence[AttributionInput]) -> list[tuple[str, list[AttributionInput]]]:
    """Rows of one part together, those of similar length next to each other."""
    groups: dict[str, list[AttributionInput]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: len(row.clean)):
        groups[row.part].append(row)
    return sorted(groups.items())


def _attribute_batch(
    model: Model,
    rows: Sequence[AttributionInput],
    alphas: Sequence[float],
    metric: str,
    n_blocks: int,
    first: int,
    linearised: bool = False,
) -> _BatchResult:
    example = torch.tensor([first + row.example for row in rows], device=model.device)
    plain, blocks = model.plain, blocks_of(model.plain)
    clean_ids, real = padded(model, [row.clean for row in rows])
    corrupt_ids, _ = padded(model, [row.corrupt for row in rows])
    bias = model.attention_bias(real)
    start, end = embed(plain, corrupt_ids), embed(plain, clean_ids)  # [row, pos, d_model]
    difference = ActivationDifference(blocks, end - start)
    path = Path(plain, blocks, one_hot(example % 2, 2).T.float(), scales_held=linearised)

    def logits_of(embedding: Tensor, hooks: Sequence[RemovableHandle], sink: Sink | None = None) -> Tensor:
        with hooked(hooks):
            return output_logits(
                plain, at_sites(hidden(plain, embedding, bias, sink, linearised), rows)
            )  # [site, vocab]

    # 1. What every source wrote in the clean run, less what it wrote in the corrupted one
    with torch.no_grad():
        clean_logits = logits_of(end, difference.hooks())
        if 0 not in alphas:
            corrupt_logits = logits_of(start, difference.hooks())

    # 2. Gradients along the path; its start is the corrupted run
    for alpha in sorted(alphas):
        embedding = torch.lerp(start, end, alpha).requires_grad_()
        hooks = linearising_hooks(plain, blocks) if linearised else []
        hooks += path.hooks(difference) + (difference.hooks() if alpha == 0 else [])
        logits = logits_of(embedding, hooks, path.add_heads)
        torch.autograd.grad(row_metrics(metric, logits, rows, clean_logits).sum(), embedding)
        if alpha == 0:
            corrupt_logits = logits.detach()
    path.finish()
    refuse_unsound(clean_logits, "its logits on clean prompts")
    refuse_unsound(corrupt_logits, "its logits on corrupted prompts")

    # 3. Contract
    difference.neurons.clear()
    neurons = [path.neurons[layer].to(model.device) for layer in range(len(blocks))]
    result = _BatchResult(
        contract(model.graph, blocks, difference, path, example % BLOCKS, n_blocks).div_(len(alphas)).to(model.device),
        torch.stack(neurons, 1) / len(alphas),
        row_metrics(metric, clean_logits, rows, clean_logits),
        row_metrics(metric, corrupt_logits, rows, clean_logits),
    )
    for name, what in (("scores", "edge scores"), ("neurons", "neuron scores"), ("metric_clean", "metrics"),
                       ("metric_corrupt", "metrics on corrupted prompts")):  # fmt: skip
        refuse_unsound(getattr(result, name), f"its {what}")
    return result
