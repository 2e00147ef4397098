"""The embedded pair's word-level tokenizer: every word of every task is one token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.models.light_tokenizer import MASK
from engine.tasks.registry import TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, UNKNOWN = "<pad>", "<bos>", "<unk>"
SPECIALS = (PAD, BOS, UNKNOWN, MASK)


def vocabulary() -> dict[str, int]:
    """Token -> id: the special tokens, then the tasks' words in the order they name them."""
    words = dict.fromkeys(word for task in TASKS.values() for word in task.words())
    return {token: i for i, token in enumerate([*SPECIALS, *words])}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that splits at whitespace and begins every prompt with `<bos>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = vocabulary()
    core = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocab[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, unk_token=UNKNOWN, mask_token=MASK
    )
