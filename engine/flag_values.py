"""What a flag of `python -m engine` can hold: from its text to a value, or an error that says what it should be."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

from engine.errors import UserError
from engine.runs.evidence import DEFAULT_KINDS
from engine.runs.spec import LARGEST_SEED, RunSpec
from engine.sweeps.shards import Shard, shard_named

AGE = re.compile(r"([0-9]{1,5})([dh])", re.ASCII)  # 99999 days are more than anybody has
WHOLE = re.compile(r"[0-9]{1,18}")
EVIDENCE = (*DEFAULT_KINDS, "stability")


def text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is empty")
    return text


def words(text: str) -> list[str]:
    """What commas separate, each once."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty entry")
    return list(dict.fromkeys(words))


def model(text: str) -> str:
    try:
        return RunSpec(model=text).model
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def models(text: str) -> list[str]:
    try:
        return list(dict.fromkeys(RunSpec(model=word).model for word in words(text)))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def shard(text: str) -> Shard:
    try:
        return shard_named(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def evidence(text: str) -> list[str]:
    kinds = words(text)
    unknown = next((word for word in kinds if word not in EVIDENCE), None)
    if unknown is not None:
        raise argparse.ArgumentTypeError(f"there is no evidence {unknown!r}. Choose from: {', '.join(EVIDENCE)}")
    return kinds


def age(text: str) -> timedelta:
    match = AGE.fullmatch(text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no age. Write days or hours, as in 30d or 12h")
    return timedelta(days=int(match[1])) if match[2] == "d" else timedelta(hours=int(match[1]))


def whole(text: str) -> int:
    if not WHOLE.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 up, of at most 18 digits")
    return int(text)


def number(text: str) -> int:
    if not WHOLE.fullmatch(text.strip()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 up, of at most 18 digits")
    return int(text)


def seed(text: str) -> int:
    if not WHOLE.fullmatch(text.strip()) or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def numbers(text: str) -> list[int]:
    return list(dict.fromkeys(number(word) for word in words(text)))
