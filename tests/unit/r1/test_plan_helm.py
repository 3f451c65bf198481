"""`r1 plan --helm`: values of the chart."""

from typing import Any

import pytest
import yaml

from r1.cli import main
from r1.helm.values import gateways, memory_quantity
from serving import app
from serving.preflight.release import arguments_of

GIB = 1024**3


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["plan", *words, "--helm"])
    seen = capsys.readouterr()
    return status, seen.out, seen.err


def values(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    status, out, err = run(capsys, *words)
    assert status == 0, err
    found: dict[str, Any] = yaml.safe_load(out)
    return found


def test_a_group_of_two_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    found = values(capsys, "deepseek-r1", "--hardware", "2x8xh100", "--profile", "two-node")
    entry = found["models"]["deepseek-r1"]
    assert (entry["nodesPerReplica"], entry["replicas"]) == (2, 1)
    assert entry["pod"]["gpus"] == 8
    assert entry["pod"]["rdma"]["count"] == 1
    assert entry["pod"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    # The chart's own model is not wanted beside it.
    assert found["models"]["r1-nano"] == {"enabled": False}


def test_amd(capsys: pytest.CaptureFixture[str]) -> None:
    found = values(capsys, "deepseek-r1", "--hardware", "8xmi300x", "--profile", "latency")
    pod = found["models"]["deepseek-r1"]["pod"]
    assert pod["gpuResource"] == pod["tolerations"][0]["key"] == "amd.com/gpu"
    assert set(pod["nodeSelector"]) == {"amd.com/gpu.product-name"}


def test_a_small_model_scales_and_a_large_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--users", "16", "--beside", "deepseek-r1-distill-qwen-7b@1xl40s/on-demand")
    models = values(capsys, "deepseek-r1", "--hardware", "8xh200", *words)["models"]
    assert "autoscaling" not in models["deepseek-r1"]
    scaling = models["deepseek-r1-distill-qwen-7b"]["autoscaling"]
    assert (scaling["min"], scaling["max"], scaling["downscaleDelay"]) == (0, 2, 1800.0)
    assert models["deepseek-r1-distill-qwen-7b"]["profile"] == "on-demand"


def test_the_longest_answer_is_that_of_the_slowest_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("deepseek-r1", "--hardware", "8xh200", "--profile", "throughput", "--users", "384")
    alone = values(capsys, *words)["longestAnswer"]
    beside = values(capsys, *words, "--beside", "deepseek-r1-distill-qwen-7b@1xl40s")
    assert alone == beside["longestAnswer"] > 1000
    assert alone % 60 == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deepseek-r1", "--beside", "deepseek-r1@2x8xh100"), "is planned twice"),
        (("deepseek-r1", "--beside", "deepseek-r1"), "write MODEL@HARDWARE"),
        (("deepseek-r1", "--profile", "fast"), "latency"),
        (("deepseek-r1", "--hardware", "8xh100", "--profile", "latency"), "does not fit"),
        (("r1-distill-qwen-7b", "--hardware", "1xt4", "--build", "q4_k_m"), "upstream"),
    ],
)
def test_what_the_chart_cannot_deploy(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    status, out, err = run(capsys, *words)
    assert (status, out) == (1, "")
    assert said in err


def test_several_models_are_for_the_chart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "deepseek-r1", "--beside", "deepseek-r1-zero@8xh200"]) == 1
    assert "for --helm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "hardware", "build"),
    [
        ("deepseek-r1", "8xb200", "fp8"),
        ("deepseek-r1", "8xb200", "nvfp4"),
        ("deepseek-r1", "8xh200", "awq"),
        ("deepseek-r1-distill-qwen-14b", "1xh100", "fp8"),
    ],
)
def test_the_planned_build_is_the_one_that_is_deployed(
    capsys: pytest.CaptureFixture[str], model: str, hardware: str, build: str
) -> None:
    found = values(capsys, model, "--hardware", hardware, "--build", build, "--users", "4")
    arguments = app.parse(arguments_of(model, found["models"][model], found))
    assert app.derive(arguments).model.weights.id == build
    assert arguments.longest_answer_s == found["longestAnswer"]


def test_gateways_and_memory() -> None:
    assert [gateways(each) for each in (0, 9_000, 10_001, 95_000)] == [2, 2, 3, 11]
    assert memory_quantity(58 * GIB) == "58Gi"
    assert memory_quantity(5 * GIB + 1) == "6Gi"
    assert memory_quantity(256 * 1024**2) == "256Mi"
