"""Bytes of a build's weights, by the class of the tensors. Pure arithmetic.

Counted from the architecture and the format, tensor by tensor as the packers do, and compared with
published file sizes in tests/unit/serving/catalog/test_sizes.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from serving.catalog.architecture import DeepseekV3
from serving.catalog.arithmetic import (
    AnyArchitecture,
    attention_shapes,
    attention_vectors,
    feed_forward_shapes,
)
from serving.catalog.builds import Build, TensorClass
from serving.catalog.formats import (
    FACTS,
    Q5_K,
    Q6_K,
    Q8_0,
    Format,
    MatrixBytes,
    four_bits,
    is_gguf,
)

BIAS_BYTES = 4
"""The router's correction bias is kept in float32."""


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """Bytes of all tensors of a build by their place; the places are those of `Parameters`."""

    embedding: int
    head: int
    """0 where it is the embedding itself."""
    attention: int
    dense: int
    """Feed-forward layers that every token passes, shared experts included."""
    router: int
    routed: int
    """All routed experts of all layers; the largest part, and the only one that experts spread."""
    norms: int
    mtp: int
    """The multi-token-prediction layers with their own embedding and head; 0 without them."""
    mtp_routed: int
    """The routed experts among them, counted in `mtp` already."""

    @property
    def without_mtp(self) -> int:
        """All but the multi-token-prediction layers."""
        return (
            self.embedding
            + self.head
            + self.attention
            + self.dense
            + self.router
            + self.routed
            + self.norms
        )

    @property
    def total(self) -> int:
        """All that the files hold."""
        return self.without_mtp + self.mtp


@dataclass(frozen=True, slots=True)
class _Layer:
    """Bytes of one layer."""

    attention: int
    dense: int
    router: int
    routed: int
    norms: int

    @property
    def total(self) -> int:
        return self.attention + self.dense + self.router + self.routed + self.norms


_Matrix = Callable[[TensorClass, str, int], MatrixBytes]
"""How a matrix is packed, by class, name and number of its layer."""


# Pure, and asked for the same build at every step of a search.
@lru_cache(maxsize=512)
def tensor_bytes(architecture: AnyArchitecture, build: Build) -> TensorBytes:
    """Bytes of a build's tensors.

    Args:
        architecture: the model's numbers.
        build: one of its builds.
    """
    a = architecture
    plain = FACTS[build.format].plain_bytes
    matrix = _packing(a, build)
    layers = [_layer(a, index, matrix, plain) for index in range(a.num_hidden_layers)]
    embedding, head = _vocabulary(a, build.format)
    mtp = mtp_routed = 0
    if isinstance(a, DeepseekV3) and build.mtp != "absent":
        packed = matrix if build.mtp == "quantised" else _unpacked(plain)
        extra = _layer(a, a.num_hidden_layers, packed, plain)
        # Its own embedding and head, a projection of twice the hidden size, three more norms.
        own = 2 * a.vocab_size * a.hidden_size + 2 * a.hidden_size**2 + 3 * a.hidden_size
        mtp = a.num_nextn_predict_layers * (extra.total + own * plain)
        mtp_routed = a.num_nextn_predict_layers * extra.routed
    return TensorBytes(
        embedding=embedding,
        head=head,
        attention=sum(each.attention for each in layers),
        dense=sum(each.dense for each in layers),
        router=sum(each.router for each in layers),
        routed=sum(each.routed for each in layers),
        norms=sum(each.norms for each in layers) + a.hidden_size * plain,
        mtp=mtp,
        mtp_routed=mtp_routed,
    )


def _layer(a: AnyArchitecture, index: int, matrix: _Matrix, plain: int) -> _Layer:
    """One layer; the numbers of multi-token-prediction layers follow those of the others."""

    def bytes_of(place: TensorClass, shapes: dict[str, tuple[int, int]]) -> int:
        return sum(matrix(place, name, index)(*shape) for name, shape in shapes.items())

    attention = bytes_of("attention", attention_shapes(a)) + attention_vectors(a) * plain
    norms = 2 * a.hidden_size * plain
    if not isinstance(a, DeepseekV3) or index < a.first_k_dense_replace:
        dense = bytes_of("dense", feed_forward_shapes(a.hidden_size, a.intermediate_size))
        return _Layer(attention, dense, 0, 0, norms)
    expert = feed_forward_shapes(a.hidden_size, a.moe_intermediate_size)
    return _Layer(
        attention,
        dense=a.n_shared_experts * bytes_of("dense", expert),
        router=a.n_routed_experts * (a.hidden_size * plain + BIAS_BYTES),
        routed=a.n_routed_experts * bytes_of("routed", expert),
        norms=norms,
    )


def _packing(a: AnyArchitecture, build: Build) -> _Matrix:
    facts = FACTS[build.format]
    if is_gguf(build.format):
        return _gguf(a, build.format)
    packed = facts.matrix
    if build.group is not None:
        packed = four_bits(build.group, zero_points=build.format == "w4a16_awq")
    plain = FACTS["bfloat16"].matrix
    return lambda place, _name, _index: packed if place in build.quantised else plain


def _unpacked(plain: int) -> _Matrix:
    return lambda _place, _name, _index: lambda rows, columns: rows * columns * plain


def _gguf(a: AnyArchitecture, name: Format) -> _Matrix:
    """The types that llama.cpp's quantiser gives to the matrices (llama-quant.cpp).

    Q4_K_M and Q5_K_M give more bits to values and down projections of the first and the last
    eighth of the layers and of every third between. The 70B model, where eight heads share each
    value, keeps the other values at five bits at least.
    """
    layers = a.num_hidden_layers
    usual = FACTS[name].matrix
    values = Q5_K if layers == 80 and name == "gguf_q4_k_m" else usual

    def packing(_place: TensorClass, tensor: str, index: int) -> MatrixBytes:
        if name == "gguf_q8_0" or tensor not in {"v", "down"}:
            return usual
        eighth = layers // 8
        if index < eighth or index >= 7 * layers // 8 or (index - eighth) % 3 == 2:
            return Q6_K
        return values if tensor == "v" else usual

    return packing


def _vocabulary(a: AnyArchitecture, name: Format) -> tuple[int, int]:
    """Embedding and head. llama.cpp quantises both, the head with more bits; nobody else does."""
    shape = (a.vocab_size, a.hidden_size)
    embedding = FACTS["float32" if name == "float32" else "bfloat16"].matrix
    head = embedding
    if is_gguf(name):
        embedding = FACTS[name].matrix
        head = Q8_0 if name == "gguf_q8_0" else Q6_K
        if a.tie_word_embeddings:
            embedding = head
    return embedding(*shape), 0 if a.tie_word_embeddings else head(*shape)
