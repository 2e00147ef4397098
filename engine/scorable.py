"""Whether a pair's model can be scored as the pair reads it: one answer for doctor, run, compare and every page.

Nothing is built and torch is not imported: files, config, headers of weights and the mask are looked at.
"""

from __future__ import annotations

from pathlib import Path

from engine.architecture import check, class_of
from engine.errors import UserError
from engine.hub import snapshot, weight_files
from engine.model_files import header_of, read_table
from engine.pair import TOKENIZER, Pair
from engine.shape import read_config
from engine.tokens import words_of

EMBEDDINGS = ("embed_tokens.weight", "wte.weight")


def refuse_unscorable(pair: Pair, model: str) -> None:
    """Say why "arm", "mdm" or "step:N" of a pair can't be scored.

    Raises:
        UserError: it is not here, not of a known kind, its config and its weights can't be, or its mask is unknown.
    """
    folder = snapshot(pair.folder(model))
    try:
        read_config(folder)
        check(folder, weight_files(folder), architecture_of(pair), keys_of(pair, model))
        if model != "arm":
            _refuse_mask(pair, folder)
    except UserError as error:
        raise UserError(f"{pair.name}, {model}: {error}") from error


def architecture_of(pair: Pair) -> str:
    """The class of both models of a pair: an MDM's config may name one of its authors' own."""
    if pair.architecture:
        return pair.architecture
    folder = snapshot(pair.folder("arm"))
    return class_of(folder, read_config(folder))


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
        found = named.get("content") if isinstance(named, dict) else named
        if found is not None:
            if not isinstance(found, str) or not found:
                raise UserError(f'{folder / name} says mask_token = {found!r}. It must be a token, as in "<mask>".')
            return found
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


def _refuse_mask(pair: Pair, folder: Path) -> None:
    mask = mask_of(pair, folder)
    if isinstance(mask, str):
        source = pair.tokenizer("mdm")
        if not (Path(source) / TOKENIZER).is_file():
            return  # only transformers can read that tokenizer
        number = words_of(source).id_of(mask)
        if number is None:
            raise UserError(f"The tokenizer in {source} has no mask token {mask!r}. Name the pair's real one.")
        mask = number
    stored = header_of(weight_files(folder))
    rows = [one.shape[0] for key, one in stored.items() if key.endswith(EMBEDDINGS) and one.shape]
    if rows:
        refuse_mask_beyond(mask, max(rows))
