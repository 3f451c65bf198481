"""The shipped catalog, and what its loader refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.catalog import Catalog
from serving.catalog.catalog import SHIPPED
from serving.errors import InvalidDocument, UnknownBuild, UnknownModel

REAL = {
    "deepseek-r1": "deepseek-ai/DeepSeek-R1",
    "deepseek-r1-zero": "deepseek-ai/DeepSeek-R1-Zero",
    "deepseek-r1-distill-qwen-1.5b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    "deepseek-r1-distill-qwen-7b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "deepseek-r1-distill-llama-8b": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "deepseek-r1-distill-qwen-14b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "deepseek-r1-distill-qwen-32b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-r1-distill-llama-70b": "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
}
NANO = {"r1-nano", "r1-distill-nano"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def document(model_id: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SHIPPED / f"{model_id}.yaml").read_text("utf-8"))
    return found


def write(folder: Path, document: dict[str, Any], name: str | None = None) -> None:
    path = folder / f"{name or document['id']}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_it_holds_the_family_and_the_nano_models(catalog: Catalog) -> None:
    assert {model.id for model in catalog} == set(REAL) | NANO
    assert len(catalog) == 10


@pytest.mark.parametrize(("model_id", "hub"), REAL.items())
def test_real_models_come_from_the_hub(catalog: Catalog, model_id: str, hub: str) -> None:
    model = catalog.resolve(hub)
    assert (model.id, model.weights.hub, model.weights.path) == (model_id, hub, None)
    assert model.licence.id == "MIT"


@pytest.mark.parametrize("model_id", sorted(NANO))
def test_nano_models_come_with_the_package(catalog: Catalog, model_id: str) -> None:
    path = catalog.resolve(model_id).weights.path
    assert path is not None
    assert path.parts[-4:] == ("serving", "nano", "weights", model_id)


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("deepseek-r1", "deepseek-r1"),
        ("DeepSeek-Reasoner", "deepseek-r1"),
        ("DEEPSEEK-AI/deepseek-r1", "deepseek-r1"),
        ("deepseek-r1:671b", "deepseek-r1"),
        ("deepseek-r1:1.5b", "deepseek-r1-distill-qwen-1.5b"),
        ("deepseek-r1:7b", "deepseek-r1-distill-qwen-7b"),
        ("deepseek-r1:8b", "deepseek-r1-distill-llama-8b"),
        ("deepseek-r1:14b", "deepseek-r1-distill-qwen-14b"),
        ("deepseek-r1:32b", "deepseek-r1-distill-qwen-32b"),
        (" deepseek-r1:70B ", "deepseek-r1-distill-llama-70b"),
    ],
)
def test_aliases_lead_to_their_model(catalog: Catalog, name: str, model_id: str) -> None:
    assert catalog.resolve(name).id == model_id


def test_an_unknown_name_is_answered_with_near_ones(catalog: Catalog) -> None:
    with pytest.raises(UnknownModel, match=r"`r1-nanno`; did you mean r1-nano"):
        catalog.resolve("r1-nanno")


def test_sampling_is_the_authors_advice_everywhere(catalog: Catalog) -> None:
    assert {(m.sampling.temperature, m.sampling.top_p) for m in catalog} == {(0.6, 0.95)}


def test_distills_name_the_terms_of_their_base(catalog: Catalog) -> None:
    for model in catalog:
        if "distill" not in model.id or model.id in NANO:
            continue
        base = model.licence.base
        assert base is not None, model.id
        if model.architecture.kind == "llama":
            assert base.licence.startswith("Llama 3."), model.id
            assert base.terms is not None, model.id
        else:
            assert base.licence == "Apache-2.0", model.id


def test_tool_templates_exist_and_only_where_the_tokenizer_has_tool_tokens(
    catalog: Catalog,
) -> None:
    with_tools = {model.id: model.parsers.tools for model in catalog if model.parsers.tools}
    assert set(with_tools) == {"deepseek-r1"}
    assert all(tools.template_path.is_file() for tools in with_tools.values())


def test_a_name_of_two_models_is_refused(tmp_path: Path) -> None:
    first = document("r1-nano")
    write(tmp_path, first)
    write(tmp_path, {**first, "id": "other", "aliases": ["R1-Nano"]})
    with pytest.raises(InvalidDocument, match="belongs to both other and r1-nano"):
        Catalog.load(tmp_path)


def test_a_file_is_named_after_its_id(tmp_path: Path) -> None:
    write(tmp_path, document("r1-nano"), "nano")
    with pytest.raises(InvalidDocument, match=r"call the file r1-nano\.yaml"):
        Catalog.load(tmp_path)


def test_an_empty_folder_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match=r"holds no \*\.yaml"):
        Catalog.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "R1 nano"}, "id: "),
        ({"aliases": ["a b"]}, "aliases.0: "),
        ({"architecture.kind": "gpt2"}, "architecture: "),
        ({"architecture.hidden_size": -1}, "architecture.deepseek_v3.hidden_size: "),
        ({"architecture.n_group": 3}, "multiple of n_group"),
        ({"architecture.topk_group": 3}, "must not exceed n_group"),
        ({"architecture.num_experts_per_tok": 5}, "must fit into the topk_group"),
        ({"architecture.first_k_dense_replace": 5}, "must not exceed num_hidden_layers"),
        ({"architecture.max_position_embeddings": 8192}, "rope_scaling.factor × "),
        ({"context.served": 8192}, "more than the 4096 positions"),
        ({"context.longest_answer": 4097}, "must not exceed context.served"),
        ({"builds.0.hub": "a/b"}, "give a place: one of hub and package"),
        ({"builds.0.package": "../../etc"}, "builds.0.package: "),
        ({"builds.0.format": "int3"}, "builds.0.format: "),
        ({"builds.0.least_vllm": None}, "least_vllm: give it where vllm"),
        ({"builds.0.engines": ["vllm", "ollama"]}, "ollama: give the tag"),
        ({"builds": []}, "builds: "),
        ({"sampling.temperature": "0.6"}, "sampling.temperature: "),
        ({"sampling.top_p": 0}, "sampling.top_p: "),
        ({"parsers.reasoning": "guess"}, "parsers.reasoning: "),
        ({"licence.gaited": True}, "did you mean gated"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    changed = document("r1-nano")
    for path, value in change.items():
        *parents, last = path.split(".")
        part: Any = changed
        for parent in parents:
            part = part[int(parent)] if isinstance(part, list) else part[parent]
        part[last] = value
    write(tmp_path, changed, "r1-nano")
    with pytest.raises(InvalidDocument) as caught:
        Catalog.load(tmp_path)
    assert sentence in str(caught.value)
    assert "r1-nano.yaml" in str(caught.value)


def test_heads_must_form_whole_groups(tmp_path: Path) -> None:
    changed = document("r1-distill-nano")
    changed["architecture"]["num_key_value_heads"] = 3
    write(tmp_path, changed)
    with pytest.raises(InvalidDocument, match="multiple of num_key_value_heads"):
        Catalog.load(tmp_path)


def test_builds_have_ids_of_their_own(tmp_path: Path) -> None:
    changed = document("r1-distill-nano")
    changed["builds"] *= 2
    write(tmp_path, changed)
    with pytest.raises(InvalidDocument, match="two have the same id"):
        Catalog.load(tmp_path)


def test_a_model_is_served_from_any_of_its_builds(catalog: Catalog) -> None:
    model = catalog.resolve("deepseek-r1")
    chosen = model.using("NVFP4")
    assert (model.weights.id, chosen.weights.id) == ("fp8", "nvfp4")
    assert {each.id for each in chosen.builds} == {each.id for each in model.builds}
    assert chosen.weight_bytes.total < model.weight_bytes.total
    with pytest.raises(UnknownBuild, match=r"no build `w4a61`; did you mean w4a16"):
        model.using("w4a61")


def test_every_real_model_has_the_useful_builds(catalog: Catalog) -> None:
    gguf = {"gguf_q8_0", "gguf_q5_k_m", "gguf_q4_k_m"}
    for model in catalog:
        formats = {build.format for build in model.builds}
        if model.id in NANO:
            assert formats == {"float32"}
        elif model.id == "deepseek-r1-zero":
            # Nobody published others.
            assert formats == {"fp8_block", "bfloat16"}
        elif model.id == "deepseek-r1":
            four = {"w4a16_gptq", "w4a16_awq", "nvfp4"}
            assert formats == {"fp8_block", "bfloat16", "w8a8_int8", *four, *gguf}
        else:
            common = {"bfloat16", "fp8_dynamic", "w8a8_int8", "w4a16_gptq", "w4a16_awq", *gguf}
            assert formats - {"nvfp4"} == common
