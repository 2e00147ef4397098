"""Whether a pair's model can be scored as the pair reads it: one answer for doctor, run, compare and every page.

Nothing is built and torch is not imported: files, config, headers of weights and the mask are looked at.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from engine.errors import UserError
from engine.models.architecture import read_config, shape_in
from engine.models.hub import weight_files
from engine.models.light_tokenizer import words_of
from engine.models.model_files import EMBEDDINGS, header_of, read_table
from engine.models.pair import CONTROL, TOKENIZER, Pair, model_title
from engine.models.sources import snapshot, there
from engine.models.supported import check, class_of


def refuse_unscorable(pair: Pair, model: str) -> None:
    """Say why "arm", "mdm", "control" or "step:N" of a pair can't be scored.

    Raises:
        UserError: it is not here, not of a known kind, its config and its weights can't be, or its mask is unknown.
    """
    folder = there(pair.folder(model))
    if folder is None:
        return  # it is checked when it is made: pages ask too, and do not wait for that
    try:
        read_config(folder)
        check(folder, weight_files(folder), architecture_of(pair), keys_of(pair, model))
        if model not in ("arm", CONTROL):
            _refuse_another_shape(folder, snapshot(pair.folder("arm")))
        tokenizer = Path(pair.tokenizer(model)) / TOKENIZER
        reader = reader_of(pair, model)
        mask = None if model == "arm" else mask_of(pair, reader)
        if tokenizer.is_file():  # else only transformers can read it
            mask = _mask_in(tokenizer, mask, _stats_beside(tokenizer))
        stored = header_of(weight_files(reader))
        rows = [tensor.shape[0] for key, tensor in stored.items() if key.endswith(EMBEDDINGS) and tensor.shape]
        if isinstance(mask, int) and rows:
            refuse_mask_beyond(mask, max(rows))
    except UserError as error:
        raise UserError(f"The {model_title(model)} of the pair {pair.name}: {error}") from error


def architecture_of(pair: Pair) -> str:
    """The class of both models of a pair: an MDM's config may name one of its authors' own."""
    if pair.architecture:
        return pair.architecture
    folder = snapshot(pair.folder("arm"))
    return class_of(folder, read_config(folder))


def reader_of(pair: Pair, model: str) -> Path:
    """The folder that says how a model is read, its mask above all: the MDM's for the control, else its own."""
    return snapshot(pair.folder("mdm" if model == CONTROL else model))


def keys_of(pair: Pair, model: str) -> dict[str, str]:
    """What the names of a model's weights begin with, and what to put there instead."""
    return {} if pair.folder(model) == pair.folder("arm") else dict(pair.mdm_keys)


def mask_of(pair: Pair, folder: Path) -> str | int:
    """The mask of a pair's MDM: what the pair says, else what the MDM's files say.

    Raises:
        UserError: nothing says it, or something that is no token.
    """
    if pair.mask is not None:
        return pair.mask
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        named = read_table(folder / name).get("mask_token")
        mask = named.get("content") if isinstance(named, dict) else named
        if mask is not None:
            if not isinstance(mask, str) or not mask:
                raise UserError(f'{folder / name} says mask_token = {mask!r}. It must be a token, as in "<mask>".')
            return mask
    number = read_config(folder).get("mask_token_id")
    if number is None:
        raise UserError(
            f"Nothing says which token masks what the model in {folder} does not know yet. Name it: mask_token or "
            "mask_id in a pairs file, --mask-token or --mask-id on the command line."
        )
    if type(number) is not int:
        raise UserError(f"{folder / 'config.json'} says mask_token_id = {number!r}. It must be a token's number.")
    return number


def refuse_mask_beyond(mask: int, rows: int) -> None:
    """A mask needs an embedding of its own.

    Raises:
        UserError: it has none.
    """
    if not 0 <= mask < rows:
        raise UserError(f"The mask is token {mask}, but the model has embeddings for tokens 0 to {rows - 1}.")


@lru_cache(maxsize=256)
def _mask_in(tokenizer: Path, mask: str | int | None, stats: tuple[tuple[int, int], ...]) -> int | None:
    """The number of a mask in a tokenizer that can be read, looked up again only when a file is another."""
    words = words_of(str(tokenizer.parent))
    if not isinstance(mask, str):
        return mask
    number = words.id_of(mask)
    if number is None:
        raise UserError(f"The tokenizer in {tokenizer.parent} has no mask token {mask!r}. Name the pair's real one.")
    return number


def _refuse_another_shape(folder: Path, arm: Path) -> None:
    """A model is compared with its ARM edge by edge and neuron by neuron; an ARM that is not here refuses nothing."""
    try:
        theirs = shape_in(arm)
    except UserError:
        return
    ours = shape_in(folder)
    sizes = {
        "layers": "layers",
        "heads": "heads",
        "d_model": "numbers a token",
        "mlp": "neurons a layer",
    }
    for field, what in sizes.items():
        here, there = getattr(ours, field), getattr(theirs, field)
        if here != there:
            raise UserError(
                f"The model in {folder} has {here} {what}, the ARM in {arm} has {there}: they are no pair. Name the "
                "ARM that the model was post-trained from."
            )


def _stats_beside(tokenizer: Path) -> tuple[tuple[int, int], ...]:
    files = [file.stat() for file in (tokenizer, tokenizer.parent / "tokenizer_config.json") if file.is_file()]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in files)
