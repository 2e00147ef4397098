"""Search neurons: by their place ("3:117"), and by a token that they promote, in whatever spelling it is typed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

MARKERS = " Ġ▁␣"  # what tokenizers and this program put in the place of the space before a word

Place = tuple[int, int]  # layer, neuron


@dataclass(frozen=True)
class Promoter:
    """A neuron that promotes a token; `logit` and `attribution` by model, no logit where the model's doesn't."""

    place: Place
    token: str
    logit: dict[str, float]
    attribution: dict[str, float]


def neuron_place(text: str, layer: int | None = None) -> Place | None:
    """The neuron that a text names: "3:117", "m3.117", or "117" in layer `layer`; None when it names none."""
    both = re.fullmatch(r"\s*m?(\d{1,4})\s*[:.]\s*(\d{1,7})\s*", text)
    if both:
        return int(both[1]), int(both[2])
    alone = re.fullmatch(r"\s*(\d{1,7})\s*", text)
    return (layer, int(alone[1])) if alone and layer is not None else None


def spellings(text: str) -> list[str]:
    """The tokens that a reader may mean by a text: as typed, and with every sign for the space before a word."""
    quoted = re.fullmatch(r"\s*(['\"])(.+)\1\s*", text, re.DOTALL)
    typed = (quoted[2] if quoted else text).replace("␣", " ").replace("⏎", "\n").replace("⇥", "\t")
    core = typed.strip(MARKERS)
    return list(dict.fromkeys([typed, *(mark + core for mark in ("", " ", "Ġ", "▁") if core)]))


def promoters(
    rows: Iterable[tuple[str, str, Mapping[str, Any]]], attribution: Mapping[str, NDArray[Any]], n_neurons: int
) -> list[Promoter]:
    """The neurons of all layers that promote a token in either model, the largest |attribution| first.

    `rows`: (model, token, row of `neurons` that promotes the token). `attribution`: by model, [layer * n_neurons].
    """
    logits: dict[tuple[int, int, str], dict[str, float]] = {}
    for model, token, row in rows:
        logit = row["promoted_logit"][row["promoted"].index(token)]
        logits.setdefault((row["layer"], row["neuron"], token), {})[model] = logit
    matches = [
        Promoter(
            (layer, neuron),
            token,
            by_model,
            {model: float(values[layer * n_neurons + neuron]) for model, values in attribution.items()},
        )
        for (layer, neuron, token), by_model in logits.items()
    ]
    return sorted(matches, key=lambda match: -max(abs(value) for value in match.attribution.values()))


def similar_tokens(tokens: Iterable[str], text: str, most: int = 8) -> list[str]:
    """Those of `tokens` that look like a text: near spellings first, then those that contain it or lie in it."""
    wanted = text.strip(MARKERS + "'\"").lower()
    known = sorted(set(tokens))
    plain = {token: token.strip(MARKERS).lower() for token in known}
    near = {word for word in plain.values() if abs(len(word) - len(wanted)) < 3}
    close = difflib.get_close_matches(wanted, near, most, 0.5)
    spelt = [token for word in close for token in known if plain[token] == word]
    inside = [
        token for token, word in plain.items() if wanted and (wanted in word or (len(word) > 2 and word in wanted))
    ]
    return list(dict.fromkeys([*spelt, *sorted(inside, key=len)]))[:most]
