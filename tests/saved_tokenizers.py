"""Small tokenizers trained on a few sentences and saved as transformers saves them, with a model's config beside."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from engine.models.model import load_tokenizer
from engine.tasks.registry import TASKS, examples

CORPUS = [
    "When Mary and John went to the store, John gave a drink to Mary.",
    "The war lasted from the year 1732 to the year 1745. Ünïcode, naïve café, 日本語 and 🙂.",
    *(e.prompt + " " + e.answer for e in examples(TASKS["ioi"], 30, 0)),
    *["John gave", "Mary gave", "to the store", "a drink", ", é", "33", "34"] * 5,
]


UNK = "<unk>"
NAMES = {"bos_token": "<|end|>", "eos_token": "<|end|>"}
LLAMA = {"unk_token": UNK, "bos_token": "<s>"}


def saved(core: Tokenizer, folder: Path, config: dict[str, Any] | None = None, **named: str) -> Path:
    """A tokenizer as transformers saves it, and a model's config beside it."""
    PreTrainedTokenizerFast(tokenizer_object=core, **named).save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **(config or {})}))
    (folder / "config.json").write_text('{"n_positions": 1024}')
    return folder


def byte_level(end: str = "<|end|>") -> Tokenizer:
    """As GPT-2's: bytes, spaces kept in front of words."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[end], initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(CORPUS, trainer)
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    return core


def metaspace() -> Tokenizer:
    """As Llama's: a sign for spaces, one put in front, an unknown token."""
    core = Tokenizer(models.BPE(unk_token=UNK, fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<s>"], show_progress=False)
    core.train_from_iterator([text for text in CORPUS if text.isascii()], trainer)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return core


def with_bos(core: Tokenizer) -> Tokenizer:
    bos = ("<|end|>", core.token_to_id("<|end|>"))
    core.post_processor = processors.TemplateProcessing(single="<|end|> $A", special_tokens=[bos])
    return core


@cache
def load_tokenizer_once(source: str) -> Any:
    return load_tokenizer(source)
