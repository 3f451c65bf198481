"""Sizes that follow from architecture numbers: parameters, KV cache, bytes of weights.

The formulas count the tensors of the reference implementations, transformers'
`modeling_deepseek_v3.py`, `modeling_qwen2.py` and `modeling_llama.py`, and were checked against the
published figures (tests/unit/serving/catalog/test_figures.py). All functions are pure.
"""

from dataclasses import dataclass

from serving.catalog.architecture import DeepseekV3, Llama, Qwen2

AnyArchitecture = DeepseekV3 | Qwen2 | Llama

# DeepSeek-V3 technical report (arXiv 2412.19437), section 3.3: one float32 scale for each block of
# 128 × 128 weights.
FP8_BLOCK = 128
FP8_SCALE_BYTES = 4
BFLOAT16_BYTES = 2
# The router's correction bias is kept in float32.
BIAS_BYTES = 4


@dataclass(frozen=True, slots=True)
class Parameters:
    """Numbers of parameters of a model without its multi-token-prediction layers."""

    embedding: int
    """The input embedding; a token reads one row of it."""
    head: int
    """The output projection; 0 where it is the embedding itself."""
    attention: int
    """All attention projections, their norms and biases."""
    dense: int
    """Feed-forward layers that every token passes, shared experts included."""
    router: int
    """Expert gates with their correction biases."""
    routed: int
    """All routed experts of all layers."""
    norms: int
    """Layer norms outside attention and the final norm."""

    @property
    def total(self) -> int:
        """All parameters."""
        return (
            self.embedding
            + self.head
            + self.attention
            + self.dense
            + self.router
            + self.routed
            + self.norms
        )


def parameters(architecture: AnyArchitecture) -> Parameters:
    """Count the parameters of a model by their place."""
    a = architecture
    matrix = a.vocab_size * a.hidden_size
    layers = a.num_hidden_layers
    dense_layers = a.first_k_dense_replace if isinstance(a, DeepseekV3) else layers
    dense = dense_layers * _feed_forward(a.hidden_size, a.intermediate_size)
    router = routed = 0
    if isinstance(a, DeepseekV3):
        expert = _feed_forward(a.hidden_size, a.moe_intermediate_size)
        sparse_layers = layers - dense_layers
        dense += sparse_layers * a.n_shared_experts * expert
        routed = sparse_layers * a.n_routed_experts * expert
        router = sparse_layers * _router(a)
    return Parameters(
        embedding=matrix,
        head=0 if a.tie_word_embeddings else matrix,
        attention=layers * _attention(a),
        dense=dense,
        router=router,
        routed=routed,
        norms=(2 * layers + 1) * a.hidden_size,
    )


def active_parameters(architecture: AnyArchitecture) -> int:
    """Parameters that one token is multiplied with.

    Of the routed experts the chosen ones, of the two vocabulary matrices the output projection
    only: a token reads a single row of the embedding. This is the count behind the 36.6 billion of
    DeepSeek-R1; with the embedding it is 37.6 billion, without both 35.7 billion.
    """
    count = parameters(architecture)
    chosen = 0
    if isinstance(architecture, DeepseekV3):
        chosen = count.routed * architecture.num_experts_per_tok // architecture.n_routed_experts
    output = count.head or count.embedding
    return count.attention + count.dense + count.router + count.norms + chosen + output


def mtp_parameters(architecture: AnyArchitecture) -> int:
    """Parameters of the multi-token-prediction layers as they lie in the checkpoint.

    Each is a mixture-of-experts layer with two more norms, a projection of twice the hidden size
    to it, the norm before its head, and its own copies of embedding and head
    (arXiv 2412.19437, section 2.2).
    """
    if not isinstance(architecture, DeepseekV3):
        return 0
    a = architecture
    experts = a.n_routed_experts + a.n_shared_experts
    layer = (
        _attention(a)
        + experts * _feed_forward(a.hidden_size, a.moe_intermediate_size)
        + _router(a)
        + 5 * a.hidden_size
        + 2 * a.hidden_size * a.hidden_size
        + 2 * a.vocab_size * a.hidden_size
    )
    return a.num_nextn_predict_layers * layer


def kv_elements_per_token(architecture: AnyArchitecture) -> int:
    """Numbers that one token leaves in the KV cache, over all layers, without MTP.

    Latent attention stores one compressed vector and one rotary key a layer, for all heads
    together (arXiv 2405.04434, section 2.1); grouped-query attention a key and a value for each
    key-value head.
    """
    return architecture.num_hidden_layers * _kv_elements_per_layer(architecture)


def kv_bytes_per_token(
    architecture: AnyArchitecture, *, element_bytes: int = BFLOAT16_BYTES, mtp: bool = False
) -> int:
    """Bytes that one token occupies in the KV cache of a whole model.

    Args:
        architecture: the model's numbers.
        element_bytes: bytes a number: 1 for fp8, 2 for bfloat16, 4 for float32.
        mtp: count the multi-token-prediction layers, which have a KV cache of their own.
    """
    layers = architecture.num_hidden_layers
    if mtp and isinstance(architecture, DeepseekV3):
        layers += architecture.num_nextn_predict_layers
    return layers * _kv_elements_per_layer(architecture) * element_bytes


def fp8_block_bytes(architecture: DeepseekV3, *, mtp: bool) -> int:
    """Bytes of the tensors of a checkpoint in DeepSeek's block-wise FP8.

    The linear layers of attention, feed-forward and experts are FP8 with their scales; embedding,
    head, norms, router and the MTP projection stay bfloat16, the router's bias is float32.
    """
    a = architecture
    layers = a.num_hidden_layers
    sparse_layers = layers - a.first_k_dense_replace
    extra = a.num_nextn_predict_layers if mtp else 0
    expert = _fp8_bytes(_feed_forward_shapes(a.hidden_size, a.moe_intermediate_size))
    experts = (a.n_routed_experts + a.n_shared_experts) * expert
    dense = _fp8_bytes(_feed_forward_shapes(a.hidden_size, a.intermediate_size))
    router = a.n_routed_experts * (a.hidden_size * BFLOAT16_BYTES + BIAS_BYTES)
    narrow = (
        (layers + extra) * _fp8_bytes(_linear_shapes(a))
        + a.first_k_dense_replace * dense
        + (sparse_layers + extra) * (experts + router)
    )
    vocabulary = 2 * a.vocab_size * a.hidden_size
    latent_norms = a.q_lora_rank + a.kv_lora_rank
    wide = (
        vocabulary
        + layers * (2 * a.hidden_size + latent_norms)
        + a.hidden_size
        + extra * (vocabulary + 2 * a.hidden_size**2 + 5 * a.hidden_size + latent_norms)
    )
    return narrow + wide * BFLOAT16_BYTES


def routed_expert_bytes(architecture: DeepseekV3) -> int:
    """Bytes in FP8 of one routed expert index over all its layers, without MTP and scales."""
    sparse_layers = architecture.num_hidden_layers - architecture.first_k_dense_replace
    return sparse_layers * _feed_forward(
        architecture.hidden_size, architecture.moe_intermediate_size
    )


_Shapes = list[tuple[int, int]]


def _linear_shapes(a: DeepseekV3) -> _Shapes:
    heads = a.num_attention_heads
    return [
        (a.q_lora_rank, a.hidden_size),
        (heads * (a.qk_nope_head_dim + a.qk_rope_head_dim), a.q_lora_rank),
        (a.kv_lora_rank + a.qk_rope_head_dim, a.hidden_size),
        (heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank),
        (a.hidden_size, heads * a.v_head_dim),
    ]


def _feed_forward_shapes(hidden: int, intermediate: int) -> _Shapes:
    return [(intermediate, hidden), (intermediate, hidden), (hidden, intermediate)]


def _fp8_bytes(shapes: _Shapes) -> int:
    blocks = sum(-(-rows // FP8_BLOCK) * -(-columns // FP8_BLOCK) for rows, columns in shapes)
    return sum(rows * columns for rows, columns in shapes) + blocks * FP8_SCALE_BYTES


def _feed_forward(hidden: int, intermediate: int) -> int:
    """Gate, up and down projection of a SwiGLU layer."""
    return 3 * hidden * intermediate


def _router(a: DeepseekV3) -> int:
    """The gate and the correction bias that balances the experts without an auxiliary loss."""
    return a.hidden_size * a.n_routed_experts + a.n_routed_experts


def _attention(architecture: AnyArchitecture) -> int:
    """Parameters of one attention layer."""
    a = architecture
    hidden, heads = a.hidden_size, a.num_attention_heads
    if isinstance(a, DeepseekV3):
        linear = sum(rows * columns for rows, columns in _linear_shapes(a))
        return linear + a.q_lora_rank + a.kv_lora_rank
    queries, keys = heads * a.head_dim, a.num_key_value_heads * a.head_dim
    biases = queries + 2 * keys if isinstance(a, Qwen2) else 0
    return 2 * hidden * queries + 2 * hidden * keys + biases


def _kv_elements_per_layer(architecture: AnyArchitecture) -> int:
    if isinstance(architecture, DeepseekV3):
        return architecture.kv_lora_rank + architecture.qk_rope_head_dim
    return 2 * architecture.num_key_value_heads * architecture.head_dim
