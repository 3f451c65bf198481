"""Writes r1-distill-nano as GGUF, for Ollama and llama.cpp.

`python -m serving.nano.export_gguf OUT --type q4_k_m` makes `OUT/r1-distill-nano-q4_k_m.gguf` and
the Modelfile beside it, for `ollama create r1-distill-nano:q4_k_m -f OUT/Modelfile.q4_k_m`.
Needs the extra `gguf`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
from gguf import GGMLQuantizationType as Kind
from gguf import LlamaFileType
from safetensors.numpy import load_file

from serving.nano import kquants

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = "r1-distill-nano"
WEIGHTS = Path(__file__).parent / "weights" / MODEL
TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q5_k_m": LlamaFileType.MOSTLY_Q5_K_M,
    "q4_k_m": LlamaFileType.MOSTLY_Q4_K_M,
}

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write(out: Path, kind: str, weights: Path = WEIGHTS) -> Path:
    """Write the GGUF and its Modelfile into `out`; the Modelfile's path. `kind` is of `TYPES`."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{MODEL}-{kind}.gguf"
    config = json.loads((weights / "config.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(file, "qwen2")
    _describe(writer, config, TYPES[kind])
    _add_tokenizer(writer, config, weights)
    layers = config["num_hidden_layers"]
    for source, weight in load_file(weights / "model.safetensors").items():
        name = tensor_name(source)
        stored = tensor_kind(name, weight.ndim, kind, layers)
        writer.add_tensor(name, _stored(weight, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    modelfile = out / f"Modelfile.{kind}"
    text = (Path(__file__).parent / "Modelfile").read_text("utf-8")
    modelfile.write_text(text.replace("./model.gguf", f"./{file.name}"), "utf-8")
    return modelfile


def tensor_name(source: str) -> str:
    """GGUF's name of one of Qwen2's tensors."""
    stem, _, ending = source.rpartition(".")
    if not stem.startswith("model.layers."):
        return f"{_NAMES[stem]}.{ending}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.{ending}"


def tensor_kind(name: str, dimensions: int, kind: str, layers: int) -> Kind:
    """How a tensor is stored. Vectors stay whole; the `_M` mixtures are llama.cpp's.

    Six bits go to the embedding, which is the output matrix too, and in every third layer, the
    first and last eighth included, to the values and the way down of the MLP.
    """
    if dimensions == 1 or kind == "f32":
        return Kind.F32
    if not kind.endswith("_k_m"):
        return Kind[kind.upper()]
    if name == "token_embd.weight":
        return Kind.Q6_K
    if "attn_v." in name or "ffn_down." in name:
        layer, eighth = int(name.split(".")[1]), layers // 8
        if layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2:
            return Kind.Q6_K
    return Kind[kind[:-2].upper()]


def _stored(weight: kquants.Floats, kind: Kind) -> Any:
    own = {Kind.Q4_K: kquants.q4_k, Kind.Q5_K: kquants.q5_k, Kind.Q6_K: kquants.q6_k}
    return own[kind](weight) if kind in own else gguf.quants.quantize(weight, kind)


def _describe(writer: gguf.GGUFWriter, config: dict[str, Any], file_type: LlamaFileType) -> None:
    writer.add_name(MODEL)
    writer.add_license("mit")
    writer.add_file_type(file_type)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, config: dict[str, Any], weights: Path) -> None:
    tokenizer = json.loads((weights / "tokenizer.json").read_text("utf-8"))
    template = json.loads((weights / "tokenizer_config.json").read_text("utf-8"))["chat_template"]
    added = {each["content"]: each for each in tokenizer["added_tokens"]}
    ids = {**tokenizer["model"]["vocab"], **{text: each["id"] for text, each in added.items()}}
    tokens = sorted(ids, key=lambda text: ids[text])
    types = [gguf.TokenType.NORMAL] * len(tokens)
    for each in added.values():
        special = each["special"]
        types[each["id"]] = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    # The chat template writes it.
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; prints what to do with the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the files")
    parser.add_argument("--type", choices=TYPES, default="q8_0", dest="kind")
    args = parser.parse_args(argv)
    modelfile = write(args.out, args.kind)
    print(f"ollama create {MODEL}:{args.kind} -f {modelfile}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
