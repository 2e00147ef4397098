"""List, rename and remove the pairs that a command with two models or a bundle kept here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from engine.errors import UserError
from engine.models.pairs import Pair, forget, keep, kept_pairs, pairs
from engine.runs import stored

LONGEST_TITLE = 80  # characters


@dataclass(frozen=True)
class KeptPair:
    """A kept pair, and how many runs of it are in the cache."""

    pair: Pair
    runs: int


def kept() -> list[KeptPair]:
    """Every kept pair, by name."""
    runs = Counter(run.spec.pair for run in stored.list_runs())
    return [KeptPair(pair, runs[name]) for name, pair in sorted(kept_pairs().items())]


def rename(name: str, title: str) -> Pair:
    """Give a kept pair another title. Its name stays: its runs and links to them go by it.

    Raises:
        UserError: no pair of that name was kept, or the title is empty.
    """
    pair, shown = _kept(name).pair, " ".join(title.split())[:LONGEST_TITLE]
    if not shown:
        raise UserError("The title is empty. Give the pair a name that says which models it is of.")
    return keep(replace(pair, title=shown))


def remove(name: str, with_runs: bool) -> KeptPair:
    """Forget a kept pair; its runs stay in the cache unless they are to go too, its models stay where they are.

    Raises:
        UserError: no pair of that name was kept.
    """
    gone = _kept(name)
    if with_runs:
        for run in stored.list_runs():
            if run.spec.pair == name:
                stored.delete(run.key)
    forget(name)
    return gone


def _kept(name: str) -> KeptPair:
    by_name = {kept_pair.pair.name: kept_pair for kept_pair in kept()}
    if name in by_name:
        return by_name[name]
    if name in pairs():
        raise UserError(f"The pair {name} was not kept here: it comes from a pairs file, and is changed there.")
    there = f"Choose one of: {', '.join(by_name)}." if by_name else "None was kept yet."
    raise UserError(f"No pair called {name!r} was kept here. {there}")
