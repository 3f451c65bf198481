"""What is exported computes what was trained, in transformers' own implementation."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from serving.nano import data, deepseek, qwen2, tokenizer
from serving.nano.export import export

PROMPT = tokenizer.prompt("What is 4821 + 379?")


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return tokenizer.build(data.corpus())


@pytest.mark.parametrize("name", ["deepseek", "qwen2"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_transformers_computes_the_same_logits(name: str, tok: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = (
        deepseek.DeepSeek(deepseek.Shape()) if name == "deepseek" else qwen2.Qwen2(qwen2.Shape())
    )
    with torch.no_grad():
        for weight in model.parameters():
            # Outputs of blocks and biases start at zero: give them values, or they'd not be seen.
            weight.add_(0.05 * torch.randn_like(weight))
    if isinstance(model, deepseek.DeepSeek):
        mixtures = model.shape.num_hidden_layers - model.shape.first_k_dense_replace
        model.balance([torch.arange(8.0)] * mixtures, rate=0.05)
    export(model, tok, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = torch.tensor([tok.encode(PROMPT).ids])
    with torch.no_grad():
        own = torch.nn.functional.linear(model(ids)[0], model.head)
        assert torch.allclose(own, theirs(ids).logits, atol=1e-4)


def test_the_config_says_what_the_engine_needs(tok: Tokenizer, tmp_path: Path) -> None:
    export(deepseek.DeepSeek(deepseek.Shape()), tok, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["topk_method"] == "noaux_tc"
    assert config["scoring_func"] == "sigmoid"
    assert config["moe_layer_freq"] == 1
    assert config["num_nextn_predict_layers"] == 0
    assert config["rope_scaling"]["rope_type"] == "yarn"
    assert config["max_position_embeddings"] >= 4096


def test_the_student_fits_k_quants() -> None:
    assert qwen2.Shape().hidden_size % 256 == 0
    assert qwen2.Shape().intermediate_size % 256 == 0
