"""Tiny tokenizers, trained here, that cut text as GPT-2's, Qwen2.5's and Llama 2's do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from engine.tasks import greater_than, ioi
from engine.tasks.registry import TASKS
from engine.tasks.sudoku import INSTRUCTION

KINDS = ("gpt2", "qwen", "llama")
# Qwen2.5's: digits alone, line ends with the sign before them.
QWEN = r"\p{N}|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
END_OF_TEXT = "<|endoftext|>"
UNKNOWN, BOS, EOS = "<unk>", "<s>", "</s>"


def corpus(without: Sequence[str] = ()) -> list[str]:
    """Every word of the tasks, but those named, after a space, and every number without one."""
    words = [w for task in TASKS.values() for w in task.words() if w.isalpha() and w not in without]
    words += [*INSTRUCTION.split(), "Input:", "Output:", "Given", "numbers", "operate"]
    numbers = [f"{n:02d}" for n in range(100)]
    lines = [f"When {word} went" for word in words for _ in range(3)]
    lines += [f"={n},{n}+{n} {n}" for n in numbers] + [f"in {c} " for c in greater_than.CENTURIES for _ in range(20)]
    return [*lines, "0 1 2 3 4\n1 2\n"]


@cache
def tokenizer_like(kind: str, without: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """One of KINDS; the words `without` are several tokens to it."""
    return {"gpt2": _gpt2, "qwen": _qwen, "llama": _llama}[kind](corpus(without))


def bytes_only() -> PreTrainedTokenizerFast:
    """Byte-level as GPT-2's, a token a byte."""
    core = _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    core.model = models.BPE({token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    return PreTrainedTokenizerFast(tokenizer_object=core)


def three_digits() -> PreTrainedTokenizerFast:
    """Byte-level with digits in threes, as Llama 3's: "1732" is "173" and "2"."""
    threes = pre_tokenizers.Split(Regex(r"\p{N}{1,3}| ?[^\s\p{N}]+|\s+"), behavior="isolated")
    core = _byte_level(pre_tokenizers.Sequence([threes, pre_tokenizers.ByteLevel(False, use_regex=False)]))
    numbers = [f"{n} {n // 10:02d} x" for n in range(1000) for _ in range(3)]
    core.train_from_iterator([*corpus(), *numbers], _trainer(4000))
    return PreTrainedTokenizerFast(tokenizer_object=core)


def ends_too() -> PreTrainedTokenizerFast:
    """Qwen's, but with a token of its own behind every text."""
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_qwen(corpus()).backend_tokenizer.to_str()))
    end = made.convert_tokens_to_ids(END_OF_TEXT)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END_OF_TEXT}", special_tokens=[(END_OF_TEXT, end)]
    )
    return made


def names_of(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The names that are one token after a space."""
    return [name for name in ioi.NAMES if len(tokenizer.tokenize(f"to {name}")) == len(tokenizer.tokenize("to")) + 1]


def _byte_level(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizer
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    core.decoder = decoders.ByteLevel()
    return core


def _trainer(size: int, special: Sequence[str] = (END_OF_TEXT,)) -> trainers.BpeTrainer:
    alphabet = pre_tokenizers.ByteLevel.alphabet() if END_OF_TEXT in special else []
    return trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )


def _gpt2(lines: Sequence[str]) -> PreTrainedTokenizerFast:
    core = _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    core.train_from_iterator(lines, _trainer(2000))
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=END_OF_TEXT, unk_token=END_OF_TEXT)


def _qwen(lines: Sequence[str]) -> PreTrainedTokenizerFast:
    split = pre_tokenizers.Split(Regex(QWEN), behavior="isolated")
    core = _byte_level(pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)]))
    core.normalizer = normalizers.NFC()
    core.train_from_iterator(lines, _trainer(2000))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=END_OF_TEXT)


def _llama(lines: Sequence[str]) -> PreTrainedTokenizerFast:
    trained = Tokenizer(models.BPE(unk_token=UNKNOWN))
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True)])
    trained.train_from_iterator(
        [line.replace("\n", " ") for line in lines], _trainer(2000, [UNKNOWN, BOS, EOS, *BYTES])
    )
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    core = Tokenizer(models.BPE(model["vocab"], merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    strip = decoders.Strip(" ", 1, 0)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN)


def t5_like() -> PreTrainedTokenizerFast:
    """A sign for spaces, one put in front where there is none, and a token of its own behind every text."""
    core = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.train_from_iterator(corpus(), _trainer(2000, [UNKNOWN, BOS, EOS, *BYTES]))
    core.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 2)])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=EOS, unk_token=UNKNOWN)


def llama_with_end() -> PreTrainedTokenizerFast:
    """Llama's, with a token behind every text as well as before it."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_like("llama").backend_tokenizer.to_str()),
        bos_token=BOS, eos_token=EOS, unk_token=UNKNOWN,
    )  # fmt: skip
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, 1), (EOS, 2)]
    )
    return made


def capitals() -> PreTrainedTokenizerFast:
    """Byte-level, with capitals that are a token with their space and without it."""
    core = _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    lines = [f"{city} The capital of {land} is {city}" for city, land in (("Paris", "France"), ("Rome", "Italy"))]
    core.train_from_iterator([*lines, "straw strawberry", "berry", "raspberry"] * 9, _trainer(600))
    return PreTrainedTokenizerFast(tokenizer_object=core)
