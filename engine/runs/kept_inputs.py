"""Read the inputs whose details a run keeps: which ones two runs share, activations on them, tokens a model saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.circuits.neuron_ranking import correlation
from engine.runs.rows import ExampleRow, KeptInput

MASK = "<mask>"  # how an answer token that an MDM does not see yet is shown


@dataclass(frozen=True)
class KeptPair:
    """An example of which both models keep every token's detail; the MDM at several steps, in order."""

    example: int
    arm: KeptInput
    mdm: tuple[KeptInput, ...]

    @property
    def same_prompt(self) -> bool:
        arm, mdm = self.arm, self.mdm[0]
        return arm.tokens[: arm.start] == mdm.tokens[: mdm.start]


def kept_pairs(arm: Iterable[KeptInput], mdm: Iterable[KeptInput]) -> list[KeptPair]:
    """The examples that both runs keep, in order."""
    steps: dict[int, list[KeptInput]] = {}
    for kept in mdm:
        steps.setdefault(kept.example, []).append(kept)
    by_example = {kept.example: kept for kept in arm if kept.example in steps}
    return [KeptPair(example, kept, tuple(steps[example])) for example, kept in sorted(by_example.items())]


def prompt_activations(
    rows: Iterable[Mapping[str, Any]], inputs: Sequence[int], starts: Sequence[int]
) -> dict[int, NDArray[np.float64]]:
    """Neuron -> its activations [token] at the first `starts[i]` tokens of each of `inputs`, joined.

    `rows` are those of `neuron_tokens` of one layer: input, neuron and activations.
    """
    values = {(row["input"], row["neuron"]): row["activations"] for row in rows}
    return {
        neuron: np.concatenate([values[at, neuron][:start] for at, start in zip(inputs, starts, strict=True)])
        for neuron in sorted({neuron for at, neuron in values if at in inputs})
    }


def activation_correlations(
    pairs: Sequence[KeptPair], arm: Iterable[Mapping[str, Any]], mdm: Iterable[Mapping[str, Any]]
) -> tuple[dict[int, float], int]:
    """Correlation of a layer's neurons' activations between the models, by neuron, and over how many tokens.

    Over the prompts that both runs keep, each token once; the MDM reads them at the first step that is kept. Only of
    neurons that keep their detail in both runs. `arm` and `mdm` are rows as in `prompt_activations`.
    """
    same = [pair for pair in pairs if pair.same_prompt]
    starts = [pair.arm.start for pair in same]
    of_arm = prompt_activations(arm, [pair.arm.input for pair in same], starts)
    of_mdm = prompt_activations(mdm, [pair.mdm[0].input for pair in same], starts)
    return {j: correlation(of_arm[j], of_mdm[j]) for j in sorted(set(of_arm) & set(of_mdm))}, sum(starts)


def seen_tokens(
    inputs: Sequence[KeptInput],
    examples: Sequence[ExampleRow],
    reveals: Mapping[str, NDArray[Any]],
    example: int,
    part: str,
) -> list[str] | None:
    """What a model saw of an example at a part: the prompt's tokens and the answer's, masked ones as MASK.

    `part` is "site-SS" of an ARM, which sees the whole answer, or "step-SS" of an MDM. `reveals` has the columns
    example, step and index, each [row]. None where the words of an example are not its tokens one by one, so that
    positions mean nothing.
    """
    kept = {(entry.example, entry.part): entry for entry in inputs}
    if (example, part) in kept:
        return list(kept[example, part].tokens)
    rows = {row.example: row for row in examples}
    ahead = _tokens_ahead(inputs, rows)
    if ahead is None:
        return None
    row = rows[example]
    answer = _visible_answer(reveals, row, part) if part.startswith("step-") else row.answer
    return [*ahead, *row.prompt, *answer]


def _tokens_ahead(inputs: Iterable[KeptInput], rows: Mapping[int, ExampleRow]) -> tuple[str, ...] | None:
    """Tokens before a prompt's words (as <bos>), by the inputs that are kept; None when words are not tokens."""
    ahead = None
    for kept in inputs:
        words = rows[kept.example].prompt
        first = kept.start - len(words)
        if first < 0 or kept.tokens[first + 1 : kept.start] != words[1:]:
            return None
        ahead = kept.tokens[:first]
    return ahead


def _visible_answer(reveals: Mapping[str, NDArray[Any]], row: ExampleRow, part: str) -> list[str]:
    """The answer's tokens, masked where a step ("step-SS") has not revealed them yet."""
    before = (reveals["example"] == row.example) & (reveals["step"] < int(part.removeprefix("step-")))
    revealed = set(reveals["index"][before].tolist())
    return [token if index in revealed else MASK for index, token in enumerate(row.answer)]
