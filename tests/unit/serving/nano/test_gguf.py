"""The GGUF files hold the weights and the tokenizer, each tensor stored as its type says."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from serving.nano import kquants
from serving.nano.export_gguf import WEIGHTS, tensor_kind, tensor_name, write
from serving.nano.tokenizer import CHAT_TEMPLATE

KINDS = {Kind.Q4_K: kquants.q4_k, Kind.Q5_K: kquants.q5_k, Kind.Q6_K: kquants.q6_k}
# Root mean square of what is lost, in shares of the weights' own: normally distributed ones.
LOST = {Kind.Q4_K: 0.08, Kind.Q5_K: 0.04, Kind.Q6_K: 0.02}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_k_quants_come_back_nearly_as_they_were(kind: Kind) -> None:
    weights = np.random.default_rng(0).standard_normal((8, 512)).astype(np.float32)
    stored = KINDS[kind](weights)
    assert stored.shape == gguf.quant_shape_to_byte_shape(weights.shape, kind)
    back = dequantize(stored, kind)
    lost = np.sqrt(np.mean((back - weights) ** 2)) / np.sqrt(np.mean(weights**2))
    assert lost < LOST[kind]


@given(
    arrays(
        np.float32,
        (1, 256),
        elements=st.floats(-100, 100, width=32) | st.sampled_from([0.0, 1.0, -1.0]),
    )
)
def test_no_weights_make_them_fail(weights: kquants.Floats) -> None:
    most = float(np.abs(weights).max())
    for kind, quantize in KINDS.items():
        back = dequantize(quantize(weights), kind)
        assert np.isfinite(back).all()
        assert float(np.abs(back - weights).max()) <= 0.2 * most + 1e-5


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    for kind in ("f32", "q4_k_m"):
        write(folder, kind)
    return folder


def test_full_precision_is_exact(files: Path) -> None:
    reader = gguf.GGUFReader(files / "r1-distill-nano-f32.gguf")
    held = {tensor.name: tensor.data for tensor in reader.tensors}
    weights = load_file(WEIGHTS / "model.safetensors")
    assert len(held) == len(weights)
    for name, weight in weights.items():
        assert np.array_equal(held[tensor_name(name)], weight), name


def test_the_tokenizer_is_the_models(files: Path) -> None:
    fields = gguf.GGUFReader(files / "r1-distill-nano-f32.gguf").fields
    tokenizer = json.loads((WEIGHTS / "tokenizer.json").read_text("utf-8"))
    ids = {**tokenizer["model"]["vocab"]}
    ids |= {each["content"]: each["id"] for each in tokenizer["added_tokens"]}
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert {text: ids[text] for text in tokens} == {text: i for i, text in enumerate(tokens)}
    types = fields["tokenizer.ggml.token_type"].contents()
    assert types[ids["</think>"]] == gguf.TokenType.USER_DEFINED
    assert types[ids["<｜User｜>"]] == gguf.TokenType.CONTROL
    assert fields["tokenizer.chat_template"].contents() == CHAT_TEMPLATE
    assert fields["general.architecture"].contents() == "qwen2"


def test_the_mixture_is_llama_cpps(files: Path) -> None:
    reader = gguf.GGUFReader(files / "r1-distill-nano-q4_k_m.gguf")
    kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    assert kinds["token_embd.weight"] == Kind.Q6_K
    assert [kinds[f"blk.{i}.ffn_down.weight"] for i in range(4)] == [
        Kind.Q4_K,
        Kind.Q4_K,
        Kind.Q6_K,
        Kind.Q6_K,
    ]
    assert kinds["blk.3.attn_q.weight"] == Kind.Q4_K
    assert kinds["blk.0.attn_q.bias"] == kinds["output_norm.weight"] == Kind.F32
    assert tensor_kind("blk.0.attn_q.weight", 2, "q5_k_m", 4) == Kind.Q5_K


def test_the_modelfile_names_its_file(files: Path) -> None:
    text = (files / "Modelfile.q4_k_m").read_text("utf-8")
    assert text.startswith("FROM ./r1-distill-nano-q4_k_m.gguf\n")
