"""What a value of config.json may be: types are exact, bounds belong to what is allowed, and each rule reads as one."""

from __future__ import annotations

from typing import Any

import pytest

from engine.models.config_fields import (
    ALIASES,
    FIELDS,
    QWEN3_HEAD,
    REQUIRED,
    SCORED,
    TRUTH,
    Choice,
    Number,
    Rule,
    Whole,
    computed,
    family_of,
    head_width,
    value_of,
)


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (Whole(1, 3), [1, 3], [0, 4, 2.0, True, "2", None]),
        (Number(0, 1), [0, 1, 0.5], [-0.1, 1.1, True, "0", float("nan"), float("inf")]),
        (Number(0, 1, open=True), [1e-9, 1], [0, 0.0]),
        (Choice(("a", 1)), ["a", 1], ["b", 1.0, True, ["a"]]),
        (TRUTH, [True, False], [0, 1, "true", None]),
    ],
    ids=str,
)
def test_a_rule_allows_its_type_within_its_bounds(rule: Rule, allowed: list[Any], refused: list[Any]) -> None:
    assert all(rule.allows(value) for value in allowed)
    assert not any(rule.allows(value) for value in refused)


def test_rules_complete_a_sentence() -> None:
    assert str(Whole(1, 3)) == "a whole number from 1 to 3"
    assert str(Number(0, 1)) == "a number from 0 to 1"
    assert str(Number(0, 1, open=True)) == "a number above 0 and at most 1"
    assert str(TRUTH) == "one of: false, true"


@pytest.mark.parametrize("name", SCORED)
def test_every_class_has_its_fields(name: str) -> None:
    assert set(REQUIRED[family_of(name)]) <= set(FIELDS[family_of(name)])


def test_either_name_of_a_field_is_read() -> None:
    for llama, gpt2 in ALIASES.items():
        assert value_of({llama: 3}, gpt2) == value_of({gpt2: 3}, llama) == 3
    assert value_of({"n_layer": None}, "num_hidden_layers") is None


def test_only_what_is_computed_is_handed_on() -> None:
    config = {"hidden_size": 8, "head_dim": None, "rope_theta": None, "pad_token_id": 3, "auto_map": {}}
    assert computed("LlamaForCausalLM", config) == {"hidden_size": 8, "head_dim": None}
    assert computed("GPT2LMHeadModel", {"n_embd": 8, "hidden_act": "silu"}) == {"n_embd": 8}


def test_the_width_of_a_head() -> None:
    config = {"hidden_size": 32, "num_attention_heads": 4}
    assert head_width("LlamaForCausalLM", config) == 8
    assert head_width("LlamaForCausalLM", {**config, "head_dim": 12}) == 12
    assert head_width("Qwen3ForCausalLM", config) == QWEN3_HEAD
    assert head_width("Qwen3ForCausalLM", {**config, "head_dim": None}) == 8
