"""What must hold for the builds of any model of these architectures."""

from hypothesis import given
from hypothesis import strategies as st

from serving.catalog import Build, Catalog, DeepseekV3, Llama, Qwen2
from serving.catalog.arithmetic import mtp_parameters, parameters
from serving.catalog.formats import FACTS, Format, is_gguf
from serving.catalog.sizes import tensor_bytes

Architecture = DeepseekV3 | Qwen2 | Llama

BLOCK = 256
REAL = [model.architecture for model in Catalog.load() if model.weights.path is None]
LADDER: tuple[Format, ...] = (
    "gguf_q4_k_m",
    "gguf_q5_k_m",
    "gguf_q8_0",
    "bfloat16",
    "float32",
)


@st.composite
def dense(draw: st.DrawFn) -> Architecture:
    """A dense model whose sizes are whole super-blocks, as all real ones are."""
    keys = draw(st.sampled_from([2, 4, 8]))
    # The head is a small part, as in every model worth quantising.
    numbers = {
        "hidden_size": BLOCK * draw(st.integers(2, 16)),
        "intermediate_size": BLOCK * draw(st.integers(8, 64)),
        "num_hidden_layers": draw(st.integers(8, 96)),
        "num_attention_heads": keys * draw(st.sampled_from([2, 4, 8])),
        "num_key_value_heads": keys,
        "head_dim": 128,
        "vocab_size": draw(st.integers(1_000, 32_000)),
        "max_position_embeddings": 4096,
        "tie_word_embeddings": draw(st.booleans()),
    }
    if draw(st.booleans()):
        return Qwen2.model_validate({"kind": "qwen2", **numbers})
    return Llama.model_validate({"kind": "llama", **numbers})


def build(name: Format, **given: object) -> Build:
    """A build in a format, without a meaning beyond its bytes."""
    engines = ("llamacpp",) if is_gguf(name) else ("sglang",)
    return Build.model_validate(
        {"id": "x", "format": name, "engines": engines, "hub": "a/b", "source": "made up", **given}
    )


anything = st.one_of(st.sampled_from(REAL), dense())


@given(anything)
def test_fewer_bits_never_weigh_more(architecture: Architecture) -> None:
    sizes = [tensor_bytes(architecture, build(name)).total for name in LADDER]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)


@given(anything, st.sampled_from(sorted(FACTS)))
def test_a_build_weighs_between_four_and_thirty_two_bits(
    architecture: Architecture, name: Format
) -> None:
    total = tensor_bytes(architecture, build(name)).total
    count = parameters(architecture).total
    assert count // 2 < total <= 4.001 * count


@given(anything, st.sampled_from(["bfloat16", "quantised"]))
def test_bfloat16_is_two_bytes_a_parameter(architecture: Architecture, mtp: str) -> None:
    found = tensor_bytes(architecture, build("bfloat16", mtp=mtp))
    count = parameters(architecture)
    # But the routers' biases, which are float32.
    biases = 0
    if isinstance(architecture, DeepseekV3):
        sparse = architecture.num_hidden_layers - architecture.first_k_dense_replace
        biases = architecture.n_routed_experts * sparse
    assert found.without_mtp == 2 * count.total + 2 * biases
    for place in ("embedding", "head", "attention", "dense", "routed", "norms"):
        assert getattr(found, place) == 2 * getattr(count, place)
    if isinstance(architecture, DeepseekV3):
        assert found.mtp == 2 * mtp_parameters(architecture) + 2 * architecture.n_routed_experts


@given(anything, st.sampled_from(sorted(FACTS)), st.sampled_from(["attention", "dense", "routed"]))
def test_leaving_a_class_out_touches_no_other(
    architecture: Architecture, name: Format, left: str
) -> None:
    if is_gguf(name) or name == "float32":
        return
    rest = tuple(place for place in ("attention", "dense", "routed") if place != left)
    whole = tensor_bytes(architecture, build(name))
    part = tensor_bytes(architecture, build(name, quantised=rest))
    assert getattr(part, left) >= getattr(whole, left)
    assert part.total - whole.total == getattr(part, left) - getattr(whole, left)


@given(dense(), st.sampled_from([32, 64, 128]))
def test_smaller_groups_cost_more_scales(architecture: Architecture, group: int) -> None:
    fine = tensor_bytes(architecture, build("w4a16_awq", group=group)).total
    coarse = tensor_bytes(architecture, build("w4a16_awq", group=2 * group)).total
    assert fine > coarse
