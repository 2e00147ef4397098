"""Small models on disk for tests that change what is in their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.training.word_tokenizer import build_tokenizer
from tests import tiny


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of every architecture, with as many tokens as its tokenizer has."""
    place, words = tmp_path_factory.mktemp("models"), len(build_tokenizer())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "VOCAB", words)
        patch.setitem(tiny.SHARED, "vocab_size", words)
        for architecture in tiny.ARCHITECTURES:
            tiny.hf_model(architecture).save_pretrained(place / architecture)
            build_tokenizer().save_pretrained(place / architecture)
    return place
