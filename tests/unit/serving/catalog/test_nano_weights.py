"""The catalog's numbers of the nano models, against the weights that ship beside them."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from serving.catalog import Catalog, DeepseekV3, Model
from serving.catalog.arithmetic import parameters

NANO = [model for model in Catalog.load() if model.weights.path is not None]


@pytest.fixture(params=NANO, ids=lambda model: model.id)
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.param
    if not (folder(found) / "config.json").is_file():
        pytest.skip(f"{found.id} has no weights yet")
    return found


def folder(model: Model) -> Path:
    assert model.weights.path is not None
    return model.weights.path


def config(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(model) / "config.json").read_text("utf-8"))
    return found


def header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file: its first 8 bytes give the length of a JSON header."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        tensors: dict[str, Any] = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    return tensors


def test_architecture_is_that_of_the_weights(model: Model) -> None:
    written = config(model)
    expected = model.architecture.model_dump(exclude={"kind", "rope_scaling"})
    if "head_dim" not in written:
        written["head_dim"] = written["hidden_size"] // written["num_attention_heads"]
    assert {name: written.get(name) for name in expected} == expected
    assert written["model_type"] == model.architecture.kind


def test_yarn_is_that_of_the_weights(model: Model) -> None:
    if not isinstance(model.architecture, DeepseekV3):
        return
    written = config(model)
    scaling = written.get("rope_scaling") or written["rope_parameters"]
    expected = model.architecture.rope_scaling.model_dump()
    assert {name: scaling[name] for name in expected} == expected


def test_parameters_are_those_of_the_weights(model: Model) -> None:
    tensors = [header(path) for path in folder(model).glob("*.safetensors")]
    shapes = [each["shape"] for file in tensors for each in file.values()]
    assert sum(math.prod(shape) for shape in shapes) == parameters(model.architecture).total


def test_the_type_is_that_of_the_weights(model: Model) -> None:
    types = {
        each["dtype"]
        for path in folder(model).glob("*.safetensors")
        for each in header(path).values()
    }
    assert types == {{"float32": "F32", "bfloat16": "BF16"}[model.weights.dtype]}
