"""Which tokens have the largest and smallest products with some directions, without all products at once.

Products are those of full precision. On a CPU that multiplies bfloat16 (twice as fast, or more) they are first computed
so; what they can differ by is bounded, and only the tokens that lead are multiplied in full. Where the bound leaves a
doubt, all tokens are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.inspection.lens import TopTokens
from engine.inspection.top_k import top_k

VALUES_AT_ONCE = 2**24  # directions x tokens
CANDIDATES = 16  # tokens of a direction that are multiplied in full
LEADING = 16  # groups of tokens among which they are sought ...
GROUP = 32  # ... each of so many
HALF = 2.0**-8  # relative distance of two neighbouring bfloat16 numbers, at most
SINGLE = 2.0**-23  # the same of float32


class TokenVectors:
    """A vector for every token: [vocab, d_model] in float32."""

    def __init__(self, vectors: Tensor, rough: bool | None = None) -> None:
        """`rough`: whether to multiply in bfloat16 first; None: where that is faster."""
        self.vectors = vectors.float().contiguous()
        self.rough: Tensor | None = None
        if rough or (rough is None and multiplies_bfloat16(vectors.device)):
            self.rough = self.vectors.bfloat16()
            self.longest = self.vectors.norm(dim=1).max()
            self.lost = (self.vectors - self.rough.float()).norm(dim=1).max()  # by rounding, at most

    def nearest(self, directions: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The tokens of the largest products with directions [direction, d_model] and these, [direction, most] each."""
        parts = [self._ends(chunk, most, (True,))[0] for chunk in self._chunks(directions)]
        return torch.cat([tokens for tokens, _ in parts]), torch.cat([products for _, products in parts])

    def ends(self, directions: Tensor, most: int) -> TopTokens:
        """The tokens of the largest and of the smallest products with directions [direction, d_model], and these.

        [direction, most] each; the products are logits where the vectors are those of the unembedding.
        """
        parts = [self._ends(chunk, most, (True, False)) for chunk in self._chunks(directions)]
        return TopTokens(*(torch.cat([part[end][i] for part in parts]) for end in (0, 1) for i in (0, 1)))

    def _chunks(self, directions: Tensor) -> tuple[Tensor, ...]:
        return directions.float().split(max(1, VALUES_AT_ONCE // len(self.vectors)))

    def _ends(self, directions: Tensor, most: int, ends: tuple[bool, ...]) -> list[tuple[Tensor, Tensor]]:
        """Tokens and products for each of `ends`: True for the largest, False for the smallest."""
        if self.rough is None or len(self.vectors) < GROUP * LEADING:
            return self._exact(directions, most, ends)
        rounded = directions.bfloat16()
        products = rounded @ self.rough.T  # [direction, vocab]
        length, lost = (x.float().norm(dim=1) for x in (directions, directions - rounded.float()))  # [direction]
        summed = directions.shape[1] * SINGLE * length * self.longest
        margin = 1.01 * (lost * self.longest + (length + lost) * self.lost + summed)  # of every rough product
        results = [self._leading(directions, products, margin, most, largest) for largest in ends]
        doubtful = torch.stack([doubt for _, _, doubt in results]).any(0).nonzero()[:, 0]
        if len(doubtful):
            exact = self._exact(directions[doubtful], most, ends)
            for (tokens, values, _), (right_tokens, right_values) in zip(results, exact, strict=True):
                tokens[doubtful], values[doubtful] = right_tokens, right_values
        return [(tokens, values) for tokens, values, _ in results]

    def _exact(self, directions: Tensor, most: int, ends: tuple[bool, ...]) -> list[tuple[Tensor, Tensor]]:
        products = directions @ self.vectors.T
        return [top_k(products, most, largest)[::-1] for largest in ends]

    def _leading(
        self, directions: Tensor, products: Tensor, margin: Tensor, most: int, largest: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens and exact products [direction, most] by rough `products` [direction, vocab], and where they may err.

        Margin and doubt are [direction].
        """
        sign = 1 if largest else -1
        groups = products.shape[1] // GROUP
        inside = products[:, : groups * GROUP].unflatten(1, (GROUP, groups))  # a group is every `groups`th token
        best, leading = (sign * (inside.amax(1) if largest else inside.amin(1))).topk(LEADING)
        members = groups * torch.arange(GROUP, device=products.device)
        rest = torch.arange(groups * GROUP, products.shape[1], device=products.device).expand(len(products), -1)
        tokens = torch.cat([(leading[:, :, None] + members).flatten(1), rest], 1)
        rough = sign * products.gather(1, tokens).float()
        values, places = rough.topk(CANDIDATES + 1)
        unseen = torch.maximum(values[:, -1], best[:, -1].float())  # no other rough product is larger
        tokens = tokens.gather(1, places[:, :-1]).sort(1).values
        vectors = self.vectors.index_select(0, tokens.flatten()).unflatten(0, tokens.shape)
        exact = (vectors * directions[:, None]).sum(2)  # [direction, candidate]
        top, order = (sign * exact).sort(dim=1, descending=True, stable=True)  # of equals the first token
        sure = unseen + unseen.abs() * HALF + margin < top[:, most - 1]
        return tokens.gather(1, order[:, :most]), sign * top[:, :most], ~sure


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device is a CPU with instructions for products of bfloat16 matrices."""
    if device.type != "cpu":
        return False
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
