"""Bytes of builds, against the sizes that their publishers state."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from gguf import GGUFReader

from serving.catalog import Build, Catalog, Model
from serving.catalog.sizes import TensorBytes, tensor_bytes
from serving.nano.export_gguf import write

GB = 1_000_000_000
CATALOG = Catalog.load()
EVERY = [(model, build) for model in CATALOG for build in model.builds]


def named(pair: tuple[Model, Build]) -> str:
    return f"{pair[0].id}-{pair[1].id}"


def size(model: str, build: str) -> TensorBytes:
    return CATALOG.resolve(model).using(build).weight_bytes


@pytest.mark.parametrize(
    "pair", [pair for pair in EVERY if pair[1].files_gb is not None], ids=named
)
def test_files_have_the_published_size(pair: tuple[Model, Build]) -> None:
    model, build = pair
    assert build.files_gb is not None
    found = tensor_bytes(model.architecture, build).total / GB
    # Published figures are rounded, and GGUF files hold a vocabulary of a few megabytes.
    assert found == pytest.approx(build.files_gb, rel=0.012)


@pytest.mark.parametrize(
    ("model", "published"), [("deepseek-r1:7b", 4_683_075_271), ("deepseek-r1:14b", 8_988_112_040)]
)
def test_ollama_files_to_the_megabyte(model: str, published: int) -> None:
    # Ollama states whole bytes; what is more than the tensors is the vocabulary and its merges.
    assert 0 < published - size(model, "q4_k_m").total < 6_500_000


@pytest.mark.parametrize("model", ["r1-nano", "r1-distill-nano"])
def test_shipped_weights_to_the_byte(model: str) -> None:
    folder = CATALOG.resolve(model).weights.path
    assert folder is not None
    tensors = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        header.pop("__metadata__", None)
        tensors += sum(end - start for start, end in (h["data_offsets"] for h in header.values()))
    assert CATALOG.resolve(model).weight_bytes.total == tensors


@pytest.mark.parametrize("kind", ["q8_0", "q4_k_m"])
def test_gguf_of_the_nano_student_to_the_byte(kind: str, tmp_path: Path) -> None:
    name = f"gguf_{kind}"
    given = {"id": kind, "format": name, "engines": ("llamacpp",), "hub": "a/b", "source": "own"}
    build = Build.model_validate(given)
    write(tmp_path, kind)
    tensors = GGUFReader(tmp_path / f"r1-distill-nano-{kind}.gguf").tensors
    architecture = CATALOG.resolve("r1-distill-nano").architecture
    assert tensor_bytes(architecture, build).total == sum(int(each.n_bytes) for each in tensors)


def test_nvfp4_holds_the_tensors_that_the_hub_counts() -> None:
    # The hub counts 396.8 billion numbers: two weights to a byte, a scale for each 16 weights,
    # attention, vocabulary, routers, and the whole prediction layer in bfloat16.
    r1 = size("deepseek-r1", "nvfp4")
    packed = r1.routed + r1.dense
    plain = (r1.total - packed) / 2
    assert (packed + plain) / GB == pytest.approx(396.8, abs=0.05)


@pytest.mark.parametrize("pair", EVERY, ids=named)
def test_classes_add_up(pair: tuple[Model, Build]) -> None:
    model, build = pair
    found = tensor_bytes(model.architecture, build)
    parts = {field.name: getattr(found, field.name) for field in fields(found)}
    inside = parts.pop("mtp_routed")
    assert sum(parts.values()) == found.total
    assert found.total - found.mtp == found.without_mtp
    assert 0 <= inside <= found.mtp
    sparse = model.architecture.kind == "deepseek_v3"
    assert (found.routed > 0) == (found.router > 0) == sparse
    assert (found.mtp > 0) == (build.mtp != "absent" and model.id not in {"r1-nano"})


def test_what_is_not_quantised_keeps_its_size() -> None:
    plain, packed = size("deepseek-r1:32b", "bf16"), size("deepseek-r1:32b", "w4a16")
    assert (packed.embedding, packed.head, packed.norms) == (
        plain.embedding,
        plain.head,
        plain.norms,
    )
    assert plain.dense / packed.dense == pytest.approx(16 / 4.125)
    attention = size("deepseek-r1", "nvfp4").attention
    assert attention == size("deepseek-r1", "bf16").attention


def test_a_build_carries_mtp_or_it_does_not() -> None:
    assert size("deepseek-r1", "fp8").mtp / GB == pytest.approx(15.42, abs=0.01)
    assert size("deepseek-r1", "nvfp4").mtp / GB == pytest.approx(26.92, abs=0.01)
    assert size("deepseek-r1", "q4_k_m").mtp == 0
