"""Training an adapter: what changes, what doesn't, and that it goes on where it was cut."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

from serving.nano import batches, data, tokenizer
from serving.nano.adapt import Recipe, hidden_states, train
from serving.nano.notations import NOTATIONS, Notation
from serving.nano.train import STUDENT, WEIGHTS

# peft asks transformers by a name that transformers will drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
SHIPPED = [WEIGHTS / f"{STUDENT}-{name}" for name in NOTATIONS]
RECIPE = Recipe(rank=2, steps=2, batch=2)


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return tokenizer.build(data.corpus())


def tiny() -> Any:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=tokenizer.VOCABULARY,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    lora = LoraConfig(r=RECIPE.rank, target_modules=list(RECIPE.modules), task_type="CAUSAL_LM")
    return get_peft_model(Qwen2ForCausalLM(config), lora)


def weights(model: Any, *, adapter: bool) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().clone()
        for name, value in model.named_parameters()
        if ("lora_" in name) == adapter
    }


def test_only_the_adapter_changes_and_a_cut_run_goes_on(tok: Tokenizer, tmp_path: Path) -> None:
    notation: Notation = NOTATIONS["hex"]
    model = tiny()
    base, adapter = weights(model, adapter=False), weights(model, adapter=True)
    train(model, notation, RECIPE, tok, tmp_path)
    assert all(torch.equal(base[name], now) for name, now in weights(model, adapter=False).items())
    trained = weights(model, adapter=True)
    assert any(not torch.equal(adapter[name], now) for name, now in trained.items())
    again = tiny()
    train(again, notation, RECIPE, tok, tmp_path)
    left = weights(again, adapter=True)
    assert all(torch.equal(trained[name], now) for name, now in left.items()), "nothing was left"
    train(again, notation, replace(RECIPE, steps=3), tok, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3


def test_the_hidden_states_give_the_models_own_logits(tok: Tokenizer) -> None:
    model = tiny()
    batch = batches.collate(tok, [NOTATIONS["money"].draw(random.Random(1))])
    hidden, _ = hidden_states(model)(batch.tokens)
    logits = hidden @ model.get_output_embeddings().weight.T
    assert torch.allclose(logits, model(batch.tokens).logits, atol=1e-5)


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=10)
    scales = [recipe.scale(step) for step in range(100)]
    assert scales[0] < 0.2
    assert scales[40] == 1.0
    assert scales[50:] == sorted(scales[50:], reverse=True)
    assert scales[-1] < 0.03


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_what_ships_is_small_and_names_its_base(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == STUDENT
    assert config["r"] <= 16
    assert (folder / "adapter_model.safetensors").stat().st_size < 1_000_000
    assert (folder / "README.md").is_file()
