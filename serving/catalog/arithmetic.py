"""Sizes that follow from architecture numbers: parameters and KV cache.

The formulas count the tensors of the reference implementations, transformers'
`modeling_deepseek_v3.py`, `modeling_qwen2.py` and `modeling_llama.py`, and were checked against the
published figures (tests/unit/serving/catalog/test_figures.py). All functions are pure.
"""

from dataclasses import dataclass

from serving.catalog.architecture import DeepseekV3, Llama, Qwen2

AnyArchitecture = DeepseekV3 | Qwen2 | Llama

BFLOAT16_BYTES = 2


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


Shapes = dict[str, tuple[int, int]]
"""Rows and columns of matrices by a short name."""


def attention_shapes(architecture: AnyArchitecture) -> Shapes:
    """The projections of one attention layer: rows are outputs, columns inputs."""
    a = architecture
    heads = a.num_attention_heads
    if isinstance(a, DeepseekV3):
        return {
            "q_a": (a.q_lora_rank, a.hidden_size),
            "q_b": (heads * (a.qk_nope_head_dim + a.qk_rope_head_dim), a.q_lora_rank),
            "kv_a": (a.kv_lora_rank + a.qk_rope_head_dim, a.hidden_size),
            "kv_b": (heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank),
            "o": (a.hidden_size, heads * a.v_head_dim),
        }
    queries, keys = heads * a.head_dim, a.num_key_value_heads * a.head_dim
    return {
        "q": (queries, a.hidden_size),
        "k": (keys, a.hidden_size),
        "v": (keys, a.hidden_size),
        "o": (a.hidden_size, queries),
    }


def feed_forward_shapes(hidden: int, intermediate: int) -> Shapes:
    """The projections of one SwiGLU layer, or of one expert."""
    return {
        "gate": (intermediate, hidden),
        "up": (intermediate, hidden),
        "down": (hidden, intermediate),
    }


def attention_vectors(architecture: AnyArchitecture) -> int:
    """Parameters of one attention layer that are no matrices: norms or biases."""
    a = architecture
    if isinstance(a, DeepseekV3):
        return a.q_lora_rank + a.kv_lora_rank
    return sum(attention_shapes(a)[name][0] for name in "qkv") if isinstance(a, Qwen2) else 0


def _feed_forward(hidden: int, intermediate: int) -> int:
    """Gate, up and down projection of a SwiGLU layer."""
    return _elements(feed_forward_shapes(hidden, intermediate))


def _router(a: DeepseekV3) -> int:
    """The gate and the correction bias that balances the experts without an auxiliary loss."""
    return a.hidden_size * a.n_routed_experts + a.n_routed_experts


def _attention(architecture: AnyArchitecture) -> int:
    """Parameters of one attention layer."""
    return _elements(attention_shapes(architecture)) + attention_vectors(architecture)


def _elements(shapes: Shapes) -> int:
    return sum(rows * columns for rows, columns in shapes.values())


def _kv_elements_per_layer(architecture: AnyArchitecture) -> int:
    if isinstance(architecture, DeepseekV3):
        return architecture.kv_lora_rank + architecture.qk_rope_head_dim
    return 2 * architecture.num_key_value_heads * architecture.head_dim
