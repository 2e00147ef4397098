"""A model's tokenizer without transformers: what a page needs to show tokens while somebody types.

`Words` reads tokenizer.json with the `tokenizers` library and then does what transformers' TokenizersBackend does to
it: no truncation, no padding, and the tokens that tokenizer_config.json adds.
tests/engine/test_prompts.py proves that both give the same ids.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.hub import snapshot

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
POSITIONS = ("max_position_embeddings", "n_positions")
# What transformers' classes take for unknown where the files name none.
UNKNOWN_OF_CLASS = {"GPT2Tokenizer": "<|endoftext|>", "Qwen2Tokenizer": "<|endoftext|>", "LlamaTokenizer": "<unk>"}


@dataclass(frozen=True)
class Token:
    """A token of a text; `text` is what a person sees of it, `known` is False for what the tokenizer can't say."""

    id: int
    text: str
    known: bool = True


class Words:
    """A tokenizer and how long an input of its model can be (None: not told)."""

    def __init__(self, core: Tokenizer, unknown: str | None, positions: int | None) -> None:
        self._core = core
        self._unknown = None if unknown is None else core.token_to_id(unknown)
        self.positions = positions

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return self._core.get_vocab_size(with_added_tokens=True)

    def ids(self, text: str) -> tuple[int, ...]:
        """The ids of an answer: nothing is put before or after it."""
        return tuple(self._core.encode(text, add_special_tokens=False).ids)

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a prompt, with what the tokenizer puts before and after."""
        return tuple(self._core.encode(text).ids)

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text, without what the tokenizer puts before and after."""
        found = self._core.encode(text, add_special_tokens=False)
        return [
            Token(one, text[start:end], known=False) if one == self._unknown else Token(one, self.shown(one))
            for one, (start, end) in zip(found.ids, found.offsets, strict=True)
        ]

    def shown(self, id: int) -> str:
        """A token as a person sees it: with its leading space, where the tokenizer keeps one."""
        raw = self._core.id_to_token(id) or ""
        if "▁" in raw:
            return raw.replace("▁", " ")
        decoded = self._core.decode([id], skip_special_tokens=False)
        return decoded if decoded and "\ufffd" not in decoded else raw  # raw: a part of a character

    def text_of(self, id: int) -> str | None:
        """A text that is this token alone, as an answer is read; None where there is none."""
        if self._core.id_to_token(id) is None:
            return None
        texts = (self._core.decode([id], skip_special_tokens=False), self.shown(id))
        return next((text for text in texts if self.ids(text) == (id,)), None)

    def knows(self, id: int) -> bool:
        return self._core.id_to_token(id) is not None

    def id_of(self, token: str) -> int | None:
        """The id of a token as the vocabulary spells it."""
        return self._core.token_to_id(token)

    @property
    def keeps_spaces(self) -> bool:
        """Whether " a" and "a" are different tokens, as in byte-level tokenizers."""
        return self.ids(" a") != self.ids("a")


def words_of(source: str) -> Words:
    """The tokenizer of a model's folder or hub id; a checkpoint folder without one uses its `mdm` sibling's.

    Raises:
        UserError: it has no tokenizer.json here, or one that cannot be read.
    """
    folder = _folder(source)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UserError(
            f"The model {source} has no tokenizer.json here, which own prompts are read with. Put one into {folder}."
        )
    files = [file, folder / "tokenizer_config.json", folder / "config.json"]
    return _read(folder, tuple((f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()))


def _folder(source: str) -> Path:
    folder = snapshot(source)
    is_step = Path(source).is_dir() and not (folder / "tokenizer.json").is_file()
    return folder.parent.parent / "mdm" if is_step else folder


@lru_cache(maxsize=8)
def _read(folder: Path, stats: tuple[tuple[int, int], ...]) -> Words:
    """A folder's tokenizer, read again only when a file's size or time of change is another."""
    from tokenizers import Tokenizer

    try:
        core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{folder / 'tokenizer.json'} cannot be read as a tokenizer: {error}.") from error
    config = _json(folder / "tokenizer_config.json")
    core.no_truncation()
    core.no_padding()
    _add_tokens(core, config)
    model = _json(folder / "config.json")
    positions = next((model[name] for name in POSITIONS if isinstance(model.get(name), int)), None)
    return Words(core, _unknown(config), positions)


def _json(file: Path) -> dict[str, Any]:
    """A file's table; empty where there is no file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not valid JSON.") from error
    return found if isinstance(found, dict) else {}


def _content(token: Any) -> str | None:
    """A token's text: files write it as such or as a table."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _unknown(config: dict[str, Any]) -> str | None:
    if "unk_token" in config:
        return _content(config["unk_token"])
    return UNKNOWN_OF_CLASS.get(str(config.get("tokenizer_class")).removesuffix("Fast"))


def _add_tokens(core: Tokenizer, config: dict[str, Any]) -> None:
    """The tokens that the config names and the vocabulary lacks, in the order of their ids."""
    from tokenizers import AddedToken

    there = core.get_vocab(with_added_tokens=True)
    listed = config.get("added_tokens_decoder") or {}
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for _, token in sorted(listed.items(), key=lambda item: int(item[0])):
        if token["content"] not in there:
            core.add_tokens([AddedToken(token["content"], **{f: token[f] for f in flags if f in token})])
    named = (_content(config.get(name)) for name in NAMED)
    core.add_special_tokens([token for token in named if token and core.token_to_id(token) is None])
