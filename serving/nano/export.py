"""Writes a trained nano model as a folder that transformers and vLLM load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from serving.nano import deepseek, qwen2
from serving.nano.tokenizer import BOS, CHAT_TEMPLATE, EOS, PAD

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer


def export(model: deepseek.DeepSeek | qwen2.Qwen2, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights, config, tokenizer and sampling defaults, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ids: dict[str, Any] = {
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(EOS),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }
    if isinstance(model, deepseek.DeepSeek):
        config, weights = deepseek.config(model.shape, ids), deepseek.export(model)
    else:
        config, weights = qwen2.config(model.shape, ids), qwen2.export(model)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write(folder / "config.json", config)
    _write(
        folder / "generation_config.json",
        {**ids, "do_sample": True, "temperature": 0.6, "top_p": 0.95},
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": model.shape.max_position_embeddings,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def _write(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
