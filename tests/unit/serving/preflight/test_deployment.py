"""Reading deployments, and what their models ask for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.app import InvalidArguments
from serving.errors import InvalidDocument, ServingError, UnknownModel
from serving.preflight import needs
from serving.preflight.demand import demands
from serving.preflight.deployment import Deployment
from serving.preflight.products import chip_of, is_chip
from serving.weights.source import Folder, Hub
from tests.unit.serving.preflight.right import DISTILL, NANO, R1, R1_TWO_NODES, case_of

SERVE_CONFIG = {
    "proxy_location": "HeadOnly",
    "applications": [
        {
            "name": "deepseek-r1",
            "route_prefix": "/deepseek-r1",
            "import_path": "serving.app:build",
            "runtime_env": {"env_vars": {"NCCL_DEBUG": "WARN"}},
            "args": {**R1, "autoscaling": {"max_replicas": 2, "target_ongoing_requests": 8}},
        },
        {"import_path": "serving.app:build", "args": NANO},
    ],
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "deployment.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_deployment_of_ones_own(tmp_path: Path) -> None:
    document = {
        "models": [R1],
        "namespace": "mine",
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "storage": {"place": "node"},
    }
    read = Deployment.load(write(tmp_path, document))
    assert (read.namespace, read.storage.place) == ("mine", "node")
    assert read.models[0].model == "deepseek-r1"


def test_a_serve_config_is_a_deployment(tmp_path: Path) -> None:
    read = Deployment.load(write(tmp_path, SERVE_CONFIG))
    assert [each.model for each in read.models] == ["deepseek-r1", "r1-nano"]
    assert read.environment == {"NCCL_DEBUG": "WARN"}
    asked, wrong = demands(read)
    assert wrong == []
    assert [(each.name, each.replicas, each.most_replicas) for each in asked] == [
        ("deepseek-r1", 1, 2),
        ("r1-nano", 1, 1),
    ]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"models": []}, "models"),
        ({"models": [R1], "namespace": "No!"}, "namespace"),
        ({"models": [{"model": "r1-nano"}]}, "hardware: is missing"),
        ({"models": [R1], "colour": "red"}, "colour: is not a known field"),
        ({"models": [R1], "ports": {"api": 70000}}, "ports.api"),
        ({"applications": "all"}, "must be a list"),
        ({"applications": [{"import_path": "other:app"}]}, "import_path must be serving.app:build"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, document: Any, sentence: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        Deployment.load(write(tmp_path, document))
    assert sentence in str(caught.value)


def test_demands_of_an_engine_on_one_node_on_two_and_on_processors() -> None:
    one, two = case_of(R1).demands[0], case_of(R1_TWO_NODES).demands[0]
    nano, distill = case_of(NANO).demands[0], case_of(DISTILL).demands[0]
    assert (one.pods, one.gpus, one.chip) == (1, 8, "H200")
    assert one.source == Hub("deepseek-ai/DeepSeek-R1")
    assert (two.pods, two.gpus, two.several_nodes) == (2, 8, True)
    assert (distill.pods, distill.gpus) == (1, 1)
    assert (nano.pods, nano.gpus, nano.chip) == (1, 0, None)
    assert isinstance(nano.source, Folder)
    assert one.weight_bytes == pytest.approx(688.57e9, rel=0.001)
    assert nano.memory_bytes > nano.weight_bytes + needs.CPU_POD_BYTES_PER_RANK
    assert one.memory_bytes == needs.POD_BASE_BYTES + 8 * needs.POD_BYTES_PER_GPU + needs.SHM_BYTES
    assert (one.fetched, nano.fetched) == (True, False)
    assert (one.rdma, two.rdma) == (False, True)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"model": "deepseek-r1", "hardware": "8xh100", "profile": "latency"},
            "does not fit 8xh100",
        ),
        ({"model": "deepseek-r1", "hardware": "1xl4"}, "does not run on 1xl4"),
        ({**R1, "engine": {"max_model_len": 524288}}, "max_model_len"),
        ({**R1, "profile": "fast"}, "has no profile"),
    ],
)
def test_what_cannot_run_at_all_is_an_error_among_the_findings(
    model: dict[str, Any], sentence: str
) -> None:
    asked, (wrong,) = demands(Deployment.model_validate({"models": (model,)}))
    assert asked == ()
    assert (wrong.id, wrong.severity) == ("fits", "error")
    assert sentence in wrong.found


def test_what_is_not_known_is_the_callers_mistake() -> None:
    unknown = {"model": "deepsek-r1", "hardware": "8xh200"}
    with pytest.raises(UnknownModel, match="did you mean"):
        demands(Deployment.model_validate({"models": (unknown,)}))
    assert issubclass(InvalidArguments, ServingError)


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("NVIDIA H200 SXM", "H200"),
        ("NVIDIA-H100-80GB-HBM3", "H100"),
        ("NVIDIA GeForce RTX 4090", "4090"),
        ("AMD Instinct MI300X", "MI300X"),
        ("NVIDIA L40S", "L40S"),
        ("Tesla T4", "T4"),
        ("Jetson AGX Orin 32GB", None),
    ],
)
def test_the_chip_in_a_name(name: str, chip: str | None) -> None:
    assert chip_of(name) == chip


def test_chips_with_like_names_are_not_taken_for_each_other() -> None:
    assert is_chip("NVIDIA-H200", "H200")
    assert not is_chip("NVIDIA-H200", "H20")
    assert not is_chip("NVIDIA-GB200", "B200")
    assert not is_chip("NVIDIA-L40S", "L40")
    assert is_chip("AMD_Instinct_MI300X_OAM", "MI300X")
