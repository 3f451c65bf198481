"""The profiles of every model on the machines that they are for, as vLLM and Ray check them.

vLLM parses each command and builds its whole configuration, on a stand-in for the accelerator; Ray
Serve builds each application, with the engine's and the deployment's options.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1.stack.choice import Choice
from r1.stack.dry_run import dry_run
from serving.app import derive, parse
from serving.catalog import Catalog, DeepseekV3
from serving.engine.acceptance import Answer, Question, ask, question_of
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.profiles import profiles_for
from serving.errors import DoesNotFit
from serving.hardware import Machine
from serving.preflight.deployment import Deployment

pytestmark = pytest.mark.timeout(600)


CHART = Path(__file__).parents[3] / "deploy" / "helm" / "r1"
# A GPU of each kind that engines treat differently: by vendor, instruction set and memory.
DISTILLS_ON = ("1xt4", "1xl4", "rtx4090", "8xh100", "8xb200", "8xmi300x", "cpu-server")
ALL_PROFILES_ON = "8xh100"


def engines() -> list[EngineArguments]:
    """All that fit of the 671B and the nano models; of the distills what tells them apart.

    Those of the chart's presets come first.
    """
    presets = sorted((CHART / "presets").glob("*.yaml"))
    found = [derive(each) for path in presets for each in Deployment.load(path).models]
    for model in Catalog.load():
        dense = not isinstance(model.architecture, DeepseekV3) and model.weights.path is None
        for machine in map(Machine.load, DISTILLS_ON if dense else Machine.ids()):
            usual = slice(1) if dense and machine.id != ALL_PROFILES_ON else slice(None)
            for profile in profiles_for(model, machine)[usual]:
                try:
                    found.append(engine_arguments(model, machine, profile.name))
                except DoesNotFit:
                    continue
    return found


ENGINES = engines()
# What vLLM must refuse, or its checks are not asked: arguments that are added to an engine's.
WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("r1-nano", "cpu", {"enable_eplb": True}, "only supported on"),
    ("deepseek-r1", "8xh200", {"enable_expert_parallel": False, "enable_eplb": True}, "EPLB"),
    ("deepseek-r1", "8xh200", {"max_model_len": 500000}, "max_model_len"),
    ("deepseek-r1:7b", "8xh100", {"tensor_parallel_size": 8}, "must be divisible"),
    ("deepseek-r1:7b", "1xl4", {"quantization": "awq"}, "config file for awq"),
]


def wrong(model: str, machine: str, changes: dict[str, Any]) -> Question:
    engine = engine_arguments(Catalog.load().resolve(model), Machine.load(machine))
    kept = [each for each in engine.arguments if each.name not in changes]
    added = [replace(kept[0], name=name, value=value) for name, value in changes.items()]
    return question_of(replace(engine, arguments=(*kept, *added)))


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    """vLLM's answers about `ENGINES`, then about `WRONG`."""
    asked = [question_of(engine) for engine in ENGINES]
    return ask(asked + [wrong(*case[:3]) for case in WRONG])


def test_vllm_takes_every_engine_as_it_was_meant(answers: list[Answer]) -> None:
    for engine, answer in zip(ENGINES, answers[: len(ENGINES)], strict=True):
        where = f"{engine.model.id} on {engine.machine.id}, {engine.profile.name}"
        assert answer.error is None, f"{where}: {answer.error}"
        kwargs, settled = engine.kwargs, answer.settled
        # vLLM fills a group of settings up with its own defaults.
        read = {**answer.parsed, "eplb_config": kwargs.get("eplb_config")}
        assert read == {"eplb_config": None, **kwargs}, where
        copies = kwargs.get("eplb_config", {}).get("num_redundant_experts", 0)
        drafts = kwargs.get("speculative_config", {}).get("num_speculative_tokens", 0)
        assert settled["redundant_experts"] == copies, where
        assert settled["drafts"] == drafts, where
        assert settled["max_model_len"] == kwargs["max_model_len"], where
        assert settled["data"] == kwargs.get("data_parallel_size", 1), where


def test_vllm_reads_the_format_of_each_build(answers: list[Answer]) -> None:
    names: dict[str, set[str | None]] = {
        "fp8_block": {"fp8"},
        "w4a16_gptq": {"compressed-tensors"},
        "nvfp4": {"modelopt", "modelopt_fp4"},
        "bfloat16": {None},
        "float32": {None},
    }
    met = set()
    for engine, answer in zip(ENGINES, answers, strict=False):
        quantization = answer.settled["quantization"]
        assert quantization in names[engine.model.weights.format]
        met.add(engine.model.weights.format)
    assert met == set(names), "every format is served somewhere"


def test_vllm_refuses_what_is_wrong(answers: list[Answer]) -> None:
    for case, answer in zip(WRONG, answers[len(ENGINES) :], strict=True):
        assert answer.error is not None, case
        assert case[3] in answer.error, (case, answer.error)


def test_a_dry_run_says_what_vllm_says(
    answers: list[Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = answers[len(ENGINES)]
    chosen = [Choice(ENGINES[0], None), Choice(ENGINES[1], None)]
    assert dry_run(chosen, lambda questions: [answers[0], refused]) == 1
    said = capsys.readouterr().out
    assert f"vLLM takes {ENGINES[0].model.id} on " in said
    assert f"vLLM refuses {ENGINES[1].model.id} on " in said
    assert str(refused.error) in said
    assert dry_run(chosen, lambda questions: [answers[0]] * 2) == 0


def distinct(engines: list[EngineArguments]) -> list[EngineArguments]:
    """One of those that Ray can't tell apart: it looks at sizes, places and the scheduler's."""
    looks = {}
    for engine in engines:
        kwargs = engine.kwargs
        sizes = [kwargs.get(f"{each}_parallel_size", 1) for each in ("tensor", "pipeline", "data")]
        place = engine.machine.gpu.vendor if engine.machine.gpu else "cpu"
        looks[(engine.profile.name, engine.model.weights.format, place, *sizes)] = engine
    return list(looks.values())


BUILT = distinct(ENGINES)


@pytest.fixture(scope="module")
def deployed() -> list[dict[str, Any]]:
    """Ray's reading of `BUILT`."""
    asked = [
        {
            "model": engine.model.id,
            "hardware": engine.machine.id,
            "profile": engine.profile.name,
        }
        for engine in BUILT
    ]
    # A short path: Ray puts Unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="r1-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.engine.deployments"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=os.environ | {"RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1", "TMPDIR": folder},
            cwd=Path(__file__).parents[3],
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stderr[-4000:]
    found: list[dict[str, Any]] = json.loads(lines[0].removeprefix("ANSWER"))
    return found


def test_ray_builds_every_application(deployed: list[dict[str, Any]]) -> None:
    for engine, found in zip(BUILT, deployed, strict=True):
        where = f"{engine.model.id} on {engine.machine.id}, {engine.profile.name}"
        kwargs = engine.kwargs
        data = kwargs.get("data_parallel_size", 1)
        assert found["server"] == ("DataParallelServer" if data > 1 else "ModelServer"), where
        assert found["gang"] == (data if data > 1 else None), where
        # One bundle for each worker of one engine; Ray joins the bundles of a group itself.
        assert len(found["bundles"]) == engine.devices // data, where
        gpus = sum(bundle.get("GPU", 0) for bundle in found["bundles"])
        assert gpus == (0 if engine.machine.is_cpu else engine.devices // data), where
        if engine.machine.gpu is not None:
            label = f"accelerator_type:{engine.machine.gpu.ray_accelerator_type}"
            assert all(bundle[label] > 0 for bundle in found["bundles"]), where
        for name in ("max_model_len", "tensor_parallel_size", "eplb_config"):
            if name in kwargs:
                assert found["kwargs"][name] == str(kwargs[name]), where


def test_ray_scales_the_distills_and_no_other(deployed: list[dict[str, Any]]) -> None:
    for engine, found in zip(BUILT, deployed, strict=True):
        scaled = engine.profile.pace is not None
        assert (found["most"] is not None) == scaled, engine.model.id
        if scaled:
            assert found["most"] * engine.devices <= engine.machine.gpus
            assert 1 <= found["target"] < 1e6
        else:
            group = engine.kwargs.get("data_parallel_size", 1)
            assert found["replicas"] == group, "a replica of Ray's is one engine of the group"


def test_an_application_says_which_build_it_serves() -> None:
    assert parse({"model": "deepseek-r1", "hardware": "8xh200", "build": "awq"}).build == "awq"
