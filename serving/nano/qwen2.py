"""Qwen2 at nano size, the student's architecture, and its export.

Hidden and intermediate sizes are multiples of 256, the block size of llama.cpp's K-quants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serving.nano import tokenizer
from serving.nano.layers import Dense, Norm, angles, matrix, rotate

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Shape:
    """Architecture numbers, named as in Qwen2's config.json."""

    vocab_size: int = tokenizer.VOCABULARY
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    intermediate_size: int = 256
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0


class Attention(nn.Module):
    """Grouped-query attention with biases on queries, keys and values."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.sizes = [s.num_attention_heads * s.head_dim] + 2 * [s.num_key_value_heads * s.head_dim]
        self.qkv = matrix(sum(self.sizes), s.hidden_size)
        self.bias = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.o = matrix(s.hidden_size, self.sizes[0], zero=True)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[B, S, hidden] -> [B, S, hidden], causal."""
        b, t, _ = x.shape
        parts = torch.split(F.linear(x, self.qkv, self.bias), self.sizes, dim=-1)
        q, k, v = (part.view(b, t, -1, self.s.head_dim).transpose(1, 2) for part in parts)
        repeat = self.s.num_attention_heads // self.s.num_key_value_heads
        out = F.scaled_dot_product_attention(
            rotate(q, cos, sin),
            rotate(k, cos, sin).repeat_interleave(repeat, dim=1),
            v.repeat_interleave(repeat, dim=1),
            is_causal=True,
        )
        return F.linear(out.transpose(1, 2).reshape(b, t, -1), self.o)


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.input_norm = Norm(s.hidden_size, s.rms_norm_eps)
        self.attention = Attention(s)
        self.post_norm = Norm(s.hidden_size, s.rms_norm_eps)
        self.mlp = Dense(s.hidden_size, s.intermediate_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[B, S, hidden] -> [B, S, hidden]"""
        x = x + self.attention(self.input_norm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_norm(x))[0]
        return out


class Qwen2(nn.Module):
    """The whole model, up to the normed hidden states; the embedding is also the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Parameter(torch.randn(shape.vocab_size, shape.hidden_size) * 0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)
        half = torch.arange(0, shape.head_dim, 2).float() / shape.head_dim
        self.frequencies: Tensor
        self.register_buffer("frequencies", shape.rope_theta**-half, persistent=False)

    @property
    def head(self) -> Tensor:
        """Output weights [vocabulary, hidden]."""
        return self.embed

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, S] ids -> hidden [B, S, hidden]; no expert loads."""
        cos, sin = angles(tokens.shape[1], self.frequencies)
        x = F.embedding(tokens, self.embed)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x), []


def config(shape: Shape, token_ids: dict[str, int]) -> dict[str, Any]:
    """config.json as transformers, vLLM and llama.cpp's converter read it."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "intermediate_size": shape.intermediate_size,
        "max_position_embeddings": shape.max_position_embeddings,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope_theta,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "initializer_range": 0.02,
        **token_ids,
    }


def export(model: Qwen2) -> dict[str, Tensor]:
    """The weights under Qwen2's names."""
    out: dict[str, Tensor] = {
        "model.embed_tokens.weight": model.embed,
        "model.norm.weight": model.norm.weight,
    }
    for i, layer in enumerate(cast("Iterable[Layer]", model.layers)):
        prefix, attention = f"model.layers.{i}.", layer.attention
        out[prefix + "input_layernorm.weight"] = layer.input_norm.weight
        out[prefix + "post_attention_layernorm.weight"] = layer.post_norm.weight
        weights = torch.split(attention.qkv, attention.sizes)
        biases = torch.split(attention.bias, attention.sizes)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            out[f"{prefix}self_attn.{name}_proj.weight"] = weight
            out[f"{prefix}self_attn.{name}_proj.bias"] = bias
        out[prefix + "self_attn.o_proj.weight"] = attention.o
        out |= {f"{prefix}mlp.{name}": value for name, value in layer.mlp.named()}
    return {name: value.detach().clone().contiguous() for name, value in out.items()}
