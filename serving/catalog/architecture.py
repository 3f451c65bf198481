"""Architecture numbers: what a model's size, speed and memory follow from.

Field names are those of the checkpoints' own config.json, so that the two can be compared.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from serving.documents import Strict

Natural = Annotated[int, Field(ge=0)]


class _Transformer(Strict):
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool


class Yarn(Strict):
    """YaRN rope scaling: positions grow from `original_max_position_embeddings` by `factor`."""

    factor: PositiveInt
    original_max_position_embeddings: PositiveInt


class DeepseekV3(_Transformer):
    """Multi-head latent attention and a mixture of experts; the 671B models and r1-nano."""

    kind: Literal["deepseek_v3"]
    q_lora_rank: PositiveInt
    kv_lora_rank: PositiveInt
    qk_nope_head_dim: PositiveInt
    qk_rope_head_dim: PositiveInt
    v_head_dim: PositiveInt
    first_k_dense_replace: Natural
    moe_intermediate_size: PositiveInt
    n_routed_experts: PositiveInt
    n_shared_experts: Natural
    num_experts_per_tok: PositiveInt
    n_group: PositiveInt
    topk_group: PositiveInt
    num_nextn_predict_layers: Natural
    rope_scaling: Yarn

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.first_k_dense_replace > self.num_hidden_layers:
            raise ValueError("first_k_dense_replace must not exceed num_hidden_layers")
        if self.n_routed_experts % self.n_group:
            raise ValueError("n_routed_experts must be a multiple of n_group")
        if self.topk_group > self.n_group:
            raise ValueError("topk_group must not exceed n_group")
        if self.num_experts_per_tok > self.n_routed_experts // self.n_group * self.topk_group:
            raise ValueError("num_experts_per_tok must fit into the topk_group chosen groups")
        yarn = self.rope_scaling
        if yarn.factor * yarn.original_max_position_embeddings != self.max_position_embeddings:
            raise ValueError(
                "max_position_embeddings must be rope_scaling.factor × "
                "rope_scaling.original_max_position_embeddings"
            )
        return self


class _GroupedQuery(_Transformer):
    num_key_value_heads: PositiveInt
    head_dim: PositiveInt

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        return self


class Qwen2(_GroupedQuery):
    """Dense, grouped-query attention with biases on q, k and v; the Qwen distills and theirs."""

    kind: Literal["qwen2"]


class Llama(_GroupedQuery):
    """Dense, grouped-query attention without biases; the Llama distills."""

    kind: Literal["llama"]


Architecture = Annotated[DeepseekV3 | Qwen2 | Llama, Field(discriminator="kind")]
