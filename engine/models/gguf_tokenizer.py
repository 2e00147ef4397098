"""The tokenizer that a GGUF file describes, as tokenizer.json and tokenizer_config.json.

`tokenizer.ggml.pre` names how text is split before byte pairs are merged (llama.cpp, src/llama-vocab.cpp): "gpt-2" as
GPT-2 does it, "smollm" with every digit by itself before that. Others are refused: split otherwise, a text becomes
other tokens than those that the model was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import UserError, one_line

DIGITS_ALONE = {"smollm": True, "gpt-2": False}  # by tokenizer.ggml.pre
CONTROL, USER_DEFINED = 3, 4  # of tokenizer.ggml.token_type
NAMED = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


def write_tokenizer(file: Path, value_of: Callable[[str], Any], folder: Path) -> None:
    """Write the tokenizer of a GGUF file, whose fields `value_of` gives, into a folder.

    Raises:
        UserError: it is of another kind than those above, or its fields don't fit together.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    def field(name: str) -> Any:
        return value_of(f"tokenizer.ggml.{name}")

    kind, pre = field("model"), field("pre")
    if kind != "gpt2" or pre not in DIGITS_ALONE:
        raise UserError(
            f"{file} has a tokenizer of the kind {one_line(kind, 40)}, split as {one_line(pre, 40)}. Only byte-level "
            f"BPE (gpt2), split as {' or '.join(DIGITS_ALONE)}, can be converted."
        )
    if field("add_bos_token"):
        raise UserError(f"{file} puts a token before every text, which can't be converted.")
    tokens, types = field("tokens"), field("token_type")
    merges = [tuple(merge.split(" ", 1)) for merge in field("merges")]
    core = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    whole = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    digits = [pre_tokenizers.Digits(individual_digits=True)] if DIGITS_ALONE[pre] else []
    core.pre_tokenizer = pre_tokenizers.Sequence([*digits, *whole])
    core.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types, strict=True):
        if kind in (CONTROL, USER_DEFINED):
            core.add_tokens([AddedToken(token, special=kind == CONTROL, normalized=False)])
    core.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    config |= {name: tokens[number] for name, key in NAMED.items() if (number := field(key)) is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    template = value_of("tokenizer.chat_template")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
