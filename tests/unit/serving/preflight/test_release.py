"""Values of the chart, read as a deployment."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.errors import InvalidDocument
from serving.preflight.deployment import GPU_TAINTS, Deployment

GPU = {"nvidia.com/gpu.product": "NVIDIA-L40S", "pool": "a"}
VALUES: dict[str, Any] = {
    "longestAnswer": 900,
    "imagePullSecrets": ["registry"],
    "gateway": {"replicas": 2},
    "models": {
        "r1-nano": {"enabled": False, "hardware": "cpu"},
        "deepseek-r1-distill-qwen-7b": {
            "hardware": "1xl40s",
            "autoscaling": {"min": 0, "max": 3, "target": 8, "downscaleDelay": 60},
            "weights": {"source": "/weights/7b"},
            "pod": {"nodeSelector": GPU, "tolerations": [{"key": "batch", "operator": "Exists"}]},
        },
        "deepseek-r1-distill-llama-70b": {
            "hardware": "8xh100",
            "replicas": 2,
            "engine": {"max_num_seqs": 64},
            "pod": {"nodeSelector": {"pool": "a", "nvidia.com/gpu.product": "NVIDIA-H100-NVL"}},
        },
    },
}


def load(folder: Path, values: dict[str, Any]) -> Deployment:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return Deployment.load(path)


def test_models_that_are_on_are_the_deployment(tmp_path: Path) -> None:
    found = load(tmp_path, VALUES)
    small, large = found.models
    assert small.model == "deepseek-r1-distill-qwen-7b"
    assert small.weights == "/weights/7b"
    assert small.autoscaling is not None
    assert (small.autoscaling.min_replicas, small.autoscaling.max_replicas) == (0, 3)
    assert small.autoscaling.downscale_delay_s == 60
    assert (large.replicas, large.engine) == (2, {"max_num_seqs": 64})
    assert small.longest_answer_s == large.longest_answer_s == 900
    assert found.pull_secret == "registry"


def test_only_what_all_pods_ask_for_is_asked_of_every_node(tmp_path: Path) -> None:
    found = load(tmp_path, VALUES)
    assert found.node_selector == {"pool": "a"}
    assert [each.key for each in found.tolerations] == [
        *(each.key for each in GPU_TAINTS),
        "batch",
    ]


def test_only_what_the_values_turn_on_is_asked_of_the_cluster(tmp_path: Path) -> None:
    found = load(tmp_path, VALUES)
    assert (found.runtime, found.monitoring, found.gateway_api, found.keda) == (
        "plain",
        False,
        False,
        False,
    )
    gateway = {
        "httpRoute": {"enabled": True},
        "autoscaling": {"queueDepth": {"by": "keda", "prometheus": "http://prometheus:9090"}},
    }
    monitoring = {"rules": {"enabled": True}, "podMonitor": {"enabled": False}}
    asked = {**VALUES, "runtime": "kuberay", "monitoring": monitoring, "gateway": gateway}
    found = load(tmp_path, asked)
    assert (found.runtime, found.monitoring, found.gateway_api, found.keda) == (
        "kuberay",
        True,
        True,
        True,
    )


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    wrong = {"models": {"deepseek-r1": {"hardware": "8xh200", "autoscaling": {"most": 2}}}}
    with pytest.raises(InvalidDocument, match="most"):
        load(tmp_path, wrong)
