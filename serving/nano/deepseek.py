"""DeepSeek-V3 at nano size, written for fast training on a CPU, and its export to the real layout.

Attention is multi-head latent attention (DeepSeek-V2 report, section 2.1): queries through a
low-rank bottleneck, keys and values through a shared latent vector, positions in a separate
rotary part. With 128 hidden and 512 latent dimensions the latent projection is an embedding of
the hidden space; it is fixed to a random orthonormal frame A (A^T A = 1), which makes its norm
that of the hidden vector and lets training work with the product of both projections. Export
multiplies them out again, so what is served is the full architecture.

Feed-forward: one dense layer, then mixture of experts with sigmoid scores, group-limited top-k and
the bias that balances load without an auxiliary loss (DeepSeek-V3 report, section 2.1.2). All
experts are computed and the unselected ones weighted by zero: at this size two large matrix
products are faster than routing.
"""

from __future__ import annotations

import math
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
    """Architecture numbers, named as in DeepSeek's config.json."""

    vocab_size: int = tokenizer.VOCABULARY
    hidden_size: int = 128
    num_hidden_layers: int = 4
    first_k_dense_replace: int = 1
    num_attention_heads: int = 4
    q_lora_rank: int = 64
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    intermediate_size: int = 256
    moe_intermediate_size: int = 64
    n_routed_experts: int = 8
    n_shared_experts: int = 1
    num_experts_per_tok: int = 2
    n_group: int = 2
    topk_group: int = 1
    routed_scaling_factor: float = 2.5
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    yarn_factor: float = 4.0
    original_max_position_embeddings: int = 1024

    @property
    def max_position_embeddings(self) -> int:
        """Context length in tokens."""
        return int(self.yarn_factor * self.original_max_position_embeddings)

    @property
    def attention_scale(self) -> float:
        """1/sqrt(d) times YaRN's temperature squared (mscale = mscale_all_dim = 1)."""
        temperature = 0.1 * math.log(self.yarn_factor) + 1.0
        return float((self.qk_nope_head_dim + self.qk_rope_head_dim) ** -0.5 * temperature**2)


def yarn_frequencies(shape: Shape) -> Tensor:
    """Rotary frequencies [rope/2], interpolated below YaRN's band and kept above it.

    YaRN (arXiv 2309.00071), section 3.2, with DeepSeek's beta_fast 32 and beta_slow 1.
    """
    d, base = shape.qk_rope_head_dim, shape.rope_theta

    def dimension(rotations: float) -> float:
        wave = shape.original_max_position_embeddings / (rotations * 2 * math.pi)
        return d * math.log(wave) / (2 * math.log(base))

    low, high = max(math.floor(dimension(32)), 0), min(math.ceil(dimension(1)), d - 1)
    plain = 1.0 / base ** (torch.arange(0, d, 2).float() / d)
    ramp = ((torch.arange(d // 2).float() - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain / shape.yarn_factor * ramp + plain * (1 - ramp)


class Attention(nn.Module):
    """Multi-head latent attention with the two key-value projections multiplied into one."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        heads = s.num_attention_heads
        self.q_a = matrix(s.q_lora_rank, s.hidden_size)
        self.q_norm = Norm(s.q_lora_rank, s.rms_norm_eps)
        self.q_b = matrix(heads * (s.qk_nope_head_dim + s.qk_rope_head_dim), s.q_lora_rank)
        self.k_rope = matrix(s.qk_rope_head_dim, s.hidden_size)
        self.kv = matrix(heads * (s.qk_nope_head_dim + s.v_head_dim), s.hidden_size)
        self.o = matrix(s.hidden_size, heads * s.v_head_dim, zero=True)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[B, S, hidden] -> [B, S, hidden], causal."""
        s, (b, t, _) = self.s, x.shape
        q = F.linear(self.q_norm(F.linear(x, self.q_a)), self.q_b)
        q = q.view(b, t, s.num_attention_heads, -1).transpose(1, 2)
        q_nope, q_rope = torch.split(q, [s.qk_nope_head_dim, s.qk_rope_head_dim], dim=-1)
        k_rope = rotate(F.linear(x, self.k_rope), cos, sin).unsqueeze(1)
        # The latent's norm: |A x| = |x|, so only the mean over 512 instead of 128 differs.
        latent = x * torch.rsqrt(x.square().sum(-1, keepdim=True) / s.kv_lora_rank + s.rms_norm_eps)
        kv = F.linear(latent, self.kv).view(b, t, s.num_attention_heads, -1).transpose(1, 2)
        k_nope, v = torch.split(kv, [s.qk_nope_head_dim, s.v_head_dim], dim=-1)
        q = torch.cat((q_nope, rotate(q_rope, cos, sin)), dim=-1)
        k = torch.cat((k_nope, k_rope.expand(-1, s.num_attention_heads, -1, -1)), dim=-1)
        # The fused kernel wants equal sizes of keys and values; the padding costs less than the
        # scores' matrix would.
        padded = F.pad(v, (0, q.shape[-1] - s.v_head_dim))
        out = F.scaled_dot_product_attention(q, k, padded, is_causal=True, scale=s.attention_scale)[
            ..., : s.v_head_dim
        ]
        return F.linear(out.transpose(1, 2).reshape(b, t, -1), self.o)


class Experts(nn.Module):
    """Routed experts and the shared one, whose weights stand side by side in two matrices."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        width = (s.n_routed_experts + s.n_shared_experts) * s.moe_intermediate_size
        self.router = matrix(s.n_routed_experts, s.hidden_size)
        self.gate = matrix(width, s.hidden_size)
        self.up = matrix(width, s.hidden_size)
        self.down = matrix(s.hidden_size, width, zero=True)
        self.bias: Tensor
        self.register_buffer("bias", torch.zeros(s.n_routed_experts))

    def weights(self, x: Tensor) -> Tensor:
        """Gate of each routed expert, [..., experts]; zero for those not selected."""
        s = self.s
        scores = torch.sigmoid(F.linear(x, self.router))
        biased = scores + self.bias
        groups = biased.reshape(*biased.shape[:-1], s.n_group, -1)
        best = groups.topk(2, dim=-1).values.sum(-1).topk(s.topk_group, dim=-1).indices
        allowed = torch.zeros_like(groups[..., 0]).scatter(-1, best, 1.0).unsqueeze(-1)
        biased = torch.where(allowed > 0, groups, -torch.inf).flatten(-2)
        chosen = biased.topk(s.num_experts_per_tok, dim=-1).indices
        gates = torch.zeros_like(scores).scatter(-1, chosen, scores.gather(-1, chosen))
        return gates / (gates.sum(-1, keepdim=True) + 1e-20) * s.routed_scaling_factor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, hidden] -> the same, and the number of tokens each expert got, [experts]."""
        s = self.s
        gates = self.weights(x)
        load = (gates.detach() > 0).float().sum((0, 1))
        gates = torch.cat((gates, torch.ones_like(gates[..., : s.n_shared_experts])), dim=-1)
        inner = F.silu(F.linear(x, self.gate)) * F.linear(x, self.up)
        split = inner.reshape(*gates.shape, s.moe_intermediate_size)
        inner = (split * gates.unsqueeze(-1)).flatten(-2)
        return F.linear(inner, self.down), load


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, s: Shape, index: int) -> None:
        super().__init__()
        self.input_norm = Norm(s.hidden_size, s.rms_norm_eps)
        self.attention = Attention(s)
        self.post_norm = Norm(s.hidden_size, s.rms_norm_eps)
        self.mlp = (
            Dense(s.hidden_size, s.intermediate_size)
            if index < s.first_k_dense_replace
            else Experts(s)
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, hidden] -> the same, and the experts' load."""
        x = x + self.attention(self.input_norm(x), cos, sin)
        out, load = self.mlp(self.post_norm(x))
        return x + out, load


class DeepSeek(nn.Module):
    """The whole model, up to the normed hidden states; `head` gives the logits."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Parameter(torch.randn(shape.vocab_size, shape.hidden_size) * 0.5)
        self.layers = nn.ModuleList(Layer(shape, i) for i in range(shape.num_hidden_layers))
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.head = matrix(shape.vocab_size, shape.hidden_size, zero=True)
        self.frequencies: Tensor
        self.register_buffer("frequencies", yarn_frequencies(shape), persistent=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, S] ids -> hidden [B, S, hidden] and the load of each mixture layer."""
        cos, sin = angles(tokens.shape[1], self.frequencies)
        x, loads = F.embedding(tokens, self.embed), []
        for layer in self.layers:
            x, load = layer(x, cos, sin)
            if load.numel():
                loads.append(load)
        return self.norm(x), loads

    @torch.no_grad()
    def balance(self, loads: list[Tensor], rate: float) -> None:
        """Moves each expert's bias towards an even load (V3 report, section 2.1.2)."""
        experts = [layer.mlp for layer in self.layers if isinstance(layer.mlp, Experts)]
        for expert, load in zip(experts, loads, strict=True):
            expert.bias += rate * torch.sign(load.mean() - load)


def config(shape: Shape, token_ids: dict[str, int]) -> dict[str, Any]:
    """config.json as both transformers and vLLM read it."""
    return {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "first_k_dense_replace": shape.first_k_dense_replace,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_attention_heads,
        "q_lora_rank": shape.q_lora_rank,
        "kv_lora_rank": shape.kv_lora_rank,
        "qk_nope_head_dim": shape.qk_nope_head_dim,
        "qk_rope_head_dim": shape.qk_rope_head_dim,
        "v_head_dim": shape.v_head_dim,
        "intermediate_size": shape.intermediate_size,
        "moe_intermediate_size": shape.moe_intermediate_size,
        "n_routed_experts": shape.n_routed_experts,
        "n_shared_experts": shape.n_shared_experts,
        "num_experts_per_tok": shape.num_experts_per_tok,
        "n_group": shape.n_group,
        "topk_group": shape.topk_group,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "routed_scaling_factor": shape.routed_scaling_factor,
        "moe_layer_freq": 1,
        "num_nextn_predict_layers": 0,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rms_norm_eps": shape.rms_norm_eps,
        "max_position_embeddings": shape.max_position_embeddings,
        "rope_theta": shape.rope_theta,
        "rope_scaling": {
            "type": "yarn",
            "rope_type": "yarn",
            "rope_theta": shape.rope_theta,
            "factor": shape.yarn_factor,
            "original_max_position_embeddings": shape.original_max_position_embeddings,
            "beta_fast": 32,
            "beta_slow": 1,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "initializer_range": 0.02,
        **token_ids,
    }


def export(model: DeepSeek) -> dict[str, Tensor]:
    """The weights under DeepSeek's names, in DeepSeek's layout."""
    s = model.shape
    heads, nope, rope = s.num_attention_heads, s.qk_nope_head_dim, s.qk_rope_head_dim
    # Training rotates (i, i + d/2); the published layout interleaves the pairs.
    pairs = torch.arange(rope).view(2, -1).T.flatten()
    out: dict[str, Tensor] = {
        "model.embed_tokens.weight": model.embed,
        "model.norm.weight": model.norm.weight,
        "lm_head.weight": model.head,
    }
    for i, layer in enumerate(cast("Iterable[Layer]", model.layers)):
        prefix, attention = f"model.layers.{i}.", layer.attention
        generator = torch.Generator().manual_seed(i)
        frame = torch.linalg.qr(
            torch.randn(s.kv_lora_rank, s.hidden_size, generator=generator, dtype=torch.float64)
        ).Q
        q_b = attention.q_b.view(heads, nope + rope, -1)
        q_b = torch.cat((q_b[:, :nope], q_b[:, nope:][:, pairs]), dim=1).flatten(0, 1)
        out[prefix + "input_layernorm.weight"] = layer.input_norm.weight
        out[prefix + "post_attention_layernorm.weight"] = layer.post_norm.weight
        out[prefix + "self_attn.q_a_proj.weight"] = attention.q_a
        out[prefix + "self_attn.q_a_layernorm.weight"] = attention.q_norm.weight
        out[prefix + "self_attn.q_b_proj.weight"] = q_b
        out[prefix + "self_attn.kv_a_proj_with_mqa.weight"] = torch.cat(
            (frame.float(), attention.k_rope[pairs])
        )
        out[prefix + "self_attn.kv_a_layernorm.weight"] = torch.ones(s.kv_lora_rank)
        out[prefix + "self_attn.kv_b_proj.weight"] = (attention.kv.double() @ frame.T).float()
        out[prefix + "self_attn.o_proj.weight"] = attention.o
        out |= {prefix + "mlp." + name: value for name, value in _export_mlp(layer.mlp)}
    return {name: value.detach().clone().contiguous() for name, value in out.items()}


def _export_mlp(mlp: Dense | Experts) -> list[tuple[str, Tensor]]:
    if isinstance(mlp, Dense):
        return mlp.named()
    s = mlp.s
    out = [("gate.weight", mlp.router), ("gate.e_score_correction_bias", mlp.bias)]
    for e in range(s.n_routed_experts + s.n_shared_experts):
        name = f"experts.{e}" if e < s.n_routed_experts else "shared_experts"
        rows = slice(e * s.moe_intermediate_size, (e + 1) * s.moe_intermediate_size)
        out += [
            (f"{name}.gate_proj.weight", mlp.gate[rows]),
            (f"{name}.up_proj.weight", mlp.up[rows]),
            (f"{name}.down_proj.weight", mlp.down[:, rows]),
        ]
    return out
