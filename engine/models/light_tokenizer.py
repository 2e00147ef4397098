"""A model's tokenizer without transformers: what a page needs to show tokens while somebody types.

`Words` reads tokenizer.json with the `tokenizers` library and then does what transformers' TokenizersBackend does to
it: no truncation, no padding, and the tokens that tokenizer_config.json adds. Tests compare both
(tests/engine/models/test_light_tokenizer.py, tests/engine/tasks/test_prompt_checks.py): they give the same ids, and a
prompt and its answer are read as engine/models/encoding.py reads own prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError, one_line
from engine.models.encoding import prompt_places, puts_space
from engine.models.model_files import CONFIG, read_table
from engine.models.sources import snapshot

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
POSITIONS = ("max_position_embeddings", "n_positions")
# What transformers' classes take for unknown where the files name none.
UNKNOWN_OF_CLASS = {"GPT2Tokenizer": "<|endoftext|>", "Qwen2Tokenizer": "<|endoftext|>", "LlamaTokenizer": "<unk>"}
MASK = "<mask>"  # how a masked token is written, whatever a model's own tokenizer calls it
MOST_IDS = 2**31  # above any vocabulary; the library takes no greater number


@dataclass(frozen=True)
class Token:
    """A token of a text; `text` is what a person sees of it, `known` is False for what the tokenizer can't say, `added`
    is True for what the tokenizer itself put before the text.
    """

    id: int
    text: str
    known: bool = True
    added: bool = False


class Words:
    """A tokenizer and how long an input of its model can be (None: not told)."""

    def __init__(self, core: Tokenizer, unknown: str | None, positions: int | None) -> None:
        self._core = core
        self._unknown = None if unknown is None else core.token_to_id(unknown)
        self.positions = positions
        self._read_prompt = lru_cache(maxsize=64)(self._prompt_read)  # a row is read several times in a row
        self._read_answer = lru_cache(maxsize=2048)(self._answer_read)  # the same candidates in many rows
        self._shown: dict[int, str] = {}

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return self._core.get_vocab_size(with_added_tokens=True)

    def ids(self, text: str) -> tuple[int, ...]:
        """The ids of an answer."""
        return tuple(token.id for token in self.tokens(text))

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a prompt, as a model gets them."""
        return tuple(token.id for token in self.prompt_tokens(text))

    def tokens(self, text: str) -> list[Token]:
        """The tokens of an answer: nothing is put before or after it but a space, where a tokenizer does so."""
        return list(self._read_answer(text))

    def _answer_read(self, text: str) -> tuple[Token, ...]:
        if text[:1] == " " and self.puts_space:
            text = text[1:]
        encoding = self._core.encode(text, add_special_tokens=False)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        return tuple(self._token(number, text[start:end]) for number, (start, end) in spans)

    def prompt_tokens(self, text: str) -> list[Token]:
        """The tokens of a prompt with what the tokenizer puts before it: all that a model gets before its answer."""
        return list(self._read_prompt(text)[0])

    def repeats_start(self, text: str) -> str | None:
        """The sign with which a prompt begins although the tokenizer puts it there itself; None where it does not."""
        tokens, is_twice = self._read_prompt(text)
        return tokens[0].text if is_twice else None

    def _prompt_read(self, text: str) -> tuple[tuple[Token, ...], bool]:
        """A prompt's tokens, and whether one was left out that stood at its beginning twice."""
        encoding = self._core.encode(text)
        ids, added, spans = encoding.ids, encoding.special_tokens_mask, encoding.offsets
        places = prompt_places(ids, added)
        tokens = (
            Token(ids[i], self.shown(ids[i]), added=True) if added[i] else self._token(ids[i], text[slice(*spans[i])])
            for i in places
        )
        return tuple(tokens), bool(places) and places != list(range(places[-1] + 1))

    def _token(self, id: int, text: str) -> Token:
        return Token(id, text, known=False) if id == self._unknown else Token(id, self.shown(id))

    def shown(self, id: int) -> str:
        """A token as a person sees it: with its leading space, where the tokenizer keeps one."""
        if id not in self._shown:
            self._shown[id] = self._spelled(id)
        return self._shown[id]

    def _spelled(self, id: int) -> str:
        raw = self._core.id_to_token(id) or ""
        if "▁" in raw:
            return raw.replace("▁", " ")
        decoded = self._core.decode([id], skip_special_tokens=False)
        return decoded if decoded and "\ufffd" not in decoded else raw  # raw: a part of a character

    def text_of(self, id: int) -> str | None:
        """A text that is this token alone, as an answer is read; None where there is none."""
        if not self.knows(id):
            return None
        texts = (self.shown(id), self._core.decode([id], skip_special_tokens=False))
        return next((text for text in texts if self.ids(text) == (id,)), None)

    def knows(self, id: int) -> bool:
        return 0 <= id < MOST_IDS and self._core.id_to_token(id) is not None

    def is_special(self, id: int) -> bool:
        """Whether a token is none of a text, such as one that masks or ends."""
        token = self._core.get_added_tokens_decoder().get(id)
        return token is not None and bool(token.special)

    def id_of(self, token: str) -> int | None:
        """The id of a token as the vocabulary spells it."""
        return self._core.token_to_id(token)

    @cached_property
    def puts_space(self) -> bool:
        """Whether a space is put before every text, as SentencePiece does."""
        return puts_space(next(iter(self._core.encode("a", add_special_tokens=False).tokens), None))

    @cached_property
    def knows_words_only(self) -> bool:
        """Whether a token is a whole word, so that spaces are nothing but what is between two of them."""
        from tokenizers.models import WordLevel

        return isinstance(self._core.model, WordLevel)


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

    file = folder / "tokenizer.json"
    if not isinstance(read_table(file).get("added_tokens"), list):
        raise UserError(f'{file} lacks added_tokens, which transformers wants there. Add "added_tokens": [] to it.')
    config, model = read_table(folder / "tokenizer_config.json"), read_table(folder / CONFIG)
    try:
        core = Tokenizer.from_file(str(file))
        core.no_truncation()
        core.no_padding()
        _add_tokens(core, config)
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{file} cannot be read as a tokenizer: {one_line(error)}.") from error
    positions = next((model[name] for name in POSITIONS if isinstance(model.get(name), int)), None)
    return Words(core, _unknown(config), positions)


def _content(token: Any) -> str | None:
    """A token's text: files write it as such or as a table."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


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
